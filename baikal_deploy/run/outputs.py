"""The images that a run writes: the result, and maps of how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

from baikal_deploy.denoising.stack import Denoised
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.maps import image_infos
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.cleanup import sweep
from baikal_deploy.volumes.create import format_of, uploading
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.writer import Writer


@dataclass(frozen=True)
class Outputs:
    """Images with the same axes, scales and channels, written item by item.

    Attributes:
        result: the denoised volume.
        std, suspect: its maps; None where nobody asked.
    """

    result: Writer
    std: Writer | None
    suspect: Writer | None

    @classmethod
    def create(cls, config: RunConfig, info: VolumeInfo, layout: Layout, run: str) -> Self:
        """Begin the outputs of a run.

        Args:
            config: the options of the run.
            info: of the result.
            layout: of the items.
            run: id of the run.

        Raises:
            VolumeError: see ``Format.create``.
        """

        def create(path: Path, own: VolumeInfo) -> Writer:
            written = format_of(path, config.storage)
            return written.create(path, own, overwrite=config.overwrite, layout=layout, run=run)

        return cls._of(config, info, create)._uploaded(config)

    @classmethod
    def resume(
        cls, config: RunConfig, info: VolumeInfo, layout: Layout, run: str, locations: Sequence[Path]
    ) -> Self:
        """Continue outputs that ``create`` began.

        Args:
            config: the options of the run.
            info: of the result.
            layout: of the items, as ``create`` had it.
            run: id of the run, as ``create`` had it.
            locations: where they are, in the order of ``RunConfig.outputs``.

        Raises:
            VolumeError: see ``Format.resume``.
        """
        at = dict(zip(config.outputs, locations, strict=True))

        def resume(path: Path, own: VolumeInfo) -> Writer:
            return format_of(path, config.storage).resume(path, own, at[path], layout=layout, run=run)

        return cls._of(config, info, resume)._uploaded(config)

    @classmethod
    def _of(cls, config: RunConfig, info: VolumeInfo, make: Callable[[Path, VolumeInfo], Writer]) -> Self:
        own, *others = image_infos(info)
        std, suspect = (
            None if path is None else make(path, other)
            for path, other in zip((config.uncertainty, config.mask), others, strict=True)
        )
        return cls(make(config.target, own), std, suspect)

    def _uploaded(self, config: RunConfig) -> Self:
        """The same, with a result that goes to a URL if it is to."""
        return self if config.upload is None else replace(self, result=uploading(self.result, config.upload))

    def grown(self, info: VolumeInfo) -> Self:
        """The same outputs of a volume that has grown.

        Args:
            info: of the result.

        Raises:
            VolumeError: see ``Writer.grown``.
        """
        own, *others = image_infos(info)
        std, suspect = (
            None if output is None else output.grown(other)
            for output, other in zip((self.std, self.suspect), others, strict=True)
        )
        return type(self)(self.result.grown(own), std, suspect)

    @property
    def all(self) -> list[Writer]:
        """All images that are written, the result first."""
        return [output for output in (self.result, self.std, self.suspect) if output is not None]

    @property
    def _reduced(self) -> list[Writer]:
        """Outputs of which something is to be made when all items are written."""
        return [output for output in self.all if output.reductions]

    @property
    def reductions(self) -> Sequence[Reduction]:
        """Reductions to be made of the items when all are written; the same for all outputs that have any."""
        return self._reduced[0].reductions if self._reduced else ()

    def write(self, item: WorkItem, denoised: Denoised) -> None:
        """Write an item to all outputs.

        Args:
            item: one of the result's items.
            denoised: its pixels, and its maps as far as they were asked for.

        Raises:
            VolumeError: see ``Writer.write``.
        """
        self.result.write(item, denoised.planes)
        for output, pixels in ((self.std, denoised.std), (self.suspect, denoised.suspect)):
            if output is not None and pixels is not None:
                output.write(item, pixels)

    def reduce(self, reduction: Reduction) -> None:
        """Make a reduction of every output that has it.

        Args:
            reduction: one of ``reductions``.

        Raises:
            VolumeError: see ``Writer.reduce``.
        """
        for output in self._reduced:
            output.reduce(reduction)

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when a piece is on disk in every output that has it.

        Args:
            piece: an item or a reduction that was written.

        Raises:
            VolumeError: see ``Writer.sync``.
        """
        for output in self.all if isinstance(piece, WorkItem) else self._reduced:
            output.sync(piece)

    def sweep(self, done: Collection[int]) -> None:
        """Remove what a killed run wrote beside finished items and reductions.

        Args:
            done: indices of the finished items and reductions.

        Raises:
            VolumeError: the system refuses.
        """
        for output in self.all:
            first, last = len(output.items), len(output.items) + len(output.reductions)
            known = (i for i in sorted(done) if i < last)
            pieces = (output.items[i] if i < first else output.reductions[i - first] for i in known)
            kept = (output.files(piece) for piece in pieces)
            sweep(output.location, set(chain.from_iterable(kept)))

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Complete all outputs, the result last: then all is complete.

        Args:
            provenance: anything that JSON can hold.

        Raises:
            VolumeError: see ``Writer.finish``.
        """
        for output, content in ((self.std, "standard deviation"), (self.suspect, "suspect pixels")):
            if output is not None:
                output.finish({**provenance, "content": f"{content} of {self.result.path.absolute()}"})
        self.result.finish(provenance)
