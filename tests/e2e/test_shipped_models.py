"""The models that ship: they describe themselves, fit, and denoise what they were trained for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from baikal_deploy import Denoiser
from baikal_deploy.models.manifest import read_manifest, shipped_models
from baikal_training.camera import add_noise
from baikal_training.simulate import simulate

Plane = NDArray[np.float32]

SIZE_LIMIT = 10_000_000
SHAPE, SEED, NOISY_PSNR = (1, 1, 128, 128), 100, 12.0
BLURS = np.arange(0.5, 4.1, 0.5)
SPECIMENS = [
    *((name, name) for name in ("nuclei", "tribolium")),
    *(("membranes", specimen) for specimen in ("flywing", "outlines")),
    *(("general", specimen) for specimen in ("nuclei", "filaments", "outlines")),
]


@pytest.fixture(params=shipped_models().values(), ids=shipped_models())
def model(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_the_models_ship() -> None:
    assert list(shipped_models()) == ["general", "membranes", "nuclei", "tribolium"]


def test_a_model_describes_itself(model: Path) -> None:
    manifest = read_manifest(model)
    assert manifest.name == model.stem
    assert model.stat().st_size <= SIZE_LIMIT
    assert set(manifest.card) == {"description", "data", "licence", "limits"}
    assert set(manifest.recommended) == {"forward-backward", "mixing", "repaint"}
    assert manifest.training


@pytest.mark.parametrize(("name", "specimen"), SPECIMENS)
def test_a_model_denoises_its_morphology(name: str, specimen: str) -> None:
    """Less error than the noise by far, and more structure than any Gaussian blur keeps."""
    clean = simulate(specimen, SHAPE, SEED)[0, 0]
    noisy = add_noise(clean, NOISY_PSNR, seed=1)
    with Denoiser.load(name) as denoiser:
        denoised = denoiser.denoise(noisy, "repaint", seed=0)
    assert peak_signal_noise_ratio(clean, denoised, data_range=1.0) > NOISY_PSNR + 9
    blurred = max(similarity(clean, gaussian_filter(noisy, sigma)) for sigma in BLURS)
    assert similarity(clean, denoised) > blurred + 0.02


def similarity(clean: Plane, image: Plane) -> float:
    return float(structural_similarity(clean, image, data_range=1.0))
