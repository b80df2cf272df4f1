"""The files of a diffusers folder, and loading them with the library."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.host.extras import install

UNET = "UNet2DModel"
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Folder:
    """Places of the parts of a model.

    Attributes:
        unet: folder of the UNet's config.json and weights.
        scheduler: the scheduler_config.json; None if there is no scheduler.
    """

    unet: Path
    scheduler: Path | None

    @classmethod
    def find(cls, path: Path) -> Folder | None:
        """A pipeline's folder, with unet and scheduler in it, or that of a UNet2DModel alone.

        Raises:
            ModelError: its config.json is damaged.
        """
        unet = path / "unet" if (path / "unet").is_dir() else path
        config, scheduler = unet / "config.json", path / "scheduler" / "scheduler_config.json"
        if not config.is_file() or read_json(config).get("_class_name") != UNET:
            return None
        return cls(unet, scheduler if scheduler.is_file() else None)

    def weights(self) -> Path:
        """The file with the weights.

        Raises:
            ModelError: there is none, or only what Git LFS puts in its place.
        """
        found = next((self.unet / name for name in _WEIGHTS if (self.unet / name).is_file()), None)
        if found is None:
            raise ModelError(f"{self.unet}: no weights; there must be a {' or a '.join(_WEIGHTS)}")
        with found.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise ModelError(f"{found}: a pointer of Git LFS in place of weights; run git lfs pull")
        return found


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: the file cannot be read, or does not hold a JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(data, dict):
        raise ModelError(f"{path}: holds no JSON object")
    return data


def library_class(name: str) -> Any:
    """A class of diffusers.

    Raises:
        ConfigError: the library is not installed; with the command that does.
    """
    try:
        return getattr(importlib.import_module("diffusers"), name)
    except ImportError as error:
        raise ConfigError(
            f"models of diffusers need the diffusers package: {install('diffusers')}"
        ) from error


def complete(name: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a class of diffusers: what is not stated has the library's default.

    Raises:
        ModelError: fields that the class does not have, so that their meaning is unknown.
    """
    parameters = inspect.signature(library_class(name)).parameters
    fields = {field: value for field, value in stated.items() if not field.startswith("_")}
    if unknown := [field for field in fields if field not in parameters]:
        raise ModelError(f"{unknown[0]} is {fields[unknown[0]]!r}; the installed {name} has no such field")
    return {field: parameter.default for field, parameter in parameters.items()} | fields


def load_unet(folder: Path) -> nn.Module:
    """The UNet2DModel, in evaluation mode and float32.

    Raises:
        ModelError: unreadable, or with weights that are missing or left over.
    """
    try:
        net, report = library_class(UNET).from_pretrained(
            folder,
            local_files_only=True,
            low_cpu_mem_usage=False,  # otherwise it wants another package
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    except ConfigError:
        raise
    except Exception as error:  # damaged files make the library raise almost anything
        text = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{folder}: the UNet cannot be loaded ({text})") from error
    # The library would leave missing weights at random.
    for problem in ("missing_keys", "unexpected_keys"):
        if names := report[problem]:
            few = ", ".join(list(names)[:4])
            raise ModelError(f"{folder}: the weights do not fit config.json: {problem} {few}")
    module: nn.Module = net
    return module.eval()
