"""An engine whose planes live in another array module, and perhaps on a device."""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np
import torch
from array_api_compat import array_namespace, device, to_device

from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

SPEC = ScheduleSpec("linear", 1000)

STRICT = array_api_strict.zeros(
    1, dtype=array_api_strict.float32, device=array_api_strict.Device("no_float64")
)
"""Of a device that knows no float64, meets no other, and that NumPy cannot read."""
TORCH = torch.zeros(1)
PLACES = {"numpy": np.zeros(1, np.float32), "strict": STRICT, "torch": TORCH}
"""An array of each place."""
DEVICES = ["strict", "torch"]
"""Those that stand for a device."""


def uploaded(planes: np.ndarray, like: Any) -> Any:
    return array_namespace(like).asarray(planes, device=device(like))


def downloaded(planes: Any) -> np.ndarray:
    if isinstance(planes, array_api_strict._array_object.Array):
        planes = to_device(planes, array_api_strict.Device("CPU_DEVICE"))
    return np.from_dlpack(planes)


class ArrayEngine(Analytic):
    """The analytic formula on planes in ``place``, blurred so that neighbours and borders count.

    Attributes:
        like: an array of the place.
    """

    def __init__(self, place: str, variance: Variance = "learned_range", factor: int = 8) -> None:
        super().__init__(ModelManifest("arrays", SPEC, variance, Normalisation(), factor))
        self.like = PLACES[place]

    def upload(self, planes: Planes) -> Any:
        assert isinstance(planes, np.ndarray)
        return uploaded(planes, self.like)

    def download(self, planes: Any) -> Planes:
        return downloaded(planes)

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        xp = array_namespace(x_t)
        assert xp is array_namespace(self.like)
        assert device(x_t) == device(self.like)
        eps, _ = super()._predict(0.75 * x_t + 0.25 * xp.roll(x_t, (1, 2), axis=(2, 3)), t)
        return eps, xp.tanh(eps) if self.manifest.variance == "learned_range" else None
