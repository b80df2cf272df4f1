"""Names of outputs, made of those of inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from baikal_deploy.volumes.formats import MICROSCOPE_SUFFIXES, PICTURE_SUFFIXES, TIFF_SUFFIXES, is_tiff
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.urls import Source, Url

Kind = Literal["tif", "zarr"]
"""Formats that are written, by the ending of their names."""


def kind_of(source: Source) -> Kind:
    """Format of an output that nobody has chosen: a file becomes a TIFF, and a folder or URL a Zarr store.

    Args:
        source: the input.
    """
    return "tif" if isinstance(source, Path) and source.is_file() else "zarr"


def kind_of_name(path: Path) -> Kind | None:
    """Format that a name stands for; None for one of neither.

    Args:
        path: of an output.
    """
    if is_tiff(path):
        return "tif"
    return "zarr" if path.suffix.lower() == ".zarr" else None


def default_output(source: Source, series: int | None = None, kind: Kind | None = None) -> Path:
    """NAME_denoised.ome.tif or .ome.zarr beside the input, or beside the store that the input is a part of.

    Args:
        source: the input.
        series: where one was chosen: its number becomes a part of the name.
        kind: of the output; None: the one that goes with the input.

    Returns:
        An absolute path; for a URL, one in the current folder.
    """
    ending = f".ome.{kind or kind_of(source)}"
    if isinstance(source, Url):
        return Path(_joined(_inside(source), series, ending)).absolute()
    source = source.absolute()
    parts = [source.name]
    while is_zarr(source.parent) or source.parent.suffix == ".zarr":  # which may not have its metadata yet
        source = source.parent
        parts.insert(0, source.name)
    return source.with_name(_joined(parts, series, ending))


def _inside(url: Url) -> list[str]:
    """Last parts of a URL, from the name of the store on, as far as names tell."""
    parts = [url.name]
    while not parts[0].endswith(".zarr") and any(part.endswith(".zarr") for part in url.text.split("/")):
        url = url.parent
        parts.insert(0, url.name)
    return parts


def _joined(parts: list[str], series: int | None, ending: str) -> str:
    stems = [stem_of(part) for part in parts] + ([] if series is None else [f"series{series}"])
    return f"{'_'.join(stems)}_denoised{ending}"


def renamed(path: Path, text: str) -> Path:
    """A path with a text at the end of its name, before ".ome.zarr" and the like.

    Args:
        text: goes behind the stem of the name.
    """
    stem = stem_of(path.name)
    return path.with_name(f"{stem}{text}{path.name[len(stem) :]}")


def stem_of(name: str) -> str:
    """Name of an image without the ending that tells its format: "cells" of "cells.ome.tif".

    Args:
        name: of a file or store.
    """
    for suffix in (".zarr", *TIFF_SUFFIXES, *MICROSCOPE_SUFFIXES, *PICTURE_SUFFIXES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name.removesuffix(".ome")
