"""What a run left that did not finish, as its journal tells."""

from __future__ import annotations

import os
from pathlib import Path

from baikal_deploy.config import RunConfig
from baikal_deploy.journal import Journal
from baikal_deploy.locks import check_unlocked
from baikal_deploy.volumes.leftovers import is_complete


def unfinished(config: RunConfig) -> Journal | None:
    """The journal of a run that wrote these outputs and did not finish; None where nothing is left of it.

    Raises:
        VolumeError: such a run is still going on, or its journal is damaged.
    """
    for path in config.outputs:
        check_unlocked(path)
    return load_unfinished(config)


def load_unfinished(config: RunConfig) -> Journal | None:
    """See ``unfinished``; for who holds the locks of the outputs."""
    journal = Journal.load(journal_path(config))
    return journal if journal is not None and any(places_found(journal)) and not _is_over(journal) else None


def journal_path(config: RunConfig) -> Path:
    """Where the journal of a run lies."""
    target = config.target.resolve()
    return target.with_name(target.name + ".journal")


def resumable(journal: Journal) -> bool:
    """Whether the run can be gone on with: none that writes a TIFF."""
    return not tiff_targets(journal)


def tiff_targets(journal: Journal) -> list[Path]:
    """Those of the outputs that are TIFF files."""
    return [Path(target) for target in journal.header.get("tiffs", ())]


def places_found(journal: Journal) -> list[Path | None]:
    """Where each output is: where it was made, or where it is to be, and known there by its inode."""
    places = _places(journal)
    inodes = journal.created or [-1] * len(places)
    found: list[Path | None] = []
    for (target, place), inode in zip(places.items(), inodes, strict=True):
        moved = target.exists() and target.stat().st_ino == inode
        found.append(place if os.path.lexists(place) else target if moved else None)
    return found


def leftovers(config: RunConfig, journal: Journal) -> dict[Path, Path]:
    """What must go before the run is started anew, and of which output each is.

    Maps that a run with a TIFF had finished are among it: they come before the result, and would be in
    the way.
    """
    left = {}
    for (target, place), found in zip(_places(journal).items(), places_found(journal), strict=True):
        if found == target and is_complete(target):
            known = not resumable(journal) and target.stat().st_ino in (journal.created or ())
            if known and target in [path.resolve() for path in config.outputs]:
                left[target] = target
        elif os.path.lexists(place) and not is_complete(place):
            left[place] = target
    return left


def _is_over(journal: Journal) -> bool:
    """Whether a run with a TIFF was killed after all its outputs were in their places."""
    result = next(iter(_places(journal)))
    return not resumable(journal) and places_found(journal)[0] == result and is_complete(result)


def _places(journal: Journal) -> dict[Path, Path]:
    """Where each output grows, by where it is to be."""
    return {Path(target): Path(place) for target, place in journal.header["places"]}
