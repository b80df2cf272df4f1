"""The contract of a layout, and what all of them need."""

from __future__ import annotations

import json
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

from baikal_deploy.errors import ConfigError
from baikal_deploy.models.onnx_file import file_sha256
from baikal_export.trained import TrainedModel

T = TypeVar("T")


class Layout(ABC):
    """A way in which another project keeps its models."""

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """True if a path looks like a model of this layout. Never raises."""

    @abstractmethod
    def read(self, path: Path, config: Path | None) -> TrainedModel:
        """The model, its network proved complete: no weight is missing or left over.

        Args:
            path: file or folder of the model.
            config: TOML or JSON file that states what the model's own files do not tell.

        Raises:
            ModelError: no such model, damaged, of another layout, or one that cannot be represented.
            ConfigError: ``config`` lacks something, is wrong, or contradicts the model.
        """


def read_settings(kind: type[T], table: dict[str, Any], config: Path | None) -> T:
    """The settings in a config file's table, as the dataclass ``kind``.

    Raises:
        ConfigError: names and values that ``kind`` does not take.
    """
    from pydantic import TypeAdapter, ValidationError  # here, since importing it takes a while

    try:
        # As JSON, since strict mode then takes lists for tuples, and text for nothing but text.
        return TypeAdapter(kind).validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        name = problem["loc"][0] if problem["loc"] else "settings"
        if isinstance(cause := problem.get("ctx", {}).get("error"), ConfigError):
            raise ConfigError(f"{config}: {cause}") from error
        raise ConfigError(f"{config}: {name} = {problem['input']!r}: {problem['msg']}") from error


def read_table(config: Path | None, names: Collection[str]) -> dict[str, Any]:
    """The table in a config file; without a file an empty one.

    Args:
        names: those that may be in it.

    Raises:
        ConfigError: no such file, not TOML or JSON, or other names.
    """
    table = {} if config is None else _parsed(config)
    for name in table:
        if name not in names:
            raise ConfigError(f"{config}: there is no '{name}'; there are {', '.join(names)}")
    return table


def _parsed(config: Path) -> dict[str, Any]:
    parse = json.loads if config.suffix == ".json" else tomllib.loads
    try:
        table = parse(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        form = "JSON" if config.suffix == ".json" else "TOML"
        raise ConfigError(f"{config}: cannot be read as {form} ({error})") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{config}: holds a {type(table).__name__}; needed is a table of settings")
    return table


def provenance(layout: str, weights: Path, stated: dict[str, Any]) -> dict[str, Any]:
    """The training record of a model that was trained elsewhere.

    Args:
        layout: its name.
        weights: the file with the weights.
        stated: what somebody stated of the model, since it does not say so itself.
    """
    origin = {"format": layout, "file": weights.name, "sha256": file_sha256(weights)}
    return {"imported_from": origin | ({"stated": stated} if stated else {})}
