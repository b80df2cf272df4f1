"""The parts that a state dict is made of, as its names tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from baikal_deploy.errors import ModelError

Tensors = dict[str, Tensor]
Kind = Literal["conv", "res", "attention", "down", "up"]

_MARKS: dict[str, Kind] = {
    "weight": "conv",
    "in_layers.2.weight": "res",
    "qkv.weight": "attention",
    "op.weight": "down",
    "conv.weight": "up",
}
"""Tensors that tell the kind of a part: only a part of this kind has such a one."""


@dataclass(frozen=True)
class Part:
    kind: Kind
    name: str


def stack(tensors: Tensors, name: str) -> list[list[Part]]:
    """The blocks of a stack and their parts, in order; a middle block's parts are blocks of their own.

    Raises:
        ModelError: there is no such stack, or one of its blocks or parts is missing or unknown.
    """
    deep = name != "middle_block"
    pattern = re.compile(rf"({name}\.(\d+)" + (r"\.(\d+))" if deep else r")()") + r"\.(.+)")
    found: dict[int, dict[int, tuple[str, set[str]]]] = {}
    for key in tensors:
        if match := pattern.fullmatch(key):
            part, index, position, rest = match.groups()
            found.setdefault(int(index), {}).setdefault(int(position or 0), (part, set()))[1].add(rest)
    for index in range(len(found)):
        if index not in found:
            raise ModelError(
                f"{name}.{index} has no weights; resampling without (conv_resample=False) is not supported"
            )
    if not found:
        raise ModelError(f"there is no {name}")
    return [[Part(_kind(*found[i][k]), found[i][k][0]) for k in sorted(found[i])] for i in sorted(found)]


def _kind(name: str, tensors: set[str]) -> Kind:
    for mark, kind in _MARKS.items():
        if mark in tensors:
            return kind
    raise ModelError(f"{name}: a part of an unknown kind, with {', '.join(sorted(tensors)[:4])}")


def rows(tensors: Tensors, name: str) -> int:
    return _shape(tensors, name)[0]


def columns(tensors: Tensors, name: str) -> int:
    return _shape(tensors, name)[1]


def _shape(tensors: Tensors, name: str) -> tuple[int, ...]:
    """Shape of a layer's weight. Raises ModelError if there is no such tensor, or if it is not one."""
    if name not in tensors:
        raise ModelError(f"there is no {name}")
    if tensors[name].ndim < 2:
        raise ModelError(f"{name} has the shape {tuple(tensors[name].shape)}, which no layer's weight has")
    return tuple(tensors[name].shape)
