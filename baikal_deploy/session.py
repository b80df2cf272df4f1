"""A run's outputs from the first file to the last: locked, journaled, and gone on with after a kill.

The journal is there before the first file of an output, and until the last is in its place. Whatever it does
not vouch for is made again. A TIFF cannot be gone on with: the journal of a run that writes one only tells
where its outputs are, so that the next run can start anew in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from baikal_deploy.config import RunConfig
from baikal_deploy.errors import VolumeError
from baikal_deploy.intensity import Raw
from baikal_deploy.journal import Journal
from baikal_deploy.locks import locked
from baikal_deploy.maps import Maps
from baikal_deploy.outputs import Outputs
from baikal_deploy.provenance import differences
from baikal_deploy.recipes import Group
from baikal_deploy.tally import Tally
from baikal_deploy.unfinished import (
    journal_path,
    leftovers,
    load_unfinished,
    places_found,
    resumable,
    tiff_targets,
)
from baikal_deploy.volumes.base import VolumeInfo, WorkItem
from baikal_deploy.volumes.inputs import is_tiff
from baikal_deploy.volumes.layout import Layout, Reduction
from baikal_deploy.volumes.leftovers import remove_leftover, sweep_replaced
from baikal_deploy.volumes.stores import (
    check_file,
    check_free,
    check_output,
    claim_file,
    claim_output,
    partial_path,
)
from baikal_deploy.volumes.urls import Source


@dataclass
class Session:
    """The outputs of a run, and what is finished of them; made by ``open_session``.

    Attributes:
        outputs: the images.
        journal: of the run.
    """

    outputs: Outputs
    journal: Journal

    @property
    def done(self) -> list[WorkItem]:
        """The items that are finished."""
        return [item for item in self.outputs.result.items if item.index in self.journal.done]

    @property
    def left(self) -> list[WorkItem]:
        """The items that are still to be done."""
        return [item for item in self.outputs.result.items if item.index not in self.journal.done]

    @property
    def tally(self) -> Tally:
        """Of all items that are done."""
        return sum((Tally.from_record(tally) for tally in self.journal.done.values()), Tally())

    def measured(self, measurements: Mapping[Group, Mapping[str, Any]]) -> None:
        """Keep what was measured, for a run that goes on. Raises VolumeError: a full disk and the like."""
        for group, measurement in measurements.items():
            if group not in self.journal.measurements and self.outputs.resumable:
                self.journal.record({"group": group, "measurement": measurement})

    def write(self, item: WorkItem, planes: Raw, maps: Maps, tally: Tally) -> None:
        """Write an item to all outputs; when this returns, no kill can undo it, unless there is a TIFF.

        Raises:
            VolumeError: a full disk and the like.
        """
        with self._reassuring():
            self.outputs.write(item, planes, maps)
            if self.outputs.resumable:
                self.outputs.sync(item)
            self.record(item, tally)

    def record(self, piece: WorkItem | Reduction, tally: Tally) -> None:
        """Count in what is on disk in all outputs. Raises VolumeError: a full disk and the like."""
        if self.outputs.resumable:
            self.journal.record({"item": piece.index, "tally": asdict(tally)})
        else:
            self.journal.done[piece.index] = asdict(tally)

    def grow(self, info: VolumeInfo) -> None:
        """Make room for more steps of the first axis. Raises VolumeError: see ``OutputVolume.grown``."""
        with self._reassuring():
            self.outputs = self.outputs.grown(info)

    def end(self, steps: int) -> None:
        """Settle where a growing input has ended. Raises VolumeError: a full disk and the like."""
        if self.journal.ended is None:
            self.journal.record({"ended": steps})

    def copy_labels(self, labels: Source) -> list[str]:
        """See ``Outputs.copy_labels``."""
        with self._reassuring():
            return self.outputs.copy_labels(labels)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Complete all outputs and put them in their places. Raises VolumeError: a full disk and the like."""
        with self._reassuring():
            for reduction in self.outputs.reductions:
                if reduction.index not in self.journal.done:
                    self.outputs.reduce(reduction)
                    self.outputs.sync(reduction)
                    self.record(reduction, Tally())
            self.outputs.finish(provenance)
        for output in self.outputs.all:
            sweep_replaced(output.path.resolve())
        self.journal.remove()

    @contextmanager
    def _reassuring(self) -> Iterator[None]:
        try:
            yield
        except VolumeError as error:
            if not self.outputs.resumable:
                raise
            raise VolumeError(f"{error}; what was finished before is kept") from error


