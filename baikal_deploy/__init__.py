"""Denoise fluorescence microscopy volumes by sampling from a diffusion model.

>>> from baikal_deploy import denoise, denoise_file
>>> report = denoise_file("cells.tif", "clean.ome.tif")
>>> clean = denoise(stack, axes="zyx")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from baikal_deploy._version import __version__

if TYPE_CHECKING:
    from baikal_deploy.cluster.client import Cluster
    from baikal_deploy.denoising.denoiser import Denoiser
    from baikal_deploy.denoising.images import denoise
    from baikal_deploy.denoising.trust import Maps
    from baikal_deploy.errors import BaikalError
    from baikal_deploy.live.denoiser import LiveDenoiser
    from baikal_deploy.run.config import RunConfig
    from baikal_deploy.run.many.images import Images
    from baikal_deploy.run.many.listener import Listener
    from baikal_deploy.run.result import RunReport
    from baikal_deploy.run.run import Run
    from baikal_deploy.run.simple import denoise_file, follow

__all__ = [
    "BaikalError",
    "Cluster",
    "Denoiser",
    "Images",
    "Listener",
    "LiveDenoiser",
    "Maps",
    "Run",
    "RunConfig",
    "RunReport",
    "__version__",
    "denoise",
    "denoise_file",
    "follow",
]

_HOMES = {
    "BaikalError": "errors",
    "Cluster": "cluster.client",
    "Denoiser": "denoising.denoiser",
    "Images": "run.many.images",
    "Listener": "run.many.listener",
    "LiveDenoiser": "live.denoiser",
    "Maps": "denoising.trust",
    "Run": "run.run",
    "RunConfig": "run.config",
    "RunReport": "run.result",
    "denoise": "denoising.images",
    "denoise_file": "run.simple",
    "follow": "run.simple",
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are first used: importing this package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
