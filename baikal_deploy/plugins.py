"""A folder is a registry: each module in it is a plug-in, named after its file."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeVar

from baikal_deploy.errors import ConfigError

T = TypeVar("T")


def plugin_names(package: str) -> list[str]:
    """Names of the plug-ins of a package: its modules but ``base`` and private ones, with "-" for "_"."""
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(
        module.name.replace("_", "-")
        for module in modules
        if module.name != "base" and not module.name.startswith("_")
    )


def load_plugin(package: str, name: str, base: type[T]) -> type[T]:
    """The one subclass of ``base`` that the plug-in's module defines.

    Raises:
        ConfigError: no such plug-in; the message lists those there are.
    """
    kind = package.rpartition(".")[2].rstrip("s")
    names = plugin_names(package)
    if name not in names:
        raise ConfigError(f"unknown {kind} '{name}'; choose one of {', '.join(names)}")
    module = importlib.import_module(f"{package}.{name.replace('-', '_')}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    )
    return found
