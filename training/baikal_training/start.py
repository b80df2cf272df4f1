"""The model that a training starts from: a checkpoint, or an .onnx file, such as those that are shipped."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import torch

from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError, EngineUnavailable
from baikal_deploy.models.manifest import (
    MOST_BYTES,
    ModelManifest,
    find_model,
    is_shipped,
    name_now,
    read_manifest,
    shipped_models,
)
from baikal_deploy.models.onnx_file import file_sha256
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Diffusion, Objective
from baikal_training.onnx_weights import network_of, weights_in
from baikal_training.unet import UNet

TOLERANCE = 1e-4
"""Largest relative error (L2) of the network in torch against the .onnx file; exporting allows a tenth."""
_SIDE = 4  # of the plane that they are compared on, in units of the downsampling


@dataclass(frozen=True)
class Start:
    """The model whose weights a training begins with: of a checkpoint, the averaged ones.

    Attributes:
        path: as it was given: the name of a shipped model, or a file.
        sha256: of the file.
    """

    path: str
    sha256: str

    @classmethod
    def of(cls, model: str) -> Self:
        """The start from a shipped model's name, an .onnx file, or a checkpoint.

        Raises:
            ConfigError: there is no such file, or it cannot be read.
        """
        path = _file(model)
        try:
            if not os.path.isfile(path):  # unlike Path.is_file, false for a name that is too long
                names = ", ".join(shipped_models())
                raise ConfigError(
                    f"--init {model}: no such checkpoint or .onnx file, and no shipped model ({names})"
                )
            if path.suffix == ".onnx" and path.stat().st_size > MOST_BYTES:
                raise ConfigError(f"--init {model}: is larger than any ONNX file; get or export it again")
            return cls(model, file_sha256(path))
        except OSError as error:
            raise ConfigError(f"--init {model}: cannot be read ({error.strerror})") from error

    @property
    def is_onnx(self) -> bool:
        return _file(self.path).suffix == ".onnx"

    def record(self, first: Checkpoint) -> dict[str, object]:
        """What the new model's record says of the one before it."""
        return {"model": Path(name_now(self.path)).name, "sha256": self.sha256, **first.training}


def _file(model: str) -> Path:
    return find_model(model) if is_shipped(model) else Path(model)


@lru_cache(maxsize=1)
def first_model(start: Start) -> Checkpoint:
    """The model that a training starts from; without its state.

    Raises:
        ModelError: the file is damaged, or not a model.
        ConfigError: a training cannot start from it.
        EngineUnavailable: what an .onnx file is compared with is not installed.
    """
    path = _file(start.path)
    first = _of_onnx(start.path, path) if start.is_onnx else replace(Checkpoint.load(path), state=None)
    if first.noise_correlation is not None:
        raise ConfigError(_TUNED.format(start.path))
    return first


_TUNED = (
    "--init {}: was fine-tuned to noise that neighbouring pixels share, and knows no other; give the model "
    "that it was fine-tuned from"
)


def _of_onnx(name: str, path: Path) -> Checkpoint:
    """The checkpoint that an .onnx file was exported from, as far as the file tells."""
    manifest = read_manifest(path)
    if manifest.precision != "fp32":
        raise ConfigError(
            f"--init {name}: its weights are rounded to {manifest.precision}; give the file in fp32, or the "
            "checkpoint (.pt) that it was exported from"
        )
    if manifest.noise_correlation is not None:
        raise ConfigError(_TUNED.format(name))
    weights = weights_in(path)
    unet = network_of(name, manifest, weights)
    net = UNet(unet)
    net.load_state_dict(weights)
    objective = _objective(name, path, manifest, net.eval())
    record = manifest.training | {"noise": None}  # as the manifest says that it is white
    return Checkpoint(unet, manifest.schedule, objective, manifest.normalisation, weights, record)


def _objective(name: str, path: Path, manifest: ModelManifest, net: UNet) -> Objective:
    """What the network predicts: that with which it computes the same as the file.

    Names and shapes do not tell all of a network, so both are evaluated.

    Raises:
        ConfigError: it computes something else whatever it predicts.
    """
    side = _SIDE * net.config.downsampling
    x = np.random.default_rng(0).standard_normal((1, 1, side, side), dtype=np.float32)
    wanted = _evaluated(name, path, manifest, x)
    for objective in (Objective("velocity", manifest.variance), Objective("eps", manifest.variance)):
        found = _computed(net, Diffusion(manifest.schedule.build(), objective), x)
        if np.linalg.norm(found - wanted) <= TOLERANCE * np.linalg.norm(wanted):  # false for NaN
            return objective
    raise ConfigError(
        f"--init {name}: computes something else than the network that its weights are named for; give the "
        "checkpoint (.pt) that it was exported from"
    )


def _evaluated(name: str, path: Path, manifest: ModelManifest, x: np.ndarray) -> np.ndarray:
    """Outputs of the file itself, by ONNX Runtime: (timesteps, outputs, 1, H, W)."""
    try:
        with open_engine("onnx-cpu", path, manifest, EngineOptions(threads=1)) as engine:
            return np.array(
                [_stacked(*engine.predict(x, t)) for t in _probed(manifest.schedule.num_timesteps)]
            )
    except EngineUnavailable as error:
        raise EngineUnavailable(
            f"--init {name}: the weights of an .onnx file are checked against it: {error}"
        ) from error


def _computed(net: UNet, diffusion: Diffusion, x: np.ndarray) -> np.ndarray:
    """The same by torch."""
    plane, outputs = torch.from_numpy(x), []
    with torch.no_grad():
        for timestep in _probed(diffusion.num_timesteps):
            t = torch.tensor([timestep])
            output = net(plane, t)
            eps = diffusion.to_eps(output[:, :1], plane, t).numpy()
            outputs.append(_stacked(eps, output[:, 1:].numpy() if output.shape[1] > 1 else None))
    return np.array(outputs)


def _probed(timesteps: int) -> tuple[int, int]:
    """Timesteps at which the two are compared."""
    return timesteps // 10, timesteps // 2


def _stacked(eps: np.ndarray, v: np.ndarray | None) -> np.ndarray:
    return eps[0] if v is None else np.concatenate([eps[0], v[0]])
