"""NDTiff data sets that another process is writing: an image counts when the index names it.

The index is written after the pixels, but may end in the middle of an entry, or in zeros.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.growing.base import CannotFollow, Seen
from baikal_deploy.volumes.names import require_beside
from baikal_deploy.volumes.series import choose
from baikal_deploy.volumes.urls import stamp
from baikal_deploy.volumes.vendors.ndtiff import (
    AXES,
    INDEX,
    list_series,
    open_ndtiff,
    read_index,
    series_of,
    spell_series,
)

MOST_BYTES = 2**32
"""Bytes of a file of a data set, all of which it has until it is finished."""
MARGIN = 2**23
"""Bytes, more than a writer leaves of a file, beside one image, before it begins another one."""


@dataclass(frozen=True)
class _Entry:
    """Image, as the index has it.

    Attributes:
        axes: its position.
        file: name of its file.
        begin, end: bytes of the file that the image takes, up to its metadata's end.
        raw: the entry.
    """

    axes: dict[str, Any]
    file: str
    begin: int
    end: int
    raw: bytes


def look_at_ndtiff(path: Path, series: int | None, before: Seen, final: bool) -> Seen:
    """Look once at an NDTiff data set; see ``Look``.

    An axis of one step is not an axis for ``open_ndtiff``: a second step is waited for.
    """
    index = stamp(path / INDEX)  # first: what is written after it was taken is looked at the next time
    same = before.opened is not None and before.opened[0] == index
    entries = before.opened[1] if same else list(_entries(path, read_index(path / INDEX)))
    if not entries:
        return Seen(None)
    files = {entry.file for entry in entries}
    _require_own_files(path, files)
    keys = list_series(entry.axes for entry in entries)
    number = _choose(path, [spell_series(key, keys) for key in keys], series)
    own = [entry for entry in entries if series_of(entry.axes) == keys[number]]
    ended = _is_finished(path, entries[-1])
    whole, rest = _whole_steps(path, own, final or ended)
    seen = [len(entries), *(stamp(path / name) for name in sorted(files))]
    opened = index, entries
    if not whole or not (final or ended or len(whole) > 1):
        return Seen(None, seen, ended, rest, opened=opened)
    if same and before.steps == len(whole):
        return replace(before, stamp=seen, ended=ended, rest=rest)
    others = [entry for entry in entries if series_of(entry.axes) != keys[number]]
    kept = [*others, *(entry for step in whole for entry in step)]
    volume = open_ndtiff(path, number, b"".join(entry.raw for entry in kept))
    return Seen(volume, seen, ended, rest, opened=opened)


def _require_own_files(path: Path, names: Collection[str]) -> None:
    try:
        for name in names:
            require_beside(path, name)
    except VolumeError as error:
        raise CannotFollow(str(error)) from error


def _choose(path: Path, names: Sequence[str], series: int | None) -> int:
    try:
        return choose(path, names, series)
    except VolumeError as error:
        if series is None:
            raise CannotFollow(str(error)) from error
        raise  # it may come yet


def _entries(path: Path, index: bytes) -> Iterator[_Entry]:
    """Whole entries of an index."""
    begin = 0
    while (numbers := _field(index, begin)) is not None and numbers[1]:
        try:
            axes = json.loads(numbers[1])
        except ValueError as error:
            raise VolumeError(f"{path}: its index is damaged ({error}); export it again") from error
        name = _field(index, numbers[0])
        if name is None or name[0] + 32 > len(index):
            return
        pixels, *_, metadata, size, _ = (
            int.from_bytes(index[at : at + 4], "little") for at in range(name[0], name[0] + 32, 4)
        )
        end = name[0] + 32
        yield _Entry(axes, name[1].decode(), pixels, metadata + size, index[begin:end])
        begin = end


def _field(index: bytes, at: int) -> tuple[int, bytes] | None:
    """End and contents of a text with its length before it; None if the index ends before that."""
    end = at + 4 + int.from_bytes(index[at : at + 4], "little")
    return (end, index[at + 4 : end]) if at + 4 <= end <= len(index) else None


def _is_finished(path: Path, last: _Entry) -> bool:
    """True if the last file was cut to what is in it, and not because it was full."""
    found = stamp(path / last.file)
    image = last.end - last.begin
    return found is not None and found[0] == last.end and last.end + image + MARGIN < MOST_BYTES


def _whole_steps(path: Path, own: Sequence[_Entry], ended: bool) -> tuple[list[list[_Entry]], bool]:
    """The images of each whole step of the first axis; whether there are others.

    Raises:
        CannotFollow: an axis that is written in another order than along the first.
    """
    first = next((axis for axis in AXES if axis in own[0].axes), None)
    if first is None:
        raise CannotFollow(f"{path}: has no axis to follow it along; run without --follow")
    steps: dict[Any, dict[tuple[Any, ...], _Entry]] = {}
    for entry in own:
        others = tuple(entry.axes.get(axis) for axis in AXES if axis != first)
        steps.setdefault(entry.axes[first], {})[others] = entry
    if list(steps) != sorted(steps):
        raise CannotFollow(
            f"{path}: is not written in the order of axis {AXES[first]}; run without --follow when it "
            f"is whole"
        )
    # The first step is whole when another begins: until then nobody knows how much it will hold.
    *before, last = steps.values()
    wanted = set(before[0] if before else last)
    if any(set(step) != wanted for step in before):
        raise CannotFollow(
            f"{path}: its steps along axis {AXES[first]} do not hold the same images, or are not written one "
            f"after the other; run without --follow when it is whole"
        )
    single = all(other is None for other in next(iter(wanted)))
    takes_last = set(last) == wanted and (bool(before) or ended or single)
    whole = [*before, last] if takes_last else before
    return [list(step.values()) for step in whole], not takes_last
