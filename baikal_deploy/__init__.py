"""Denoise fluorescence microscopy volumes by sampling from a diffusion model.

>>> from baikal_deploy import Denoiser
>>> clean = Denoiser.load("nuclei").denoise(planes, sampler="repaint", seed=0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from baikal_deploy._version import __version__

if TYPE_CHECKING:
    from baikal_deploy.cluster.client import Cluster
    from baikal_deploy.denoising.denoiser import Denoiser
    from baikal_deploy.errors import BaikalError
    from baikal_deploy.run.config import RunConfig
    from baikal_deploy.run.many.images import Images
    from baikal_deploy.run.many.listener import Listener
    from baikal_deploy.run.result import RunReport
    from baikal_deploy.run.run import Run

__all__ = [
    "BaikalError",
    "Cluster",
    "Denoiser",
    "Images",
    "Listener",
    "Run",
    "RunConfig",
    "RunReport",
    "__version__",
]

_HOMES = {
    "BaikalError": "errors",
    "Cluster": "cluster.client",
    "Denoiser": "denoising.denoiser",
    "Images": "run.many.images",
    "Listener": "run.many.listener",
    "Run": "run.run",
    "RunConfig": "run.config",
    "RunReport": "run.result",
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are first used: importing this package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
