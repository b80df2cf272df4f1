"""The images that a run writes: the result, and maps of how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.denoising.stack import Denoised
from baikal_deploy.errors import VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.cleanup import sweep
from baikal_deploy.volumes.create import check_output_place, format_of, uploading
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.names import folded
from baikal_deploy.volumes.places import check_paths
from baikal_deploy.volumes.urls import Source
from baikal_deploy.volumes.writer import Writer

STD_SHOWN = 0.1
"""Part of the result's display range that a standard deviation is shown over."""


def check_places(config: RunConfig, sources: list[Source]) -> None:
    """Refuse places where no image can be written, or where writing would damage what is read.

    Args:
        config: the options of the run.
        sources: files and folders that are read.

    Raises:
        ConfigError: a name that does not say what is to be written.
        VolumeError: a place that cannot be written to, or is that of another output or of an input.
    """
    asked = {"": config.target, "--uncertainty": config.uncertainty, "--mask": config.mask}
    taken: list[str] = []
    for option, path in asked.items():
        if path is not None:
            check_output_place(path, option)
            if (place := folded(str(path.resolve()))) in taken:
                raise VolumeError(
                    f"{path}: two outputs of one name (small and capital letters are one on some systems); "
                    f"choose another one"
                )
            taken.append(place)
    between = [] if config.fuse is None else [config.unfused]
    for path in [*config.outputs, *between]:
        for source in sources:
            if isinstance(source, Path):
                check_paths(source, path)
    for source in sources:
        if config.upload is not None and _overlap(f"{source}/", f"{config.upload}/"):
            raise VolumeError(
                f"{config.upload}: lies in the input {source}, or around it; choose another output"
            )


def _overlap(first: str, second: str) -> bool:
    return first.startswith(second) or second.startswith(first)


def check_formats(config: RunConfig, info: VolumeInfo) -> None:
    """Refuse an output whose format cannot express it.

    Args:
        config: the options of the run.
        info: of the result.

    Raises:
        VolumeError: see ``Format.check_expressible``.
    """
    images = zip((config.target, config.uncertainty, config.mask), _infos(info), strict=True)
    for path, own in images:
        if path is not None:
            format_of(path, config.storage).check_expressible(path, own)


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
        own, *others = _infos(info)
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
        own, *others = _infos(info)
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


def _infos(info: VolumeInfo) -> Iterator[VolumeInfo]:
    """Infos of the result, the standard deviation and the suspect pixels of a volume."""
    yield info
    yield _map_of(info, np.float32, _std_window)
    yield _map_of(info, np.uint8, lambda _: {"start": 0.0, "end": 1.0, "min": 0.0, "max": 1.0})


Window = Callable[[Any], dict[str, float]]
"""Display range of a map's channel, by that of the result, which may have any form."""


def _map_of(info: VolumeInfo, dtype: DTypeLike, window: Window) -> VolumeInfo:
    """A map's own info."""
    return replace(info, dtype=np.dtype(dtype), omero=_with_windows(info.omero, window))


def _with_windows(omero: dict[str, Any] | None, window: Window) -> dict[str, Any] | None:
    """Channel names and colours with other display ranges."""
    channels = (omero or {}).get("channels")
    if omero is None or not isinstance(channels, list) or not all(isinstance(c, dict) for c in channels):
        return None
    return omero | {"channels": [c | {"window": window(c.get("window"))} for c in channels]}


def _std_window(result: Any) -> dict[str, float]:
    """Display range of a standard deviation: a part of the result's."""
    try:
        end = STD_SHOWN * (float(result["end"]) - float(result["start"]))
    except (KeyError, TypeError, ValueError):
        return {}
    return {"start": 0.0, "end": end, "min": 0.0, "max": end} if end > 0 else {}
