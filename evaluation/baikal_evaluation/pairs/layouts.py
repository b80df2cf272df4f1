"""Layouts that data sets of pairs come in."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.pairs.pair import MaxProjection, Pair, different
from baikal_training.data.readers import Channel, Image, Planes, care_pair, images, is_image, is_volume

LAYOUTS = (
    "a folder with noisy/ and clean/, CARE's test data (condition_1/ … or low/, and GT/), CARE's .npz, "
    "or a .csv with the columns name, noisy, clean"
)
COLUMNS = ("name", "noisy", "clean")
LISTED = 10
"""Names that a message lists at most."""


def pairs_at(path: Path, channel: Channel) -> Iterable[Pair]:
    """Pairs of a data set, as ``find_pairs`` describes them.

    Args:
        path, channel: as for ``find_pairs``.

    Raises:
        EvaluationError: as for ``find_pairs``, but for a data set without pairs.
        VolumeError: an image that cannot be read.
        OSError: a folder or file that cannot be looked at.
    """
    if path.is_dir():
        return _in_folder(path, channel)
    if path.suffix.lower() == ".npz":
        return _in_npz(path, channel)
    if path.suffix.lower() == ".csv":
        return _in_table(path, channel)
    problem = "is not a data set" if path.exists() else "no such file or folder"
    raise EvaluationError(f"{path}: {problem}; needed is {LAYOUTS}")


def _in_folder(path: Path, channel: Channel) -> Iterator[Pair]:
    sides = sorted(
        entry
        for entry in path.iterdir()
        if entry.is_dir() and re.fullmatch("noisy|low|condition_.*", entry.name)
    )
    for noisy in sides:
        clean = path / ("clean" if noisy.name == "noisy" else "GT")
        prefix = f"{noisy.name}/" if len(sides) > 1 else ""
        for name, first, second in _matched(noisy, clean):
            yield from _pairs(prefix + name, first, second, channel)


def _matched(noisy: Path, clean: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Name, noisy and clean path of each pair in two folders."""
    first = _by_name(noisy)
    if not clean.is_dir():
        yield from ((name, path, None) for name, path in first.items())
        return
    second = _by_name(clean)
    alone = {noisy: first.keys() - second.keys(), clean: second.keys() - first.keys()}
    if any(alone.values()):
        lists = [f"only {folder.name}/ has {_listed(names)}" for folder, names in alone.items() if names]
        raise EvaluationError(
            f"{noisy.parent}: images without a partner: {'; '.join(lists)}: rename or remove them"
        )
    yield from ((name, first[name], second[name]) for name in first)


def _by_name(folder: Path) -> dict[str, Path]:
    """Images in a folder by their names without suffixes. Hidden entries are not images."""
    found = [
        entry
        for entry in sorted(folder.iterdir())
        if not entry.name.startswith(".") and (is_volume(entry) if entry.is_dir() else is_image(entry))
    ]
    names = [re.sub(r"(\.ome)?\.[^.]+$", "", entry.name, flags=re.IGNORECASE) for entry in found]
    _require_unique(str(folder), names)
    return dict(zip(names, found, strict=True))


def _in_table(path: Path, channel: Channel) -> Iterator[Pair]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel writes a byte order mark
            table = csv.DictReader(file)
            rows, columns = list(table), table.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path}: is not a CSV file in UTF-8 ({error}); save it as one") from error
    if not set(COLUMNS) <= set(columns):
        found = f"the columns {', '.join(columns)}" if columns else "no columns"
        raise EvaluationError(f"{path}: has {found}; needed are {', '.join(COLUMNS)}")
    _require_unique(str(path), [row["name"] for row in rows])
    for number, row in enumerate(rows, 1):
        if not (row["name"] and row["noisy"]):
            raise EvaluationError(f"{path}: row {number} has no name or no noisy image; fill it in")
        clean = path.parent / row["clean"] if row["clean"] else None
        yield from _pairs(row["name"], path.parent / row["noisy"], clean, channel)


def _pairs(name: str, noisy: Path, clean: Path | None, channel: Channel) -> Iterator[Pair]:
    """The pair of two files, or one of each time point."""
    image, truth = _only(noisy), None if clean is None else _only(clean)
    is_series = _depth(image) > 1 and "t" in image.axes
    noisy_images = image.along("t") if is_series else [image]
    clean_images = truth.along("t") if truth and is_series else [truth] * len(noisy_images)
    if truth and len(noisy_images) != len(clean_images):
        raise different(name, image.shape, truth.shape)
    for time, (first, second) in enumerate(zip(noisy_images, clean_images, strict=True)):
        own = f"{name}, time {time}" if len(noisy_images) > 1 else name
        planes = None if second is None else second.planes(channel)
        yield Pair(own, first.planes(channel), planes, _depth(first) > 1)


def _only(path: Path) -> Image:
    if not path.exists():
        raise EvaluationError(f"{path}: no such image; correct the path")
    if path.suffix.lower() == ".npz":
        raise EvaluationError(f"{path}: holds both sides of many pairs; give the file itself as the data set")
    found = images(path)
    if len(found) > 1:
        raise EvaluationError(f"{path}: holds {len(found)} images; save each in a file of its own")
    return found[0]


def _in_npz(path: Path, channel: Channel) -> Iterator[Pair]:
    noisy, clean = (side.along("s") for side in care_pair(path))
    if len(noisy) != len(clean):
        raise EvaluationError(
            f"{path}: has {len(noisy)} noisy and {len(clean)} clean samples; make them match"
        )
    for number, (image, truth) in enumerate(zip(noisy, clean, strict=True)):
        planes: Planes = image.planes(channel)
        if _depth(truth) < _depth(image):
            planes = MaxProjection(planes)
        yield Pair(f"{path.stem} {number}", planes, truth.planes(channel), _depth(truth) > 1)


def _depth(image: Image) -> int:
    return image.shape[image.axes.index("z")] if "z" in image.axes else 1


def _require_unique(where: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise EvaluationError(f"{where}: several images are named {_listed(twice)}; give each its own name")


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - LISTED} more" if len(ordered) > LISTED else ""
    return ", ".join(ordered[:LISTED]) + more
