"""The remains of a run that did not finish, as its journal and its outputs tell."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.resume.fingerprint import digest
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.volumes.cleanup import Mark, belongs, is_leftover
from baikal_deploy.volumes.paths import partial_path
from baikal_deploy.volumes.replacing import settle_replaced


def load_unfinished(config: RunConfig) -> Journal | None:
    """The journal of a run that wrote these outputs and did not finish; None where nothing is left of it.

    Args:
        config: the options of the run.

    Raises:
        VolumeError: the journal is damaged.
    """
    journal = Journal.load(journal_path(config))
    return journal if journal is not None and (leftovers(journal) or any(places_found(journal))) else None


def journal_path(config: RunConfig) -> Path:
    """Path of the journal of a run.

    Args:
        config: the options of the run.
    """
    target = config.target.resolve()
    return target.with_name(target.name + ".journal")


def places_found(journal: Journal) -> list[Path | None]:
    """Path of each output: where it was made, or where it is to be; None: it is gone, or another's.

    Args:
        journal: of the run.

    Raises:
        VolumeError: the journal is damaged.
    """
    own = journal.run, digest(journal.header["fingerprint"])
    pairs = _places(journal)
    return [next((path for path in pair if belongs(path, *own)), None) for pair in pairs]


def leftovers(journal: Journal) -> list[Path]:
    """Paths that must go before the run is started anew. An output in its place and complete stays.

    Args:
        journal: of the run.

    Raises:
        VolumeError: the journal is damaged.
    """
    own = journal.run, digest(journal.header["fingerprint"])
    left = [
        place
        for place, target in _places(journal)
        if is_leftover(place, *own) and not (place == target and _is_complete(place))
    ]
    begun = (place.with_name(f"{place.name}.{journal.run}") for place, _ in _places(journal))
    return left + [path for path in begun if path.is_file()]


def settle_aside(journal: Journal) -> None:
    """Put stores that a run was replacing back where nothing is, and remove them where something is.

    Args:
        journal: of the run.

    Raises:
        VolumeError: see ``settle_replaced``; the journal is damaged.
    """
    for _, target in _places(journal):
        settle_replaced(target, journal.run)


def is_whole(journal: Journal) -> bool:
    """True if all outputs are there, so that the run can continue.

    Args:
        journal: of the run.

    Raises:
        VolumeError: the journal is damaged.
    """
    return journal.created and all(places_found(journal))


def _places(journal: Journal) -> list[tuple[Path, Path]]:
    """Paths of each output: where it grows, and where it is to be.

    Raises:
        VolumeError: an output that grows where none of this program does.
    """
    pairs = [(Path(place), Path(target)) for target, place in journal.header["places"]]
    for place, target in pairs:
        if place not in (target, partial_path(target)):
            raise VolumeError(f"{journal.path}: the journal of a run is damaged; remove it and its output")
    return pairs


def _is_complete(path: Path) -> bool:
    mark = Mark.at(path)
    return mark is not None and mark.complete
