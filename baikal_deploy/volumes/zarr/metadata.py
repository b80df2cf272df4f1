"""OME-NGFF image metadata: 0.4 and 0.5 are read and written.

Specification: https://ngff.openmicroscopy.org/0.5/. Reading is lenient where only display or pixel
size is at stake and strict where pixels could be taken for others; what is written is validated
with yaozarrs.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import Any

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.axes import normalise_unit
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.names import member
from baikal_deploy.volumes.pyramid import Level
from baikal_deploy.volumes.urls import Source, inside

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
WHITE = "FFFFFF"
COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")
"""Colours of several channels without any; who sees colours badly can tell the first two apart."""
SUPPORTED_VERSIONS = ((0, 4), (0, 5))


@dataclass(frozen=True)
class ImageMetadata:
    """Level 0 of an image's first multiscale.

    Attributes:
        dataset: path of its array inside the image's group.
        axes, scale, translation, name, omero: as in VolumeInfo.
    """

    dataset: str
    axes: tuple[Axis, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    name: str | None
    omero: dict[str, Any] | None


def image_block(attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Part of a group's attributes that describes an image; None if the group is not an image.

    In NGFF 0.5 it is "ome", in 0.4 all of them.

    Args:
        attributes: of the group.
    """
    ome = attributes.get("ome")
    block = ome if isinstance(ome, Mapping) else attributes
    return block if "multiscales" in block else None


def read_image(path: Source, block: Mapping[str, Any]) -> ImageMetadata:
    """Read an image block.

    Args:
        path: the group, for messages.
        block: as ``image_block`` gives it.

    Raises:
        VolumeError: a version that is not supported, metadata that breaks the specification, or an array
            that is not in the group.
    """
    try:
        return _parse(path, block)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise VolumeError(
            f"{path}: its OME-NGFF metadata is damaged ({type(error).__name__}: {error}); "
            f"export the image again, or give the array inside it"
        ) from error


def _parse(path: Source, block: Mapping[str, Any]) -> ImageMetadata:
    multiscale = block["multiscales"][0]
    _check_version(path, str(block.get("version") or multiscale.get("version") or "0.4"))
    dataset = multiscale["datasets"][0]
    axes = tuple(Axis(axis["name"].lower(), normalise_unit(axis.get("unit"))) for axis in multiscale["axes"])
    steps = [*(dataset.get(_TRANSFORMS) or ()), *(multiscale.get(_TRANSFORMS) or ())]
    scale, translation = _combine(path, steps, len(axes))
    name, omero = multiscale.get("name"), block.get("omero")
    return ImageMetadata(
        dataset=inside(member(path, dataset["path"], "an array"), path),
        axes=axes,
        scale=scale,
        translation=translation,
        name=name if isinstance(name, str) else None,
        omero=omero if isinstance(omero, dict) else None,
    )


_TRANSFORMS = "coordinateTransformations"


def _check_version(path: Source, version: str) -> None:
    found = re.match(r"(\d+)\.(\d+)", version)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    if number > max(SUPPORTED_VERSIONS):
        raise VolumeError(
            f"{path}: OME-NGFF {version} is newer than 0.5, and its coordinate systems would be misread; "
            f"convert it to OME-NGFF 0.5, or give the array inside it"
        )
    if number not in SUPPORTED_VERSIONS:
        raise VolumeError(
            f"{path}: OME-NGFF {version} is not supported, only 0.4 and 0.5; convert it to OME-NGFF 0.5"
        )


Vector = tuple[float, ...]


def _combine(path: Source, steps: Iterable[Mapping[str, Any]], ndim: int) -> tuple[Vector, Vector]:
    """Scale and translation that equal the steps, applied in order: the dataset's, then the multiscale's."""
    scale, translation = np.ones(ndim), np.zeros(ndim)
    for step in steps:
        if step["type"] == "scale":
            factors = _vector(path, "scale", step["scale"], ndim)
            factors[factors == 0] = 1  # pymmcore-plus writes 0 for an unknown pixel size
            with np.errstate(over="ignore"):  # VolumeInfo refuses infinite ones
                scale, translation = scale * factors, translation * factors
        elif step["type"] == "translation":
            translation = translation + _vector(path, "translation", step["translation"], ndim)
        elif step["type"] != "identity":
            raise VolumeError(
                f"{path}: coordinate transformation '{step['type']}' is not supported, only scale and "
                f"translation; convert it to OME-NGFF 0.5, or give the array inside it"
            )
    return tuple(scale.tolist()), tuple(translation.tolist())


