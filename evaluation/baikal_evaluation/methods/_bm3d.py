"""BM3D's package, which is not free for every use, and so is installed by those who ask for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.host.extras import install


def bm3d_version() -> str:
    """Version of the package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return version("bm3d")
    except PackageNotFoundError as error:
        raise _missing() from error


def load_bm3d() -> Callable[..., Any]:
    """The package's function.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from bm3d import bm3d  # slow to import
    except ModuleNotFoundError as error:
        raise _missing() from error
    function: Callable[..., Any] = bm3d
    return function


def _missing() -> ConfigError:
    return ConfigError(
        "the package bm3d is not installed, and its licence allows non-commercial use alone "
        f"(docs/licences.md): {install('bm3d')}, or leave these methods out"
    )
