"""The split of volumes into those to train on, to validate with, and to test with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_training.data.corpus import Corpus
from baikal_training.data.volumes import CleanVolume


@dataclass(frozen=True)
class Shares:
    """Shares of the data for each part; only their ratios matter.

    Raises:
        ConfigError: a share that is negative or not finite, or none to train on.
    """

    training: float = 80
    validation: float = 10
    test: float = 10

    def __post_init__(self) -> None:
        if not all(0 <= share < math.inf for share in astuple(self)) or not self.training:
            raise ConfigError(
                f"--split {self}: shares must be 0 or more, and the training's above 0; for example 80:10:10"
            )

    @classmethod
    def parse(cls, text: str) -> Shares:
        """The shares in a text such as "80:10:10".

        Raises:
            ConfigError: a text of another form, or shares that cannot be used.
        """
        try:
            training, validation, test = map(float, text.split(":"))
        except ValueError as error:
            raise ConfigError(
                f"--split {text}: give three shares, training:validation:test, for example 80:10:10"
            ) from error
        return cls(training, validation, test)

    def __str__(self) -> str:
        return ":".join(f"{share:g}" for share in astuple(self))

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Interval of each part with a share, within 0 … 1."""
        parts = {part: share for part, share in asdict(self).items() if share > 0}
        total, edges, found = sum(parts.values()), 0.0, {}
        for part, share in parts.items():
            found[part] = (edges, edges + share / total)
            edges += share / total
        return found


@dataclass(frozen=True)
class Split:
    """Volumes by what they are for, and the corpus that they are of; None for folders and files."""

    training: tuple[CleanVolume, ...]
    validation: tuple[CleanVolume, ...]
    test: tuple[CleanVolume, ...]
    corpus: Corpus | None = None

    def as_dict(self) -> dict[str, list[dict[str, Any]]]:
        """The split as a record in JSON."""
        parts = {"training": self.training, "validation": self.validation, "test": self.test}
        return {part: [_described(volume) for volume in volumes] for part, volumes in parts.items()}

    def corpus_as_dict(self) -> dict[str, Any] | None:
        """The corpus as a record in JSON, with what there is of each source to train on; None without one."""
        return None if self.corpus is None else self.corpus.as_dict(self.training)


def _described(volume: CleanVolume) -> dict[str, Any]:
    planes, height, width = volume.planes.shape
    source = {"source": volume.source} if volume.source else {}
    return source | {
        "name": volume.name,
        "fingerprint": volume.fingerprint,
        "planes": planes,
        "shape": [height, width],
        "dtype": volume.planes.dtype.name,
    }


def split(volumes: Sequence[CleanVolume], shares: Shares, corpus: Corpus | None = None) -> Split:
    """Deal out volumes, never single planes of them, and never the members of a group to different parts.

    The part follows from a volume's fingerprint, so it stays when others come or files are renamed; that of
    a group follows from its name. Where that leaves a part empty, the group or volume that lies nearest to it
    is moved there. Volumes of a corpus get their weights by what is there of each source in their part.

    Raises:
        ConfigError: fewer groups and volumes than parts.
    """
    groups: dict[str, list[CleanVolume]] = {}
    for volume in volumes:
        groups.setdefault(_key(volume), []).append(volume)
    intervals = shares.intervals()
    if len(groups) < len(intervals):
        raise ConfigError(_too_few(len(groups), shares, len(intervals)))
    parts: dict[str, list[str]] = {part: [] for part in intervals}
    for key in groups:
        parts[min(intervals, key=lambda part: _distance(key, intervals[part]))].append(key)
    for part, interval in intervals.items():
        if not parts[part]:
            _fill(parts, part, interval)
    dealt = {part: tuple(v for key in keys for v in groups[key]) for part, keys in parts.items()}
    if corpus is not None:
        dealt = {part: corpus.weighted(held) for part, held in dealt.items()}
    return Split(dealt.get("training", ()), dealt.get("validation", ()), dealt.get("test", ()), corpus)


def _key(volume: CleanVolume) -> str:
    """The hexadecimal digits that decide on a volume's part."""
    return hashlib.sha256(volume.group.encode()).hexdigest() if volume.group else volume.fingerprint


def _fill(parts: dict[str, list[str]], empty: str, interval: tuple[float, float]) -> None:
    """Move the nearest of a part that can spare one."""
    spare = [(key, held) for held in parts.values() if len(held) > 1 for key in held]
    nearest, held = min(spare, key=lambda pair: (_distance(pair[0], interval), pair[0]))
    held.remove(nearest)
    parts[empty].append(nearest)


def _distance(key: str, interval: tuple[float, float]) -> float:
    """Distance of the number that a key stands for from an interval; 0 inside."""
    number = (int(key[:13], 16) + 0.5) / 16**13
    return max(interval[0] - number, number - interval[1], 0.0)


def _too_few(count: int, shares: Shares, parts: int) -> str:
    found = "is only 1 clean volume" if count == 1 else f"are only {count} clean volumes"
    options = "" if count < 2 else "--split 90:10:0, or "
    return (
        f"--split {shares}: there {found} for {parts} parts, and planes of one volume are never split, nor "
        f"parts of one image; give more, or use {options}--split 100:0:0 to go without validation"
    )
