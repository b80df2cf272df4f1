"""Names of outputs, made of those of inputs."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.volumes.formats import BIOIO_SUFFIXES, PICTURE_SUFFIXES, TIFF_SUFFIXES
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.urls import Source, Url


def default_output(source: Source, series: int | None = None) -> Path:
    """NAME_denoised.ome.zarr beside the input, or beside the store that the input is a part of.

    Args:
        source: the input.
        series: where one was chosen: its number becomes a part of the name.

    Returns:
        An absolute path; for a URL, one in the current folder.
    """
    if isinstance(source, Url):
        return Path(_joined(_inside(source), series)).absolute()
    source = source.absolute()
    parts = [source.name]
    while is_zarr(source.parent) or source.parent.suffix == ".zarr":  # which may not have its metadata yet
        source = source.parent
        parts.insert(0, source.name)
    return source.with_name(_joined(parts, series))


def _inside(url: Url) -> list[str]:
    """Last parts of a URL, from the name of the store on, as far as names tell."""
    parts = [url.name]
    while not parts[0].endswith(".zarr") and any(part.endswith(".zarr") for part in url.text.split("/")):
        url = url.parent
        parts.insert(0, url.name)
    return parts


def _joined(parts: list[str], series: int | None) -> str:
    stems = [_stem(part) for part in parts] + ([] if series is None else [f"series{series}"])
    return "_".join(stems) + "_denoised.ome.zarr"


def renamed(path: Path, text: str) -> Path:
    """A path with a text at the end of its name, before ".ome.zarr" and the like.

    Args:
        text: goes behind the stem of the name.
    """
    stem = _stem(path.name)
    return path.with_name(f"{stem}{text}{path.name[len(stem) :]}")


def _stem(name: str) -> str:
    for suffix in (".zarr", *TIFF_SUFFIXES, *BIOIO_SUFFIXES, *PICTURE_SUFFIXES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name.removesuffix(".ome")
