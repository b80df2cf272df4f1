"""Models that were fine-tuned to correlated noise: what the runtime makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError
from baikal_export.fused import parse
from baikal_export.onnx_file import export
from baikal_training.camera import ROW_KERNEL, Camera
from baikal_training.simulate import simulate
from tests.clean import soft_plane
from tests.models import eps_network, tiny_checkpoint, tiny_manifest

STD = 30.0
CENTRE = (0.0, 1 / 6, 2 / 3, 1.0, 2 / 3, 1 / 6, 0.0)
"""Of ROW_KERNEL with itself."""
KERNEL = ((0.0,) * 7,) * 3 + (CENTRE,) + ((0.0,) * 7,) * 3
MANIFEST = replace(tiny_manifest(tiny_checkpoint()), noise_correlation=KERNEL)
WALKS = ["forward-backward", "mixing", "posterior", "repaint"]


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Denoiser]:
    path: Path = tmp_path_factory.mktemp("model") / "tuned.onnx"
    export(eps_network(tiny_checkpoint()), MANIFEST, path)
    with Denoiser.load(path, "onnx-cpu", threads=1) as loaded:
        yield loaded


def noisy_planes() -> np.ndarray:
    """Blobs under noise that has the autocorrelation."""
    clean = np.stack([soft_plane(seed, 128) for seed in range(4)])
    noise = convolve1d(np.random.default_rng(0).standard_normal(clean.shape), ROW_KERNEL, axis=2, mode="wrap")
    return np.asarray(500 + 2.0 * clean + STD * noise)


@pytest.mark.parametrize("noise", ["signal", "uniform"])
def test_the_network_is_told_the_total_standard_deviation(noise: Any, denoiser: Denoiser) -> None:
    """The finest detail shows √(1/3) of it."""
    sampler = make_sampler("matched", {"noise": noise}, {})
    found = denoiser.measure(list(noisy_planes()), sampler)
    start = denoiser.recipe(sampler, found, 0).sampler.start  # type: ignore[attr-defined]
    level = ScheduleSpec().build().noise_of_timestep(start)
    assert level == pytest.approx(found.intensity.normalised_sigma(STD), rel=0.05)
    assert found.sigma == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("name", WALKS)
def test_samplers_that_add_white_noise_are_refused(name: str, denoiser: Denoiser) -> None:
    with pytest.raises(ConfigError, match=r"model tiny: was fine-tuned .*; choose sampler auto or matched"):
        denoiser.denoise(noisy_planes(), name)


def test_none_of_them_is_fused() -> None:
    with pytest.raises(ConfigError, match=r"this sampler adds white noise"):
        parse("repaint", MANIFEST)


def test_noise_of_another_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A network that says that it knows noise as correlated as this camera's gets."""
    clean = simulate("nuclei", (1, 2, 128, 128), 5)[0]
    with Denoiser.load("nuclei", "onnx-cpu") as denoiser:
        engine = denoiser.predictor.engine
        engine.manifest = denoiser.manifest = replace(denoiser.manifest, noise_correlation=KERNEL)
        white, own = (
            list(Camera(photons=20, correlated=share).expose(clean, 1).astype(np.float32)) for share in (0, 1)
        )
        unlike = [
            noise.unlike
            for noise in (
                denoiser.measure(one, make_sampler("matched", {}, {})).noise for one in (white, own)
            )
            if noise is not None
        ]
        denoiser.denoise(np.stack(white), "matched")
    # This network only knows white noise, and so leaves some of the other one.
    assert unlike[0] > 0.5 > 0.2 > unlike[1]
    assert "not what the model was fine-tuned to" in caplog.text


@pytest.mark.parametrize("name", ["auto", "matched"])
def test_the_others_denoise(name: str, denoiser: Denoiser) -> None:
    assert np.isfinite(denoiser.denoise(noisy_planes(), name)).all()
