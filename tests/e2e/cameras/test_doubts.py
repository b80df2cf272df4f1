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
    "rows twice": "each row is there 2 times",
    "columns thrice": "each column is there 3 times",
    "pixels twice": "each row is there 2 times and each column is there 2 times",
    "shifted": "each row is there 2 times",
    "photons": "grey levels only",
    "no noise": "no noise was found",
}


def made(name: str, counts: NDArray[Any]) -> NDArray[Any]:
    match name:
        case "one row":
            return counts[:, None]
        case "one column":
            return counts[:, :, None]
        case "rows twice":
            return counts.repeat(2, axis=0)
        case "columns thrice":
            return counts.repeat(3, axis=1)
        case "pixels twice":
            return counts.repeat(2, axis=0).repeat(2, axis=1)
        case "shifted":
            return counts.repeat(2, axis=0)[1:]
        case "photons":
            return np.random.default_rng(0).poisson(4 * blobs()).astype(np.uint16)
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
