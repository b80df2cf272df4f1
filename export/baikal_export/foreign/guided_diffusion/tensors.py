"""Reading the tensors of a state dict, and no code with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baikal_deploy.errors import ModelError
from baikal_training.checkpoint import FORMAT

NESTED = ("ema", "ema_state_dict", "state_dict", "model_state_dict", "model")
"""Entries in which training scripts keep the state dict; EMA first, since one samples with those weights."""
FIRST = "input_blocks.0.0.weight"
EXPECTED = f"time_embed.0.weight, {FIRST}, middle_block.*, output_blocks.*, out.2.weight"
_SHOWN = 4


@dataclass(frozen=True)
class StateDict:
    """The tensors of one network, without what their names have in common.

    Attributes:
        tensors: by name, as in the original UNetModel.
        entry: the entry of the file that holds them; "" if the file is the state dict.
    """

    tensors: dict[str, Tensor]
    entry: str = ""


def load_state_dict(path: Path) -> StateDict:
    """The state dict of a UNetModel, whole or in one of the entries NESTED, with any prefix.

    Raises:
        ModelError: no such file, unreadable, with more than tensors, or of another layout.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make torch raise almost anything
        raise ModelError(
            f"{path}: cannot be read as a file of tensors: it is damaged, or holds Python objects, which are "
            "never loaded; save its state dict alone"
        ) from error
    if not isinstance(data, dict):
        raise ModelError(f"{path}: holds a {type(data).__name__}; needed is a state dict")
    if data.get("format") == FORMAT:
        raise ModelError(f"{path}: a checkpoint of baikal-train; export it without --from")
    entry = next((name for name in NESTED if _is_network(data.get(name))), "")
    return StateDict(_without_prefix(path, data[entry] if entry else data), entry)


def _is_network(value: Any) -> bool:
    return isinstance(value, dict) and any(str(name).endswith(FIRST) for name in value)


def _without_prefix(path: Path, tensors: dict[Any, Any]) -> dict[str, Tensor]:
    found = [str(name).removesuffix(FIRST) for name in tensors if str(name).endswith(FIRST)]
    if not found:
        raise ModelError(
            f"{path}: not of this layout: found are {summary(tensors)}; expected are {EXPECTED}, alone or "
            f"in an entry {', '.join(NESTED)}"
        )
    if len(found) > 1:
        raise ModelError(
            f"{path}: holds several networks, prefixed {', '.join(found)}; save one of them alone"
        )
    strange = {name: value for name, value in tensors.items() if not _is_weight(name, value, found[0])}
    if strange:
        raise ModelError(f"{path}: beside the network are {summary(strange)}; save its state dict alone")
    return {name.removeprefix(found[0]): value for name, value in tensors.items()}


def _is_weight(name: Any, value: Any, prefix: str) -> bool:
    named = isinstance(name, str) and name.startswith(prefix)
    return named and isinstance(value, Tensor) and value.is_floating_point()


def summary(entries: dict[Any, Any]) -> str:
    """Number of entries, and the first few with their shapes or types."""
    first = ", ".join(
        f"{name} {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        for name, value in list(entries.items())[:_SHOWN]
    )
    more = ", …" if len(entries) > _SHOWN else ""
    return f"{len(entries)} entries ({first}{more})"
