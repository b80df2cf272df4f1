"""What cannot be measured, or comes out coarse, is said."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from baikal_deploy.denoising.denoiser import Denoiser
from tests.e2e.cameras.simulated import Seen, blobs, denoised

CASES: dict[str, str] = {
    "one row": "planes of one row are not denoised",
    "one column": "planes of one column are not denoised",
    "columns thrice": "each column is there 3 times",
    "pixels four times": "each row is there 4 times and each column is there 4 times",
    "shifted": "each row is there 3 times",
    "photons": "grey levels only",
    "photons and a few bright cells": "the mean of all pixels is",
    "every other row": "every other row holds one value",
    "no noise": "no noise was found",
}


def made(name: str, counts: NDArray[Any]) -> NDArray[Any]:
    match name:
        case "one row":
            return counts[:, None]
        case "one column":
            return counts[:, :, None]
        case "columns thrice":
            return counts.repeat(3, axis=1)
        case "pixels four times":
            return counts[:64, :64].repeat(4, axis=0).repeat(4, axis=1)
        case "shifted":
            return counts.repeat(3, axis=0)[1:]
        case "photons":
            return np.random.default_rng(0).poisson(4 * blobs()).astype(np.uint16)
        case "photons and a few bright cells":
            cells = np.where(blobs() > 0.85, 60, 2)
            return np.random.default_rng(0).poisson(cells).astype(np.uint16)
        case "every other row":
            return np.where(np.arange(len(counts))[:, None] % 2, counts, 0).astype(np.uint16)
        case _:
            return np.add.outer(*2 * [np.rint(100 * np.sin(np.arange(96) / 9) ** 2)]).astype(np.uint16)


@pytest.mark.parametrize("name", CASES)
def test_it_is_said(nuclei: Denoiser, good: Seen, caplog: pytest.LogCaptureFixture, name: str) -> None:
    with caplog.at_level(logging.WARNING):
        denoised(nuclei, made(name, good.rounded))
    assert CASES[name] in caplog.text


def test_nothing_is_said_of_a_good_plane(
    nuclei: Denoiser, good: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        denoised(nuclei, good.rounded)
    assert not caplog.text


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_doubled_pixels_are_denoised(nuclei: Denoiser, good: Seen, axes: tuple[int, ...]) -> None:
    def doubled(pixels: NDArray[Any]) -> NDArray[Any]:
        for axis in axes:
            pixels = pixels.repeat(2, axis=axis)
        return pixels

    result = nuclei.denoise(doubled(good.rounded), dtype=np.float32)
    rms = np.sqrt(np.mean((result - doubled(good.truth)) ** 2))
    alone = nuclei.denoise(good.rounded, dtype=np.float32)
    assert rms < 1.2 * np.sqrt(np.mean((alone - good.truth) ** 2))
