"""Objects far brighter than the rest: they do not set the scale, and keep their intensity."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.diffusion.samplers import make_sampler
from tests.e2e.cameras.simulated import LOST, OFFSET, RANGE, SIDE, blobs, denoised, psnr, seen

Y, X = np.mgrid[:SIDE, :SIDE]
DISTANCE = np.hypot(Y - 96, X - 96)


@pytest.mark.parametrize(
    ("radius", "times"), [(3, 100), (5, 10), (10, 10), (10, 40), (10, 100), (15.3, 100)], ids=str
)
def test_a_bead(nuclei: Denoiser, reference: float, radius: float, times: float) -> None:
    lit = seen(blobs() + times / (1 + np.exp(DISTANCE - radius)))
    result = denoised(nuclei, lit.rounded)
    assert psnr(result, lit.truth, radius + 12 < DISTANCE) > reference - LOST
    bead = radius + 8 > DISTANCE
    found, true = ((image.astype(float) - OFFSET)[bead].sum() for image in (result, lit.truth))
    assert found == pytest.approx(true, rel=0.02)


def test_few_cells_on_nothing_are_the_signal(nuclei: Denoiser) -> None:
    lit = seen(np.exp(-((DISTANCE / 10) ** 4)))
    found = nuclei.measure([lit.rounded], make_sampler("matched", {}, {}))
    assert found.intensity.high > OFFSET + RANGE / 2
