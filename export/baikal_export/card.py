"""The model card that goes into a file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import ConfigError

CARD_TABLES = ("card", "recommended")


def read_card(path: Path) -> dict[str, Any]:
    """The card and the recommended options of a model.

    Raises:
        ConfigError: no such file, not TOML, or tables and options that nothing knows.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a model card ({error})") from error
    for table in tables:
        if table not in CARD_TABLES:
            raise ConfigError(f"{path}: unknown table [{table}]; there are {', '.join(CARD_TABLES)}")
    card, recommended = tables.get("card", {}), tables.get("recommended", {})
    _check_table(path, "card", card, str, "text")
    _check_table(path, "recommended", recommended, dict, "a table of a sampler's options")
    for sampler, options in recommended.items():
        try:
            make_sampler(sampler, options, {})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    return tables


def _check_table(path: Path, name: str, table: Any, kind: type, needed: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name} = {table}: needed is a table [{name}]")
    for key, value in table.items():
        if not isinstance(value, kind):
            raise ConfigError(f"{path}: [{name}] {key} = {value}: needed is {needed}")
