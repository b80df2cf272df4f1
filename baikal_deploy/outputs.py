"""The images that a run writes: the result, and maps of how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.config import RunConfig
from baikal_deploy.errors import VolumeError
from baikal_deploy.intensity import Raw
from baikal_deploy.maps import Maps
from baikal_deploy.volumes.base import VolumeInfo, WorkItem
from baikal_deploy.volumes.layout import SHARD_BYTES
from baikal_deploy.volumes.output import OutputVolume
from baikal_deploy.volumes.stores import check_output, check_paths


def check_outputs(config: RunConfig, sources: list[Path]) -> None:
    """Refuse now what could not be written, or would damage what is read.

    Raises:
        VolumeError: a path that is taken, has no folder, or is that of an input or of another output.
    """
    paths = [config.target, *(path for path in (config.uncertainty, config.mask) if path is not None)]
    for number, path in enumerate(paths):
        for source in sources:
            check_paths(source, path)
        if path.resolve() in [other.resolve() for other in paths[:number]]:
            raise VolumeError(f"{path}: two outputs of one name; choose another one")
        if not path.absolute().parent.is_dir():
            raise VolumeError(f"{path}: its folder does not exist; create it, or choose another output")
        check_output(path, config.overwrite)


@dataclass(frozen=True)
class Outputs:
    """Images with the same axes, scales and channels, written item by item.

    Attributes:
        result: the denoised volume.
        std, suspect: its maps; None where nobody asked.
    """

    result: OutputVolume
    std: OutputVolume | None
    suspect: OutputVolume | None

    @classmethod
    def create(cls, config: RunConfig, info: VolumeInfo) -> Self:
        """Raises VolumeError: see ``OutputVolume.create``."""
        result = OutputVolume.create(config.target, info, overwrite=config.overwrite)
        maps = [
            None if path is None else _create_map(path, info, dtype, config.overwrite)
            for path, dtype in ((config.uncertainty, np.float32), (config.mask, np.uint8))
        ]
        return cls(result, *maps)

    def maps(self, planes: Raw) -> Maps:
        """Empty maps of planes (N, H, W)."""
        return Maps.of(planes.shape, self.std is not None, self.suspect is not None)

    def write(self, item: WorkItem, planes: Raw, maps: Maps) -> None:
        """Raises VolumeError: see ``OutputVolume.write``."""
        self.result.write(item, planes)
        for output, pixels in ((self.std, maps.std), (self.suspect, maps.suspect)):
            if output is not None and pixels is not None:
                output.write(item, pixels)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Raises VolumeError: see ``OutputVolume.finish``. The result comes last: then all is complete."""
        for output, content in ((self.std, "standard deviation"), (self.suspect, "suspect pixels")):
            if output is not None:
                output.finish({**provenance, "content": f"{content} of {self.result.path.absolute()}"})
        self.result.finish(provenance)


def _create_map(path: Path, info: VolumeInfo, dtype: DTypeLike, overwrite: bool) -> OutputVolume:
    """With as many planes in a shard as the result has, so that they share its items."""
    kind = np.dtype(dtype)
    own = replace(info, dtype=kind, omero=_without_windows(info.omero))
    shard_bytes = SHARD_BYTES * kind.itemsize // info.dtype.itemsize
    return OutputVolume.create(path, own, overwrite=overwrite, shard_bytes=shard_bytes)


def _without_windows(omero: dict[str, Any] | None) -> dict[str, Any] | None:
    """Channel names and colours without display windows, which are those of other intensities."""
    channels = (omero or {}).get("channels")
    if omero is None or not isinstance(channels, list) or not all(isinstance(c, dict) for c in channels):
        return None
    return omero | {"channels": [{k: v for k, v in c.items() if k != "window"} for c in channels]}
