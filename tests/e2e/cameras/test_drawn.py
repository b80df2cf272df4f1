"""Text, graphics and gaps between tiles, drawn into planes: they stay what they are, and spoil no others."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from baikal_deploy.denoising.denoiser import Denoiser
from tests.e2e.cameras.simulated import LOST, SIDE, Seen, denoised, psnr

Y, X = np.mgrid[:SIDE, :SIDE]


def text(size: int, *, smooth: bool) -> NDArray[np.float64]:
    """Opacity of a time stamp, 0 … 1."""
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).text((90, 148), "t = 05:27 s", fill=255, font=ImageFont.load_default(size))
    opacity = np.asarray(image) / 255
    return opacity if smooth else np.rint(opacity)


def written(counts: NDArray[Any], opacity: NDArray[np.float64], value: float) -> NDArray[np.uint16]:
    return np.rint(counts * (1 - opacity) + value * opacity).astype(np.uint16)


def drawn(name: str, counts: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """A plane with something in it, and where."""
    smooth, sharp = text(17, smooth=True), text(15, smooth=False)
    match name:
        case "white text":
            return written(counts, sharp, 65535), sharp == 1
        case "smooth white text":
            return written(counts, smooth, 65535), smooth > 0.02
        case "small smooth white text":
            small = text(10, smooth=True)
            return written(counts, small, 65535), small > 0.5
        case "smooth black text":
            return written(counts, smooth, 0), smooth > 0.8
        case "text in a black box":
            box = (Y > 145) & (Y < 170) & (X > 85) & (X < 187)
            return written(np.where(box, 0, counts), smooth, 4095), box
        case _:
            width, value = (int(part) for part in name.split(" ")[::3])
            gaps = np.minimum((Y + 9) % 61, (X + 17) % 61) < width
            return np.where(gaps, value, counts).astype(np.uint16), gaps


@pytest.mark.parametrize(
    "name",
    [
        "white text",
        "smooth white text",
        "small smooth white text",
        "smooth black text",
        "text in a black box",
        "1 px of 0",
        "2 px of 65535",
        "5 px of 0",
    ],
)
def test_it_stays_and_spoils_nothing(
    nuclei: Denoiser, good: Seen, reference: float, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    counts, where = drawn(name, good.rounded)
    with caplog.at_level(logging.WARNING):
        result = denoised(nuclei, counts)
    np.testing.assert_array_equal(result[where], counts[where])
    assert psnr(result, good.truth, ~binary_dilation(where, np.ones((3, 3)), 3)) > reference - LOST
    assert "never filled" in caplog.text
    assert "saturated" not in caplog.text
