"""What a killed run leaves: it is used again where it is whole, and removed where it is not."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from baikal_deploy.volumes.inputs import is_tiff
from baikal_deploy.volumes.stores import PROVENANCE, discard, foreign_file, remove_tree, translated


def is_complete(path: Path) -> bool:
    """Whether this is an output of this package that was finished."""
    if is_tiff(path) and path.is_file():
        from baikal_deploy.volumes.tiff_output import is_complete_tiff

        return is_complete_tiff(path)
    try:
        attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
        return attributes[PROVENANCE]["complete"] is True
    except (OSError, ValueError, LookupError, TypeError):
        return False


def remove_leftover(path: Path, *, tiff: bool) -> None:
    """Removes an output that a run left, a TIFF file or a Zarr store.

    Raises:
        VolumeError: as ``discard``.
    """
    if not tiff or path.is_dir():
        discard(path)
        return
    with translated(path, "removed"):
        path.unlink()


def sweep(root: Path, keep: Collection[Path]) -> None:
    """Removes every file of a store but metadata and those to keep: shards that nobody vouches for, and
    files that were being written.

    Raises:
        VolumeError: the system refuses.
    """
    with translated(root, "swept"):
        for folder, _, names in os.walk(root):
            for name in names:
                if name != "zarr.json" and Path(folder, name) not in keep:
                    Path(folder, name).unlink()


def sweep_replaced(path: Path) -> None:
    """Removes the stores that ``replace_store`` had put aside from ``path`` when it was killed.

    Raises:
        VolumeError: the system refuses.
    """
    with translated(path, "swept"):
        for aside in path.parent.iterdir():
            ours = (
                aside.name.startswith(f"{path.name}.replaced-") and aside.is_dir() and not aside.is_symlink()
            )
            if ours and os.listdir(aside) in ([], [path.name]) and foreign_file(aside) is None:
                remove_tree(aside)