def _vector(
    path: Source, label: str, values: Sequence[float], ndim: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (ndim,) or not np.isfinite(vector).all():
        raise VolumeError(
            f"{path}: {label} {values} must be one finite number for each of the {ndim} axes; "
            f"correct the metadata"
        )
    return vector


def image_attributes(info: VolumeInfo, levels: Sequence[Level]) -> dict[str, Any]:
    """The "ome" attribute of an OME-NGFF 0.5 image whose levels lie in arrays "0", "1", …

    Args:
        info: the volume, as level 0 has it.
        levels: all of them, level 0 first.

    Raises:
        VolumeError: what is known of the volume does not make valid metadata.
    """
    multiscale: dict[str, Any] = {
        "axes": [_axis(axis) for axis in info.axes],
        "datasets": [_dataset(info, index, level) for index, level in enumerate(levels)],
        "type": "mean",
        "metadata": {"description": "mean over 2 x 2 pixels of the level above; only y and x are reduced"},
    }
    if info.name is not None:
        multiscale["name"] = info.name
    block: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if (omero := _complete_omero(info)) is not None:
        block["omero"] = omero
    validate(info.path, block)
    return block


def _axis(axis: Axis) -> dict[str, str]:
    entry = {"name": axis.name, "type": AXIS_TYPES[axis.name]}
    return entry if axis.unit is None else entry | {"unit": axis.unit}


def _dataset(info: VolumeInfo, index: int, level: Level) -> dict[str, Any]:
    steps = [
        {"type": "scale", "scale": list(level.scale(info))},
        {"type": "translation", "translation": list(level.translation(info))},
    ]
    return {"path": str(index), _TRANSFORMS: steps}


def _complete_omero(info: VolumeInfo) -> dict[str, Any] | None:
    """The input's omero block with what 0.5 demands and many files lack.

    A missing colour becomes white, or one of COLORS where no channel of several has one; a missing window the
    range of the pixel type. The block's own "version" names the old NGFF, and is left out.
    """
    channels = (info.omero or {}).get("channels")
    if info.omero is None or not isinstance(channels, list) or not all(isinstance(c, dict) for c in channels):
        return None
    kept = {key: value for key, value in info.omero.items() if key != "version"}
    told = len(channels) == 1 or any("color" in channel for channel in channels)
    colors = repeat(WHITE) if told else cycle(COLORS)
    completed = [
        _complete_channel(channel, color, info.dtype)
        for channel, color in zip(channels, colors, strict=False)
    ]
    return kept | {"channels": completed}


def _complete_channel(channel: dict[str, Any], default: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    low, high = (float(limits.min), float(limits.max)) if limits else (0.0, 1.0)
    found = channel.get("window")
    known = {k: v for k, v in found.items() if v is not None} if isinstance(found, dict) else {}
    if limits is None:  # a real type has no range of its own
        low, high = known.get("start", low), known.get("end", high)
    window = {"min": low, "max": high, "start": low, "end": high, **known}
    color = channel.get("color")
    valid = isinstance(color, str) and re.fullmatch(r"#?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})", color)
    return {**channel, "color": color if valid else default, "window": window}


def validate(path: Source, block: dict[str, Any]) -> None:
    """Refuse the "ome" attribute of an image, plate or well, or all of one of 0.4, that is not valid.

    Args:
        path: what it describes, for messages.
        block: the attribute.

    Raises:
        VolumeError: it breaks the specification, or holds what JSON cannot.
    """
    from yaozarrs import v04, v05  # pydantic takes long to load; only writers need it

    version = "0.5" if "version" in block else "0.4"
    known: Any = v05 if version == "0.5" else v04
    model = known.Plate if "plate" in block else known.Well if "well" in block else known.Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a unit which is not an NGFF name: allowed, and carried over
        try:
            model.model_validate(block)
            json.dumps(block, allow_nan=False, ensure_ascii=False).encode()
        except ValueError as error:
            raise VolumeError(
                f"{path}: its metadata does not make valid OME-NGFF {version} ({_reason(error)}); correct it"
            ) from error


def _reason(error: ValueError) -> str:
    """Faults on one line: each one that pydantic lists, or what JSON has no place for."""
    listed = getattr(error, "errors", None)
    if listed is None:  # NaN, an infinite number, half a character
        return f"it holds what JSON cannot: {error}"
    found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in listed())
    return " ".join("; ".join(found).split())
