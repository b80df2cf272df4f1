"""Reads CZI files (Zeiss) through pylibCZIrw, plane by plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.extras import install
from baikal_deploy.volumes.calibration import Calibration
from baikal_deploy.volumes.series import Index, SeriesVolume, choose, describe_file, opening
from baikal_deploy.volumes.vendors.colors import CHANNELS, czi_colors

KIND = "a CZI file"
TYPES = {"Gray8": "u1", "Gray16": "u2", "Gray32": "u4", "Gray32Float": "f4"}
"""Pixel types by the names that CZI has for them."""
AXES = "tczyx"
"""Order in which planes are handed out."""
SCENES = ".//Information/Image/Dimensions/S/Scenes/Scene"
INTERVAL = ".//Information/Image/Dimensions/T/Positions/Interval/Increment"
DISTANCES = ".//Scaling/Items/Distance"
MICROMETRES = 1e6
"""In a metre, which CZI has pixel sizes in."""

Place = tuple[int, ...]
"""Indices of a plane along t, c and z."""


@dataclass(frozen=True)
class Block:
    """What the directory of a file says of one piece of a plane.

    Attributes:
        at: indices along its axes, by CZI's letters, such as {"T": 0, "C": 1, "S": 0}.
        rectangle: (x, y, width, height) on the stage, in pixels.
        kind: CZI's name of the pixel type.
    """

    at: Mapping[str, int]
    rectangle: tuple[int, int, int, int]
    kind: str

    @property
    def scene(self) -> int:
        """Number of the scene; 0 in a file without scenes."""
        return self.at.get("S", 0)


@dataclass(frozen=True)
class ScenePixels:
    """Pixels of one scene, with the axes t, c, z, y, x; read when they are indexed.

    Attributes:
        path: the file, for messages.
        reader: of pylibCZIrw, open.
        blocks: by their place; of a plane that was not recorded there is none.
    """

    path: Path
    reader: Any
    blocks: Mapping[Place, Block]

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        place: Any = index[:3]
        rows, columns = (part for part in index[3:] if isinstance(part, slice))
        block = self.blocks.get(place)
        if block is None:
            where = " ".join(f"{axis}={at}" for axis, at in zip("tcz", place, strict=True))
            raise VolumeError(
                f"{self.path}: has no plane at {where}, as if the recording had been stopped; leave it out "
                f"(--t, --z), or let baikal-run continue without it (--on-error zero)"
            )
        x, y, width, height = block.rectangle
        top, bottom, _ = rows.indices(height)
        left, right, _ = columns.indices(width)
        roi = (x + left, y + top, right - left, bottom - top)
        scene = block.at.get("S")
        return np.asarray(self.reader.read(roi, dict(block.at), scene, pixel_type=block.kind)[..., 0])


def open_czi(path: Path, series: int | None = None) -> SeriesVolume:
    """Open one scene of a CZI file.

    Args:
        path: the file.
        series: number of the scene; None: the only one.

    Returns:
        The scene as a volume, whose pixels are read when they are asked for.

    Raises:
        VolumeError: a file that is damaged, truncated or not supported; several scenes and no choice; a
            package that is missing.
    """
    reader_type = _reader_type(path)
    with opening(path, KIND):
        with path.open("rb"):  # for a message of the system's own
            pass
        reader = reader_type(str(path))
        blocks = _directory(reader)
        metadata = ElementTree.fromstring(reader.raw_metadata)
    if not blocks:
        raise VolumeError(f"{path}: holds no image; copy or export it again")
    scenes = sorted({block.scene for block in blocks})
    names = _scene_names(metadata, scenes)
    number = choose(path, names, series)
    own = _placed(path, [block for block in blocks if block.scene == scenes[number]])
    sizes = _sizes(own)
    kind = next(iter(own.values())).kind
    calibration = _calibration(metadata, names[number] if len(names) > 1 else None, sizes)
    info = describe_file(path, sizes, TYPES[kind], calibration, (sizes["y"], sizes["x"]))
    return SeriesVolume(info, ScenePixels(path, reader, own), AXES, frozenset([path.resolve()]))


def _reader_type(path: Path) -> Any:
    try:
        return import_module("pylibCZIrw.czi").CziReader
    except ImportError as error:
        raise VolumeError(f"{path}: CZI files need the package pylibCZIrw: {install('bioio')}") from error


def _directory(reader: Any) -> list[Block]:
    """All pieces of full resolution."""
    found: list[Block] = []

    def take(_: int, block: Any) -> bool:
        where = block.logicalRect
        rectangle = (where.x, where.y, where.w, where.h)
        found.append(Block(block.coordinate.to_dict(), rectangle, block.pixelType.name))
        return True

    reader.enumerate_subblocks_subset(take, only_layer0=True)
    return found


def _scene_names(metadata: ElementTree.Element, scenes: Sequence[int]) -> list[str]:
    """Names of scenes; their number where the file has none."""
    named = {scene.get("Index"): scene.get("Name") for scene in metadata.findall(SCENES)}
    return [named.get(str(scene)) or f"scene {scene}" for scene in scenes]


def _placed(path: Path, blocks: Sequence[Block]) -> dict[Place, Block]:
    """Pieces of a scene by place, counted from the first along each axis; refused where they are no grid."""
    _require_alike(path, blocks)
    first = {axis: min(block.at.get(axis, 0) for block in blocks) for axis in "TCZ"}
    found: dict[Place, Block] = {}
    for block in blocks:
        place = tuple(block.at.get(axis, 0) - first[axis] for axis in "TCZ")
        if place in found:
            raise VolumeError(
                f"{path}: holds tiles of a mosaic, which are not supported: stitch them, or save them as "
                f"scenes"
            )
        found[place] = block
    return found


def _require_alike(path: Path, blocks: Sequence[Block]) -> None:
    """Refuse colours, other pixel types, axes that are not known, and planes at several places or sizes."""
    kinds = {block.kind for block in blocks}
    if any(kind.startswith("Bgr") for kind in kinds):
        raise VolumeError(f"{path}: is a colour image; convert it to grey, or split it")
    if len(kinds) > 1 or not kinds <= set(TYPES):
        found = ", ".join(sorted(kinds))
        raise VolumeError(f"{path}: has pixels of the types {found}; supported is one, in grey")
    for axis in sorted({axis for block in blocks for axis in block.at} - {*"TCZS"}):
        if (size := len({block.at.get(axis, 0) for block in blocks})) > 1:
            raise VolumeError(
                f"{path}: axis {axis} of size {size} is not supported, only t, c, z, y, x; split it along it"
            )
    places = {block.rectangle for block in blocks}
    tiled = len({tuple(block.at.get(axis, 0) for axis in "TCZ") for block in blocks}) < len(blocks)
    if len(places) > 1 and not tiled:  # tiles have a message of their own
        raise VolumeError(
            f"{path}: its planes do not lie at one place, or are not of one size; align them, or export it "
            f"again"
        )


def _sizes(placed: Mapping[Place, Block]) -> dict[str, int]:
    *_, width, height = next(iter(placed.values())).rectangle
    steps = (max(numbers) + 1 for numbers in zip(*placed, strict=True))
    return {**dict(zip("tcz", steps, strict=True)), "y": height, "x": width}


def _calibration(metadata: ElementTree.Element, name: str | None, sizes: Mapping[str, int]) -> Calibration:
    known: dict[str, tuple[object, object]] = {}
    for distance in metadata.findall(DISTANCES):
        axis = (distance.get("Id") or "").lower()
        if axis in sizes and (value := _number(distance.findtext("Value"))) is not None:
            known[axis] = value * MICROMETRES, "micrometer"
    if sizes["t"] > 1:
        known["t"] = metadata.findtext(INTERVAL), "second"
    told = zip((one.get("Name") for one in metadata.findall(CHANNELS)), czi_colors(metadata), strict=True)
    channels = [
        {key: value for key, value in (("label", label), ("color", color)) if value} for label, color in told
    ]
    return Calibration.of(known, name, channels if len(channels) == sizes["c"] else ())


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
