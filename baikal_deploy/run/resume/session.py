"""A run's outputs from the first file to the last: locked, journaled, and continued after a kill.

The journal is there before the first file of an output, and until the last is in its place. Whatever it does
not vouch for is made again. Journal and outputs hold the id of the run, so that no other output is taken for
one of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from baikal_deploy.denoising.stack import Denoised
from baikal_deploy.errors import VolumeError
from baikal_deploy.host.locks import check_unlocked, locked
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.models.asked import Asked
from baikal_deploy.run.outputs import Outputs
from baikal_deploy.run.recipes import Group
from baikal_deploy.run.resume.fingerprint import differences, digest
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.resume.kept import Kept
from baikal_deploy.run.resume.unfinished import (
    is_whole,
    journal_path,
    leftovers,
    load_unfinished,
    places_found,
    settle_aside,
)
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.cleanup import Mark, remove_finished, remove_leftover
from baikal_deploy.volumes.create import check_upload, format_of
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.urls import Source


@dataclass
class Session:
    """Outputs of a run, and the state of their items; made by ``open_session``.

    Attributes:
        config: of the run.
        outputs: the images.
        journal: of the run.
    """

    config: RunConfig
    outputs: Outputs
    journal: Journal

    @property
    def done(self) -> list[WorkItem]:
        """The items that are finished."""
        items = self.outputs.result.items
        return [items[index] for index in sorted(self.journal.done) if index < len(items)]

    @property
    def left(self) -> Iterator[WorkItem]:
        """The items that are still to be done."""
        return (item for item in self.outputs.result.items if item.index not in self.journal.done)

    @property
    def kept(self) -> Kept:
        """Finished parts of the other items."""
        return Kept.of_run(self.journal.path, self.journal.run)

    @property
    def tally(self) -> Tally:
        """Tally of all items that are done."""
        return sum((Tally.from_record(tally) for tally in self.journal.done.values()), Tally())

    def measured(self, group: Group, measurement: Mapping[str, Any]) -> None:
        """Keep a measurement, for a run that continues.

        Args:
            group: that was measured.
            measurement: as ``Measurement.record`` has it.

        Raises:
            VolumeError: a full disk and the like.
        """
        if group not in self.journal.measurements:
            self.journal.record({"group": group, "measurement": measurement})

    def write(self, item: WorkItem, denoised: Denoised) -> None:
        """Write an item to all outputs; when this returns, no kill can undo it.

        Args:
            item: one that is left.
            denoised: its pixels, and what to know about them.

        Raises:
            VolumeError: a full disk and the like.
        """
        with self._reassuring():
            self.outputs.write(item, denoised)
            self.outputs.sync(item)
            self.record(item, denoised.counts)

    def record(self, piece: WorkItem | Reduction, tally: Tally) -> None:
        """Count in what is on disk in all outputs.

        Args:
            piece: an item or a reduction.
            tally: of its pixels.

        Raises:
            VolumeError: a full disk and the like.
        """
        self.journal.record({"item": piece.index, "tally": asdict(tally)})
        self.kept.forget(piece.index)

    def grow(self, info: VolumeInfo) -> None:
        """Make room for more steps of the first axis.

        Args:
            info: of the result, with these steps.

        Raises:
            VolumeError: see ``Writer.grown``.
        """
        with self._reassuring():
            self.outputs = self.outputs.grown(info)

    def end(self, steps: int) -> None:
        """Settle where a growing input has ended.

        Args:
            steps: of the first axis.

        Raises:
            VolumeError: a full disk and the like.
        """
        if self.journal.ended is None:
            self.journal.record({"ended": steps})

    def copy_labels(self, labels: Source) -> list[str]:
        """Give the result the label images of the input; see ``Writer.copy_labels``.

        Args:
            labels: the group that holds them.

        Returns:
            Remarks on labels that it could not have, in sentences.

        Raises:
            VolumeError: a full disk and the like.
        """
        with self._reassuring():
            return self.outputs.result.copy_labels(labels)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Complete all outputs and put them in their places.

        Args:
            provenance: anything that JSON can hold.

        Raises:
            VolumeError: a full disk and the like.
        """
        with self._reassuring():
            for reduction in self.outputs.reductions:
                if reduction.index not in self.journal.done:
                    self.outputs.reduce(reduction)
                    self.outputs.sync(reduction)
                    self.record(reduction, Tally())
            self.outputs.finish(provenance)
        settle_aside(self.journal)
        self.kept.clear()
        self.journal.remove()

    @contextmanager
    def _reassuring(self) -> Iterator[None]:
        try:
            yield
        except VolumeError as error:
            raise VolumeError(f"{error}; what was finished before is kept") from error


