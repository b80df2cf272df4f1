"""Software, model and engine of a denoiser, for the provenance."""

from __future__ import annotations

from typing import Any

from baikal_deploy._version import __version__
from baikal_deploy.denoising.denoiser import Denoiser

SOFTWARE = {"software": "baikal-deploy", "version": __version__}


def made_with(denoiser: Denoiser) -> dict[str, Any]:
    """Software, model and engine of a denoiser, as JSON holds them.

    Args:
        denoiser: a loaded model.
    """
    return {**SOFTWARE, **model_and_engine(denoiser)}


def model_and_engine(denoiser: Denoiser) -> dict[str, Any]:
    """Model and engine of a denoiser, as JSON holds them.

    Args:
        denoiser: a loaded model.
    """
    engine = denoiser.predictor.engine
    return {
        "model": {"name": denoiser.manifest.name, "sha256": denoiser.model_sha256},
        "engine": {
            "name": engine.name,
            "version": engine.version(),
            "device": engine.device,
            "precision": engine.precision,
        },
    }
