"""A plate, or a store of several images, as input: its images, and the same structure as output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from baikal_deploy._version import __version__
from baikal_deploy.errors import VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.resume.fingerprint import differences
from baikal_deploy.volumes.create import check_output_place, format_of
from baikal_deploy.volumes.paths import PROVENANCE, discard, is_zarr
from baikal_deploy.volumes.places import check_paths
from baikal_deploy.volumes.urls import Source, inside

OF_NO_EFFECT = (
    "input", "output", "memory", "on_error", "overwrite", "shard", "format", "folder", "ending",
)  # fmt: skip
"""Options that may differ when a run is continued."""
MAX_LISTED = 20


@dataclass(frozen=True)
class Collection:
    """The images in a plate (its fields), or in a store of bioformats2raw's layout (its series).

    Attributes:
        path: the store.
        images: all of them, in order.
        absent: wells that a plate lists, but that are not there.
    """

    path: Source
    images: tuple[Source, ...]
    absent: tuple[str, ...] = ()

    @classmethod
    def at(cls, path: Source) -> Collection | None:
        """The images at a path; None if it is not such a store, or holds one image only.

        Args:
            path: of anything.

        Raises:
            VolumeError: its metadata is damaged.
        """
        if not is_zarr(path):
            return None
        from baikal_deploy.volumes.zarr.collections import is_plate, is_series_group
        from baikal_deploy.volumes.zarr.reader import attributes_of, list_series, plate_fields

        attributes = attributes_of(path)
        if is_plate(attributes):
            fields, absent = plate_fields(path, attributes)
            if not fields:
                raise VolumeError(f"{path}: is a plate of which no well is there; copy it again")
            return cls(path, tuple(path / field for field in fields), tuple(absent))
        images = list_series(path) if is_series_group(attributes) else []
        return cls(path, tuple(images)) if len(images) > 1 else None

    @property
    def _inner(self) -> dict[Source, str]:
        """Path in the store of each image."""
        return {image: inside(image, self.path) for image in self.images}

    @property
    def others(self) -> tuple[Path, ...]:
        """No other files: only images are in such a store."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Remark on wells that are not there."""
        if not self.absent:
            return ()
        shown = ", ".join(self.absent[:MAX_LISTED])
        more = f" and {len(self.absent) - MAX_LISTED} more" if len(self.absent) > MAX_LISTED else ""
        return (
            f"wells that the plate lists, but that are not there: {shown}{more}; it is complete without them "
            f"if they were not imaged, else copy it again",
        )

    @contextmanager
    def runs(self, config: RunConfig, *, dry_run: bool) -> Iterator[list[RunConfig]]:
        """Yield a run for each image, to the same place in a store with the same metadata.

        The store is made, and removed again if nothing was written into it.

        Args:
            config: the options that they share; its output is the store.
            dry_run: nothing will be written.

        Raises:
            ConfigError: its name is that of no store.
            VolumeError: it cannot be made, or is there already and may not be continued or overwritten.
        """
        target = config.target
        check_output_place(target)
        if isinstance(self.path, Path):
            check_paths(self.path, target)
        written = format_of(target)
        if not written.NESTS:
            raise VolumeError(
                f"{target}: images of a store go to one, and this is a {written.NAME}; choose an .ome.zarr"
            )
        asked = _asked(config)
        fresh = self._claim(config, asked, dry_run)
        places = {image: target / place for image, place in self._inner.items()}
        try:
            yield [replace(config, input=image, output=place) for image, place in places.items()]
        finally:
            if fresh and not any(place.exists() for place in places.values()):
                discard(target)

    def finish(self, config: RunConfig) -> None:
        """Mark the store as complete.

        Args:
            config: the options of the runs.

        Raises:
            VolumeError: a full disk and the like.
        """
        _write_record(config.target, {"complete": True, "asked": _asked(config)})

    def _claim(self, config: RunConfig, asked: Mapping[str, Any], dry_run: bool) -> bool:
        """Make the store, or check the one that is there; True if it was not there before."""
        from baikal_deploy.volumes.zarr.groups import described_as, write_groups, write_missing
        from baikal_deploy.volumes.zarr.reader import attributes_of

        target, images = config.target, list(self._inner.values())
        if not target.exists():
            write_groups(self.path, target, images, {"complete": False, "asked": asked}, config.ngff)
            return True
        if dry_run:
            return False
        attributes = attributes_of(target) if is_zarr(target) else {}
        record = attributes.pop(PROVENANCE, None)
        if record is None or attributes != described_as(self.path, config.ngff):
            raise VolumeError(
                f"{target}: exists, and is not an output for {self.path}; choose another output"
            )
        if config.overwrite or record["asked"] == asked:  # wells may be there by now that were not
            write_missing(self.path, target, images, config.ngff)
        if config.overwrite:
            _write_record(target, {"complete": False, "asked": asked})
        elif record["asked"] != asked:
            kind = "a finished" if record["complete"] else "an unfinished"
            raise VolumeError(
                f"{target}: {kind} run is there, and this one is another: "
                f"{differences(record['asked'], asked)}; give what it had to continue it, or start anew "
                f"(--overwrite)"
            )
        return False


def _asked(config: RunConfig) -> dict[str, Any]:
    """Options of a run that decide what it writes, as JSON gives them back."""
    told = {key: value for key, value in asdict(config).items() if key not in OF_NO_EFFECT}
    same: dict[str, Any] = json.loads(json.dumps({**told, "version": __version__}, default=str))
    return same


def _write_record(target: Path, record: Mapping[str, Any]) -> None:
    from baikal_deploy.volumes.zarr.groups import write_record

    write_record(target, record)
