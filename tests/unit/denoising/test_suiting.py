"""Which model suits a channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from baikal_deploy import Denoiser
from baikal_deploy.denoising.suiting import BLOCK, Suited, _is_better, _windows, best_suited
from baikal_training.camera import Camera
from baikal_training.simulate import simulate

SIDE = 192


def seen(specimen: str) -> np.ndarray:
    """A noisy plane of a specimen."""
    clean = simulate(specimen, (1, 1, SIDE, SIDE), 41)[0, 0]
    camera = Camera.at_psnr(clean, 15)
    return camera.expose(clean, 42).round().astype(np.uint16)


@pytest.fixture(scope="module")
def denoisers() -> Iterator[dict[str, Denoiser]]:
    with Denoiser.load("tribolium", "onnx-cpu") as one, Denoiser.load("membranes", "onnx-cpu") as other:
        yield {"membranes": other, "tribolium": one}


@pytest.mark.parametrize(("specimen", "model"), [("flywing", "membranes"), ("tribolium", "tribolium")])
def test_the_model_that_knows_a_specimen_suits_it(
    denoisers: dict[str, Denoiser], specimen: str, model: str
) -> None:
    found = best_suited([seen(specimen)], denoisers, "tribolium")
    assert found.name == model
    assert found.errors["tribolium"] == 0
    assert (found.errors["membranes"] < 0) == (specimen == "flywing")
    assert best_suited([seen(specimen)], denoisers, "tribolium") == found


def test_what_cannot_be_told_is_the_default(denoisers: dict[str, Denoiser]) -> None:
    assert best_suited([np.full((64, 64), 3, np.uint8)], denoisers, "tribolium") == Suited("tribolium", {})
    small = best_suited([seen("flywing")[:64, :64]], denoisers, "membranes")
    assert small.name == "membranes"  # too few blocks to tell


def test_a_model_must_be_better_beyond_doubt() -> None:
    usual = np.random.default_rng(0).normal(0.05, 0.02, 64)
    assert _is_better(usual - 0.01, usual)
    assert not _is_better(usual - 0.003, usual)
    assert not _is_better(usual + 0.01, usual)
    assert not _is_better(usual - np.random.default_rng(1).normal(0.002, 0.02, 64), usual)
    assert not _is_better(usual[:4] - 0.01, usual[:4])


def test_windows_with_the_most_structure_are_looked_at() -> None:
    plane = np.zeros((1024, 1024))
    plane[256:512, 512:768] = np.kron(np.eye(256 // BLOCK), np.ones((BLOCK, BLOCK))) * 9
    plane[0, 0] = np.nan
    windows = _windows([plane, np.ones((40, 50))])
    assert len(windows) == 8
    assert sum(window.max() == 9 for window in windows) == 1
    assert all(np.isfinite(window).all() for window in windows)
    assert [window.shape for window in _windows([np.ones((40, 50))])] == [(40, 50)]
