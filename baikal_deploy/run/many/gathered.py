"""Several inputs of one command: patterns spelled out, images and folders put together."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.many.folder import Folder
from baikal_deploy.volumes.open import is_image
from baikal_deploy.volumes.places import real_path
from baikal_deploy.volumes.urls import Source, Url


def expand(inputs: Sequence[Source]) -> list[Source]:
    """Inputs with the names that a pattern stands for in its place, such as "raw/*.tif"; each once.

    Shells do so themselves, but for the one of Windows, and for patterns in quotes. A file of that very name
    comes first.

    Args:
        inputs: paths, URLs and patterns.

    Raises:
        VolumeError: a pattern that nothing goes with.
    """
    listed = [path for one in inputs for path in _expanded(one)]
    return list({real_path(path): path for path in reversed(listed)}.values())[::-1]


def _expanded(path: Source) -> Sequence[Source]:
    if isinstance(path, Url) or os.path.lexists(path) or not glob.has_magic(str(path)):
        return [path]
    found = sorted(map(Path, glob.glob(str(path), recursive=True)))
    if not found:
        raise VolumeError(f"{path}: no file has such a name; check the pattern")
    return found


def gather(inputs: Sequence[Source], output: Path | None, *, recursive: bool) -> Folder:
    """The images of several inputs, as if they lay in one folder.

    Args:
        inputs: images, and folders with images.
        output: the folder of the outputs, in which no input is looked for.
        recursive: look into folders in folders, too.

    Raises:
        ConfigError: a URL.
        VolumeError: an input that is not there, or no image at all.
    """
    images: dict[Path, Path] = {}
    others: list[Path] = []
    for path in inputs:
        if isinstance(path, Url):
            raise ConfigError(f"{path}: is a URL, which cannot be one of several inputs; give it alone")
        if not os.path.lexists(path):
            raise VolumeError(f"{path}: does not exist; check the path")
        folder = Folder.at(path, recursive=recursive, without=output)
        if folder is not None:
            images |= folder.places
            others += folder.others
        elif is_image(path):
            images[path] = Path()
        else:
            others.append(path)
    if not images:
        raise VolumeError(f"{', '.join(map(str, inputs))}: no image is there that can be read")
    return Folder(_common(list(images)), images, tuple(others))


def _common(images: Sequence[Path]) -> Path:
    """Folder that holds all; images on several drives have none in common."""
    try:
        return Path(os.path.commonpath([path.parent for path in images]))
    except ValueError:
        return images[0].parent