def check_session(config: RunConfig, earlier: Journal | None, fingerprint: Mapping[str, Any]) -> bool:
    """Whether an unfinished run will be gone on with.

    Args:
        earlier: what ``unfinished`` found.
        fingerprint: of the run that is planned.

    Raises:
        VolumeError: it was another run, or an output is there already, and neither may be overwritten.
    """
    if earlier is not None and not resumable(earlier):
        _check_anew(config, leftovers(config, earlier))
        return False
    if earlier is not None and earlier.header["fingerprint"] == fingerprint:
        return True
    if earlier is not None and not config.overwrite:
        raise VolumeError(
            f"{config.target}: an unfinished run is there, and this one is another: "
            f"{differences(earlier.header['fingerprint'], fingerprint)}; give what it had to go on with it, "
            f"or start anew (--overwrite)"
        )
    _check_anew(config, {} if earlier is None else leftovers(config, earlier))
    return False


def _check_anew(config: RunConfig, leftovers: Mapping[Path, Path]) -> None:
    """Whether outputs can be begun where they are to be, once the leftovers are removed."""
    for path in config.outputs:
        target, partial = path.resolve(), partial_path(path.resolve())
        if target in leftovers:
            continue
        if is_tiff(path):
            check_file(path, config.overwrite)
            if partial not in leftovers:
                check_free(partial)
        elif not (config.overwrite and partial in leftovers):
            check_output(path, config.overwrite)


@contextmanager
def open_session(
    config: RunConfig, info: VolumeInfo, fingerprint: Mapping[str, Any], layout: Layout
) -> Iterator[Session]:
    """The outputs of a run, locked for as long as the context lasts.

    Args:
        info: of the result.
        fingerprint: of the run.
        layout: how its outputs are cut into items; that of an unfinished run stays.

    Raises:
        VolumeError: as ``check_session``; another run is writing them, or they cannot be written.
    """
    with ExitStack() as stack:
        for path in config.outputs:
            stack.enter_context(locked(path))
        journal = load_unfinished(config)
        where = [] if journal is None else [place for place in places_found(journal) if place is not None]
        resumes = check_session(config, journal, fingerprint)
        if resumes and journal is not None and journal.created and len(where) == len(config.outputs):
            outputs = Outputs.resume(config, info, Layout(**journal.header["layout"]), where)
            outputs.sweep(journal.done)
            yield Session(outputs, journal)
        else:
            yield _begin(config, info, fingerprint, layout, journal)


def _begin(
    config: RunConfig,
    info: VolumeInfo,
    fingerprint: Mapping[str, Any],
    layout: Layout,
    earlier: Journal | None,
) -> Session:
    """New outputs, in place of those that an earlier run left unfinished."""
    if earlier is not None:
        for place, target in leftovers(config, earlier).items():
            remove_leftover(place, tiff=target in tiff_targets(earlier))
    claims = [(path.resolve(), claim_file if is_tiff(path) else claim_output) for path in config.outputs]
    places = [[str(target), str(claim(target, config.overwrite))] for target, claim in claims]
    tiffs = [str(path.resolve()) for path in config.outputs if is_tiff(path)]
    header = {"fingerprint": fingerprint, "layout": layout.record(), "places": places, "tiffs": tiffs}
    journal = Journal.begin(journal_path(config), header)
    outputs = Outputs.create(config, info, layout)
    journal.record({"created": [output.location.stat().st_ino for output in outputs.all]})
    return Session(outputs, journal)
