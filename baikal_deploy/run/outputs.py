"""The images that a run writes: the result, and maps of how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.denoising.stack import Denoised
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.base import VolumeInfo, WorkItem
from baikal_deploy.volumes.cleanup import sweep
from baikal_deploy.volumes.formats import TIFF_SUFFIXES, is_tiff
from baikal_deploy.volumes.layout import Layout, Reduction
from baikal_deploy.volumes.open import is_image_name
from baikal_deploy.volumes.paths import check_paths, is_zarr, translated
from baikal_deploy.volumes.places import check_writable
from baikal_deploy.volumes.pyramid import pyramid_levels
from baikal_deploy.volumes.urls import Source
from baikal_deploy.volumes.zarr.metadata import image_attributes
from baikal_deploy.volumes.zarr.writer import OutputVolume

if TYPE_CHECKING:
    from baikal_deploy.volumes.tiff.writer import TiffOutput

    Output = OutputVolume | TiffOutput


def check_outputs(config: RunConfig) -> None:
    """Refuse places where no image can be written, whatever is read.

    Raises:
        ConfigError: a name that does not say what is to be written.
        VolumeError: a place that cannot be written to, or is that of another output.
    """
    asked = {"": config.target, "--uncertainty": config.uncertainty, "--mask": config.mask}
    taken: list[Path] = []
    for option, path in asked.items():
        if path is not None:
            check_writable(path, option)
            check_name(path)
            if path.resolve() in taken:
                raise VolumeError(f"{path}: two outputs of one name; choose another one")
            taken.append(path.resolve())


def check_name(path: Path) -> None:
    """Raise ConfigError for a name that no format goes with, unless a Zarr store is there or around it."""
    with translated(path, "looked at"):
        if is_image_name(path) or is_zarr(path) or is_zarr(path.parent):
            return
    raise ConfigError(
        f"{path}: its ending is that of no format that can be written; name it {path.stem}.ome.zarr (.zarr), "
        f"or {path.stem}.ome.tif ({', '.join(TIFF_SUFFIXES)})"
    )


def check_places(config: RunConfig, sources: list[Source]) -> None:
    """Refuse places where writing would damage what is read, or that cannot be.

    Raises:
        ConfigError, VolumeError: as ``check_outputs``; a path that is that of an input.
    """
    check_outputs(config)
    for path in config.outputs:
        for source in sources:
            if isinstance(source, Path):
                check_paths(source, path)


def check_formats(config: RunConfig, info: VolumeInfo) -> None:
    """Refuse an output whose format cannot express it.

    Raises:
        VolumeError: see ``check_expressible`` and ``image_attributes``.
    """
    images = (info, _map_of(info, np.float32), _map_of(info, np.uint8))
    for path, own in zip((config.target, config.uncertainty, config.mask), images, strict=True):
        if path is not None and is_tiff(path):
            from baikal_deploy.volumes.tiff.writer import check_expressible

            check_expressible(path, own)
        elif path is not None:
            image_attributes(own, pyramid_levels(own.plane_shape))


@dataclass(frozen=True)
class Outputs:
    """Images with the same axes, scales and channels, written item by item.

    Attributes:
        result: the denoised volume.
        std, suspect: its maps; None where nobody asked.
    """

    result: Output
    std: Output | None
    suspect: Output | None

    @classmethod
    def create(cls, config: RunConfig, info: VolumeInfo, layout: Layout, run: str) -> Self:
        """Raises VolumeError: see ``OutputVolume.create``."""

        def create(path: Path, info: VolumeInfo) -> Output:
            kind = _kind(path)
            return kind.create(path, info, overwrite=config.overwrite, layout=layout, run=run)

        return cls._of(config, info, create)

    @classmethod
    def resume(cls, config: RunConfig, info: VolumeInfo, layout: Layout, locations: Sequence[Path]) -> Self:
        """Those that ``create`` began at these locations. Raises VolumeError: see ``OutputVolume.resume``."""
        at = dict(zip(config.outputs, locations, strict=True))
        return cls._of(config, info, lambda path, own: _kind(path).resume(path, own, at[path], layout=layout))

    @classmethod
    def _of(cls, config: RunConfig, info: VolumeInfo, make: Callable[[Path, VolumeInfo], Output]) -> Self:
        std, suspect = (
            None if path is None else make(path, _map_of(info, dtype))
            for path, dtype in ((config.uncertainty, np.float32), (config.mask, np.uint8))
        )
        return cls(make(config.target, info), std, suspect)

    def grown(self, info: VolumeInfo) -> Self:
        """The same outputs, none of them a TIFF, of a volume that has grown. Raises VolumeError: see
        ``OutputVolume.grown``."""
        result, std, suspect = (
            output.grown(replace(own, dtype=output.info.dtype)) if isinstance(output, OutputVolume) else None
            for output, own in (
                (self.result, info),
                (self.std, _map_of(info, "f4")),
                (self.suspect, _map_of(info, "u1")),
            )
        )
        assert result is not None
        return type(self)(result, std, suspect)

    @property
    def all(self) -> list[Output]:
        return [output for output in (self.result, self.std, self.suspect) if output is not None]

    @property
    def stores(self) -> list[OutputVolume]:
        """Those that are no TIFF."""
        return [output for output in self.all if isinstance(output, OutputVolume)]

    @property
    def reductions(self) -> Sequence[Reduction]:
        """What is to be made of the items when all are written; the same for all outputs."""
        return self.stores[0].reductions if self.stores else ()

    def write(self, item: WorkItem, denoised: Denoised) -> None:
        """Raises VolumeError: see ``OutputVolume.write``."""
        self.result.write(item, denoised.planes)
        for output, pixels in ((self.std, denoised.std), (self.suspect, denoised.suspect)):
            if output is not None and pixels is not None:
                output.write(item, pixels)

    def reduce(self, reduction: Reduction) -> None:
        """Raises VolumeError: see ``OutputVolume.reduce``."""
        for output in self.stores:
            output.reduce(reduction)

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Raises VolumeError: see ``OutputVolume.sync``."""
        for output in self.all if isinstance(piece, WorkItem) else self.stores:
            output.sync(piece)

    def sweep(self, done: Collection[int]) -> None:
        """Remove what a killed run wrote beside finished items and reductions.

        Raises:
            VolumeError: the system refuses.
        """
        for output in self.stores:
            first, last = len(output.items), len(output.items) + len(output.reductions)
            known = (i for i in sorted(done) if i < last)
            pieces = (output.items[i] if i < first else output.reductions[i - first] for i in known)
            kept = (output.files(piece) for piece in pieces)
            sweep(output.location, set(chain.from_iterable(kept)))

    def copy_labels(self, labels: Source) -> list[str]:
        """Gives the result the label images of the input, and says which it could not have.

        Args:
            labels: the group that holds them.

        Raises:
            VolumeError: a full disk and the like.
        """
        if not isinstance(self.result, OutputVolume):
            return [f"label images in {labels} were left out, as a TIFF has no place for them"]
        from baikal_deploy.volumes.zarr.labels import copy_labels

        return copy_labels(labels, self.result.location)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Raises VolumeError: see ``OutputVolume.finish``. The result comes last: then all is complete."""
        for output, content in ((self.std, "standard deviation"), (self.suspect, "suspect pixels")):
            if output is not None:
                output.finish({**provenance, "content": f"{content} of {self.result.path.absolute()}"})
        self.result.finish(provenance)


def _kind(path: Path) -> type[Output]:
    if is_tiff(path):
        from baikal_deploy.volumes.tiff.writer import TiffOutput

        return TiffOutput
    return OutputVolume


def _map_of(info: VolumeInfo, dtype: DTypeLike) -> VolumeInfo:
    """A map's own info."""
    return replace(info, dtype=np.dtype(dtype), omero=_without_windows(info.omero))


def _without_windows(omero: dict[str, Any] | None) -> dict[str, Any] | None:
    """Channel names and colours without display windows, which are those of other intensities."""
    channels = (omero or {}).get("channels")
    if omero is None or not isinstance(channels, list) or not all(isinstance(c, dict) for c in channels):
        return None
    return omero | {"channels": [{k: v for k, v in c.items() if k != "window"} for c in channels]}