def check_session(config: RunConfig, fingerprint: Mapping[str, Any] | None = None) -> Journal | None:
    """Check, for a run that is planned, what ``open_session`` checks again once it holds the locks.

    Args:
        config: the options of the run.
        fingerprint: of the run; None: it is not known yet, and what a run has left there may be its own.

    Returns:
        The journal of the unfinished run that it continues; None: it begins anew, or is not known yet.

    Raises:
        VolumeError: see ``open_session``.
    """
    for path in config.outputs:
        check_unlocked(path)
    return _continued(config, fingerprint)


def _continued(config: RunConfig, fingerprint: Mapping[str, Any] | None) -> Journal | None:
    """Journal of the unfinished run that a run continues; ``check_session`` for who holds the locks."""
    earlier = load_unfinished(config)
    if fingerprint is None:
        if earlier is not None or finished_before(config):
            return None
    elif earlier is not None and earlier.header["fingerprint"] == fingerprint:
        if is_whole(earlier):
            return earlier
    elif earlier is not None and not config.overwrite:
        raise VolumeError(
            f"{config.target}: an unfinished run is there, and this one is another: "
            f"{differences(earlier.header['fingerprint'], fingerprint)}; {_former(config)}give what it had "
            f"to continue it, or start anew (--overwrite)"
        )
    left = [] if earlier is None else leftovers(earlier)
    for path in config.outputs:
        format_of(path).check_begin(path, config.overwrite, left)
    if config.upload is not None:
        check_upload(config.upload, free=True)
    return None


def _former(config: RunConfig) -> str:
    """What to know of models that are named by former names, for a message."""
    return "".join(f"{remark}; " for remark in Asked.of(config.model).remarks)


def finished_before(config: RunConfig, fingerprint: Mapping[str, Any] | None = None) -> bool:
    """True if all outputs are complete, as such a run makes them, and are not to be overwritten.

    Args:
        config: the options of the run.
        fingerprint: of the run; None: any run.
    """
    if config.overwrite or load_unfinished(config) is not None:
        return False
    marks = list(map(Mark.at, [config.result, *config.outputs[1:]]))
    digests = {mark.fingerprint for mark in marks if mark is not None and mark.complete}
    if None in marks or len(digests) != 1:
        return False
    return digests == {digest(fingerprint)} if fingerprint is not None else digests != {None}


@contextmanager
def open_session(
    config: RunConfig, info: VolumeInfo, fingerprint: Mapping[str, Any], layout: Layout
) -> Iterator[Session]:
    """The outputs of a run, locked for as long as the context lasts.

    Args:
        config: the options of the run.
        info: of the result.
        fingerprint: of the run.
        layout: how its outputs are cut into items; that of an unfinished run stays.

    Raises:
        VolumeError: another run is writing them, or has left them unfinished; they are there already, and may
            not be overwritten; they cannot be written.
    """
    with ExitStack() as stack:
        for path in config.outputs:
            stack.enter_context(locked(path))
        journal = _continued(config, fingerprint)
        if journal is not None:
            where = [place for place in places_found(journal) if place is not None]
            outputs = Outputs.resume(config, info, Layout(**journal.header["layout"]), journal.run, where)
            outputs.sweep(journal.done)
            yield Session(config, outputs, journal)
        else:
            yield _begin(config, info, fingerprint, layout)


def remove_outputs(config: RunConfig, fingerprint: Mapping[str, Any]) -> None:
    """Remove what a run has written, finished or not, if it is of a fingerprint.

    Args:
        config: the options of the run.
        fingerprint: of the run.

    Raises:
        VolumeError: the system refuses.
    """
    earlier = load_unfinished(config)
    if earlier is not None and earlier.header["fingerprint"] == fingerprint:
        _remove_unfinished(earlier)
        earlier.remove()
    for path in config.outputs:
        remove_finished(path, digest(fingerprint))


def _remove_unfinished(earlier: Journal) -> None:
    settle_aside(earlier)  # first: what is left tells the next run of it, should this one be killed here
    for place in leftovers(earlier):
        remove_leftover(place)
    Kept.of_run(earlier.path, earlier.run).clear()


def _begin(config: RunConfig, info: VolumeInfo, fingerprint: Mapping[str, Any], layout: Layout) -> Session:
    """New outputs, in place of those that an earlier run left unfinished."""
    earlier = load_unfinished(config)
    if earlier is not None:
        _remove_unfinished(earlier)
    places = [
        [str(path.resolve()), str(format_of(path).begin(path, config.overwrite))] for path in config.outputs
    ]
    header = {
        "fingerprint": fingerprint, "layout": layout.record(), "omero": info.omero, "places": places,
    }  # fmt: skip
    journal = Journal.begin(journal_path(config), header)
    outputs = Outputs.create(config, info, layout, journal.run)
    journal.record({"created": True})
    return Session(config, outputs, journal)
