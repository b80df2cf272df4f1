"""The table of tests/formats.md: how sample files of other programs open. Run it to write the table anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes import VolumeInfo
from baikal_deploy.volumes.formats import is_ndtiff
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.paths import is_zarr

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "tests" / "formats.md"
FOLDERS = ("formats", "stacks_3d_t", "membranes")
BESIDE = {".txt", ".index", ".xml", ".json", ".md", ".yml", ".py"}
"""Files that describe others."""
DEPTH = 3
HEAD = "| file | axes | type | pixel size | channels |\n|---|---|---|---|---|\n"


def candidates(folder: Path) -> Iterator[Path]:
    """Everything below a folder that somebody might give: files, data sets, stores, and images in stores that
    are none. Of the files that differ only in their number, the first."""
    numbered: set[str] = set()
    for path in sorted(folder.iterdir()):
        if is_zarr(path):
            yield from _stores(path, DEPTH)
        elif is_ndtiff(path):
            yield path
        elif path.is_dir():
            yield from candidates(path)
        elif path.suffix not in BESIDE and (kind := path.name.rstrip(path.suffix).rstrip("0123456789")):
            if kind not in numbered or not path.stem[-5:].isdigit():
                yield path
            numbered.add(kind)


def _stores(path: Path, depth: int) -> Iterator[Path]:
    yield path
    try:
        open_input(path)
    except VolumeError:
        children = sorted(child for child in path.iterdir() if is_zarr(child) and child.name != "OME")
        for child in children if depth else ():
            yield from _stores(child, depth - 1)


def row(path: Path) -> str:
    """A line of the table. The last plane is read, too."""
    name = path.relative_to(DATA).as_posix()
    try:
        volume = open_input(path)
        volume.read([volume.info.num_planes - 1])
    except VolumeError as error:
        reason = str(error).replace(f"{path}: ", "").replace(f"{DATA}/", "").replace("|", "\\|")
        return f"| {name} | refused: {reason} | | | |\n"
    info = volume.info
    axes = " ".join(f"{axis.name}{size}" for axis, size in zip(info.axes, info.shape, strict=True))
    return f"| {name} | {axes} | {info.dtype} | {_sizes(info)} | {_channels(info)} |\n"


def _sizes(info: VolumeInfo) -> str:
    known = [
        f"{axis.name} {scale:.6g} {axis.unit or ''}".strip()
        for axis, scale in zip(info.axes, info.scale, strict=True)
        if axis.unit is not None or scale != 1
    ]
    return ", ".join(known) or "unknown"


def _channels(info: VolumeInfo) -> str:
    names = [info.channel_name(channel) for channel in range(info.num_channels)]
    return ", ".join("" if name == f"channel {number}" else name for number, name in enumerate(names)).strip(
        ", "
    )


def table() -> str:
    return HEAD + "".join(row(path) for folder in FOLDERS for path in candidates(DATA / folder))


def written() -> tuple[str, str]:
    """The page before the table, and the table."""
    prose, head, rows = PAGE.read_text(encoding="utf-8").partition(HEAD)
    return prose, head + rows


if __name__ == "__main__":
    PAGE.write_text(written()[0] + table(), encoding="utf-8")
