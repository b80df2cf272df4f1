"""The shipped model, and a plane that nothing is wrong with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from baikal_deploy.denoising.denoiser import Denoiser
from tests.e2e.cameras.simulated import Seen, blobs, denoised, psnr, seen


@pytest.fixture(scope="session")
def nuclei() -> Iterator[Denoiser]:
    with Denoiser.load("nuclei", threads=1) as denoiser:
        yield denoiser


@pytest.fixture(scope="session")
def good() -> Seen:
    return seen(blobs())


@pytest.fixture(scope="session")
def reference(nuclei: Denoiser, good: Seen) -> float:
    """PSNR of the plane, in dB, if nothing is wrong with it."""
    return psnr(denoised(nuclei, good.rounded), good.truth, np.ones(good.truth.shape, bool))
