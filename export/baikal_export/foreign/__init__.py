"""Models of other projects: one module or package per layout, named after it."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.plugins import load_plugin, plugin_names
from baikal_export.foreign.base import Layout


def layout_names() -> list[str]:
    return plugin_names(__name__)


def layout(name: str) -> Layout:
    """The layout of that name.

    Raises:
        ConfigError: no such layout; the message lists those there are.
    """
    return load_plugin(__name__, name, Layout)()  # type: ignore[type-abstract]


def recognised(path: Path) -> str | None:
    """Name of the layout that a file or folder looks like, if there is one."""
    return next((name for name in layout_names() if layout(name).recognises(path)), None)
