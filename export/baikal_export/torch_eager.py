"""The network in torch, as it was before the export: what every file is compared with."""

from __future__ import annotations

import numpy as np
import torch

from baikal_deploy.engines.base import Engine
from baikal_deploy.models.manifest import ModelManifest, Stored
from baikal_deploy.pixels.arrays import Planes
from baikal_export.network import EpsNetwork


class TorchEngine(Engine):
    """torch in eager mode on the CPU, with as many threads as torch is set to."""

    def __init__(self, network: EpsNetwork, manifest: ModelManifest, precision: Stored = "fp32") -> None:
        self.network, self.manifest, self.precision = network.eval(), manifest, precision

    @classmethod
    def version(cls) -> str:
        return f"torch {torch.__version__}"

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        with torch.inference_mode():
            outputs = self.network(torch.from_numpy(np.ascontiguousarray(x_t)), torch.full((len(x_t),), t))
        eps, v = outputs if isinstance(outputs, tuple) else (outputs, None)
        return eps.numpy(), None if v is None else v.numpy()
