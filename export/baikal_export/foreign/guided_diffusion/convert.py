"""The weights under our names."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from baikal_deploy.errors import ModelError
from baikal_export.foreign.guided_diffusion.parts import Kind, Part, Tensors
from baikal_export.foreign.guided_diffusion.structure import Level, Structure
from baikal_export.foreign.guided_diffusion.tensors import summary
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig

_NAMES: dict[Kind, dict[str, str]] = {
    "conv": {"": ""},
    "down": {"": ".op"},
    "up": {"": ".conv"},
    "res": {
        ".norm1": ".in_layers.0",
        ".conv1": ".in_layers.2",
        ".modulation": ".emb_layers.1",
        ".norm2": ".out_layers.0",
        ".conv2": ".out_layers.3",
        ".skip": ".skip_connection",
    },
    "attention": {".attention.norm": ".norm", ".attention.qkv": ".qkv", ".attention.out": ".proj_out"},
}
"""Our name and theirs of what each kind of part is made of."""
_ENDS = {
    "embed.0": "time_embed.0",
    "embed.2": "time_embed.2",
    "stem": "input_blocks.0.0",
    "norm": "out.0",
    "head": "out.2",
}


def convert(structure: Structure, tensors: Tensors, config: UNetConfig, new_order: bool) -> UNet:
    """The same network as our UNet, in evaluation mode.

    Args:
        config: the shape that ``structure`` and the settings give.
        new_order: rows of qkv are all queries, all keys, all values (use_new_attention_order), as
            ours; otherwise queries, keys and values of the first head, then of the next.

    Raises:
        ModelError: tensors that are missing, left over, or of an unexpected shape.
    """
    with torch.device("meta"):
        net = UNet(config)
    expected = {name: value.shape for name, value in net.state_dict().items()}
    names = {ours: theirs for ours, theirs in _names(structure) if ours in expected}
    if rest := {name: value for name, value in tensors.items() if name not in names.values()}:
        raise ModelError(f"left over are {summary(rest)}")
    weights = {}
    for ours, theirs in names.items():
        if theirs not in tensors:
            raise ModelError(f"there is no {theirs}")
        weights[ours] = _fitted(theirs, tensors[theirs], expected[ours])
        if ".attention.qkv." in ours and not new_order:
            width = len(weights[ours]) // 3
            weights[ours] = _by_role(weights[ours], config.heads_of(width))
    net.load_state_dict(weights, assign=True)
    return net.eval()


def _fitted(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """The tensor as float32 in our shape; attention is a 1D convolution there and a 2D one here."""
    if tensor.shape != shape and (*tensor.shape, 1) != tuple(shape):
        raise ModelError(f"{name} has the shape {tuple(tensor.shape)}; expected is {tuple(shape)}")
    return tensor.float().reshape(shape).contiguous()


def _by_role(rows: Tensor, heads: int) -> Tensor:
    """Reorder rows: (heads x (q, k, v) x width, …) -> ((q, k, v) x heads x width, …)."""
    return rows.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


def _names(structure: Structure) -> Iterator[tuple[str, str]]:
    """Yield (our name, their name) of every tensor that such parts can have."""
    for ours, part in _parts(structure):
        for inner, outer in _NAMES[part.kind].items():
            for tensor in ("weight", "bias"):
                yield f"{ours}{inner}.{tensor}", f"{part.name}{outer}.{tensor}"


def _parts(structure: Structure) -> Iterator[tuple[str, Part]]:
    for ours, theirs in _ENDS.items():
        yield ours, Part("conv", theirs)
    for level, (down, up) in enumerate(zip(structure.encoder, structure.decoder, strict=True)):
        yield from _level_parts(f"encoder.{level}", f"down.{level}", down)
        yield from _level_parts(f"decoder.{level}", f"up.{level - 1}", up)
    block = -1
    for part in structure.middle_parts:
        block += part.kind == "res"
        yield f"middle.{block}", part


def _level_parts(blocks: str, resample: str, level: Level) -> Iterator[tuple[str, Part]]:
    for index, parts in enumerate(level.blocks):
        yield from ((f"{blocks}.{index}", part) for part in parts)
    if level.resample is not None:
        yield resample, level.resample
