"""Packages of the extras whose licences ask more than to be named; docs/licences.md has them all."""

from __future__ import annotations

from importlib import metadata

CONDITIONS = {
    "bm3d": "non-commercial use alone",
    "pylibczirw": "LGPL 3",
    "pymmcore": "LGPL 2.1",
    "PySide6-Essentials": "LGPL 3",
    "tensorrt-cu13": "NVIDIA's licence",
    "tensorrt-rtx-cu13": "NVIDIA's licence",
    "nvidia-cublas": "NVIDIA's licence",
    "nvidia-cudnn-cu13": "NVIDIA's licence",
}
"""Licence, in a few words, by the name of the package."""


def conditions() -> dict[str, str]:
    """The packages that are installed here of those that ask more, and what their licences are."""
    return {name: words for name, words in CONDITIONS.items() if _is_installed(name)}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
