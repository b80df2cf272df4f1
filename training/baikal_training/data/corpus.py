"""A corpus: sources of clean images by structure, and how often each is drawn."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_training.data.augmentation import AUGMENTATIONS
from baikal_training.data.volumes import CleanVolume


@dataclass(frozen=True)
class Source:
    """Images of one structure from one place.

    Attributes:
        name: of the source, another for each.
        structure: that they show, such as "actin".
        files: patterns of their files and folders, relative to the corpus file.
        weight: how often they are drawn, against the other sources of their structure.
        licence: that they are under.
        attribution: who made them.
        origin: where they were taken from.
        processing: what was done to them.
        augmentation: the name of their own; "" for the training's.
        parent: regular expression that finds, in the names of files, which image they are parts of: those in
            which it finds the same text stay together in the split; "^" keeps the whole source together.
    """

    name: str
    structure: str
    files: tuple[str, ...]
    weight: float = 1.0
    licence: str = ""
    attribution: str = ""
    origin: str = ""
    processing: str = ""
    augmentation: str = ""
    parent: str = ""

    def paths(self, folder: Path) -> list[Path]:
        """Its files and folders, in sorted order for each pattern.

        Raises:
            ConfigError: a pattern that matches nothing.
        """
        found: list[Path] = []
        for pattern in self.files:
            matches = sorted(folder.glob(pattern))
            if not matches:
                raise ConfigError(
                    f"{folder / pattern}: no such images; check 'files' of the source {self.name!r}, "
                    f"and that the images are there"
                )
            found += [path for path in matches if path not in found]
        return found

    def marked(self, volume: CleanVolume) -> CleanVolume:
        """A volume of this source, with what the source says of it.

        Raises:
            ConfigError: ``parent`` finds nothing in its file's name.
        """
        group = ""
        if self.parent:
            file = Path(volume.name).name
            found = re.search(self.parent, file)
            if found is None:
                raise ConfigError(
                    f"{volume.name}: 'parent' of the source {self.name!r}, {self.parent!r}, finds nothing in "
                    f"its name; it must tell of each file which image it is a part of"
                )
            group = f"{self.name}: {found.group()}"
        own = AUGMENTATIONS[self.augmentation] if self.augmentation else None
        return replace(volume, source=self.name, group=group, augmentation=own)


@dataclass(frozen=True)
class Corpus:
    """Sources of clean images, with the share of each structure.

    Attributes:
        name: of the corpus.
        folder: that patterns are relative to.
        structures: how often each structure is drawn; 1 for what is not named.
        sources: where the images come from.
    """

    name: str
    folder: Path
    structures: dict[str, float]
    sources: tuple[Source, ...]

    def paths(self) -> Iterator[tuple[Source, list[Path]]]:
        """Each source, with its files and folders.

        Raises:
            ConfigError: a pattern that matches nothing, or a file of two sources.
        """
        owners: dict[Path, str] = {}
        for source in self.sources:
            paths = source.paths(self.folder)
            for path in paths:
                if path in owners:
                    raise ConfigError(
                        f"{path}: is in the sources {owners[path]!r} and {source.name!r}; make their "
                        f"patterns tell such files apart"
                    )
                owners[path] = source.name
            yield source, paths

    def weighted(self, volumes: Sequence[CleanVolume]) -> tuple[CleanVolume, ...]:
        """Volumes with the weights by which each source is drawn with its share of what is there."""
        sizes: dict[str, float] = defaultdict(float)
        for volume in volumes:
            sizes[volume.source] += volume.size
        shares = self.shares(sizes.keys())
        return tuple(replace(v, weight=shares[v.source] / sizes[v.source]) for v in volumes)

    def shares(self, names: Collection[str]) -> dict[str, float]:
        """The share of all crops that each of some sources gives, if there are no others."""
        present = [source for source in self.sources if source.name in names]
        beside: dict[str, float] = defaultdict(float)
        for source in present:
            beside[source.structure] += source.weight
        total = sum(self.structures.get(structure, 1) for structure in beside)
        return {
            s.name: self.structures.get(s.structure, 1) / total * s.weight / beside[s.structure]
            for s in present
        }

    def as_dict(self, volumes: Sequence[CleanVolume]) -> dict[str, Any]:
        """The corpus as a record in JSON, with the share, volumes and planes of each source to train on."""
        shares = self.shares({v.source for v in volumes})
        counts, planes = Counter[str](), Counter[str]()
        for volume in volumes:
            counts[volume.source] += 1
            planes[volume.source] += volume.planes.shape[0]
        sources = [
            {name: value for name, value in asdict(source).items() if value}
            | {
                "share": round(shares.get(source.name, 0.0), 6),
                "volumes": counts[source.name],
                "planes": planes[source.name],
            }
            for source in self.sources
        ]
        return {"name": self.name, "structures": self.structures, "sources": sources}
