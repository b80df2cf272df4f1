"""A corpus: sources of clean images by structure, and how often each is drawn."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_training.data.volumes import CleanVolume


@dataclass(frozen=True)
class Source:
    """Images of one structure from one place.

    Attributes:
        structure: that they show, such as "actin".
        files: patterns of their files and folders, relative to the corpus file.
        weight: how often they are drawn, against the other sources of their structure.
    """

    structure: str
    files: tuple[str, ...]
    weight: float = 1.0

    def paths(self, folder: Path) -> list[Path]:
        """Its files in sorted order.

        Raises:
            ConfigError: a pattern that matches nothing.
        """
        found: list[Path] = []
        for pattern in self.files:
            matches = sorted(folder.glob(pattern))
            if not matches:
                raise ConfigError(f"{folder / pattern}: no such images; check the pattern in the corpus")
            found += matches
        return found


@dataclass(frozen=True)
class Corpus:
    """Sources of clean images, with the share of each structure.

    Attributes:
        folder: that patterns are relative to.
        sources: where the images come from.
        structures: how often each structure is drawn; 1 for what is not named.
    """

    folder: Path
    sources: tuple[Source, ...]
    structures: dict[str, float]

    @classmethod
    def read(cls, path: Path) -> Corpus:
        """The corpus in a TOML file.

        Raises:
            ConfigError: it cannot be read, or is none.
        """
        try:
            fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            sources = tuple(
                Source(s["structure"], tuple(s["files"]), float(s.get("weight", 1))) for s in fields["source"]
            )
            return cls(path.parent, sources, {k: float(v) for k, v in fields.get("structures", {}).items()})
        except (
            OSError,
            UnicodeDecodeError,
            tomllib.TOMLDecodeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise ConfigError(f"{path}: not a corpus ({error})") from error

    def share(self, source: Source) -> float:
        """The share of all crops that a source gives."""
        names = {s.structure for s in self.sources}
        of_structure = self.structures.get(source.structure, 1) / sum(
            self.structures.get(n, 1) for n in names
        )
        beside = sum(s.weight for s in self.sources if s.structure == source.structure)
        return of_structure * source.weight / beside


def weighted(volumes: Sequence[CleanVolume], share: float) -> list[CleanVolume]:
    """Volumes with the weight at which all together are drawn with a share."""
    size = sum(v.planes.shape[0] * math.sqrt(v.planes.shape[1] * v.planes.shape[2]) for v in volumes)
    return [replace(volume, weight=share / size) for volume in volumes]
