"""Weights out of the .onnx file of a network of ours, without the onnx package.

The file is untrusted: it is read as far as the names, shapes and numbers of its tensors, and a network that
it claims to hold is checked against them before it takes any memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.models.onnx_file import NotProtobuf, fields
from baikal_training.unet import UNet
from baikal_training.unet_config import PRESETS, UNetConfig

Weights = dict[str, Tensor]

_PREFIX = "net."  # of all weights in a file of baikal-export
_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto, as in onnx.proto
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9  # of TensorProto
_FLOAT = 1


def weights_in(path: Path) -> Weights:
    """The float32 weights in an .onnx file of baikal-export, by their names in the network.

    Raises:
        ModelError: the file cannot be read, or a tensor in it is damaged.
    """
    try:
        data = path.read_bytes()
        found = {name: tensor for name, tensor in _tensors(data) if name.startswith(_PREFIX)}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (IndexError, ValueError, NotProtobuf) as error:
        raise ModelError(f"{path}: its weights are damaged; get or export it again") from error
    # The first exporter put ".blocks" between a level and its blocks.
    return {name.removeprefix(_PREFIX).replace(".blocks.", "."): tensor for name, tensor in found.items()}


def _tensors(data: bytes) -> Iterator[tuple[str, Tensor]]:
    """Name and numbers of each float32 tensor of the graph."""
    for number, graph in fields(data):
        if number != _GRAPH or not isinstance(graph, memoryview):
            continue
        for inside, tensor in fields(graph):
            if inside == _INITIALIZER and isinstance(tensor, memoryview):
                yield from _tensor(tensor)


def _tensor(message: memoryview) -> Iterator[tuple[str, Tensor]]:
    shape: list[int] = []
    name, kind, raw = "", None, b""
    for number, value in fields(message):
        if number == _DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == _TYPE:
            kind = value
        elif number == _NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == _RAW and isinstance(value, memoryview):
            raw = bytes(value)
    if kind == _FLOAT and raw:
        if 4 * math.prod(shape) != len(raw):
            raise ValueError(f"tensor {name} has {len(raw)} bytes for {shape}")
        yield name, torch.from_numpy(np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape))


def _packed(value: memoryview) -> list[int]:
    """The varints of a packed field."""
    numbers, number, shift = [], 0, 0
    for byte in bytes(value):
        number, shift = number | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers


def network_of(name: str, manifest: ModelManifest, weights: Weights) -> UNetConfig:
    """The shape of the network that weights belong to.

    It is the one in the model's record; files from before it was recorded hold a preset.

    Raises:
        ConfigError: none has just these weights; the message says what is known of the reason.
    """
    found = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    candidates = _candidates(name, manifest, weights)
    for unet in candidates:
        shapes = _shapes(unet)
        if shapes == found:
            return unet
        if {key: shape for key, shape in shapes.items() if not _is_norm(key)} == found:
            raise ConfigError(
                f"--init {name}: its network has normalisation layers, whose weights an .onnx file keeps "
                "under other names; give the checkpoint (.pt) that it was exported from"
            )
    raise ConfigError(
        f"--init {name}: not a network of baikal-train, or one with other layers than the presets; give the "
        "checkpoint (.pt) that it was exported from"
    )


def _is_norm(key: str) -> bool:
    return any(part.startswith("norm") for part in key.split("."))


def _candidates(name: str, manifest: ModelManifest, weights: Weights) -> list[UNetConfig]:
    recorded: Any = manifest.training.get("unet")
    if recorded is None:
        outputs = 2 if manifest.variance == "learned_range" else 1
        return [replace(preset, out_channels=outputs) for preset in PRESETS.values()]
    try:
        unet = UNetConfig.from_dict(recorded)
    except (ConfigError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"--init {name}: its record of the network is damaged; export it again") from error
    # A record may ask for any size: none is larger than the weights that are there.
    most = max((tensor.numel() for tensor in weights.values()), default=0)
    widths = (*unet.channels, unet.embedding, unet.sinusoids, unet.unshuffle**2)
    if max(widths) > most or sum(unet.blocks) + len(unet.middle) > len(weights):
        return []
    return [unet]


def _shapes(unet: UNetConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's weights; takes no memory for them."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in UNet(unet).state_dict().items()}
