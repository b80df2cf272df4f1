"""Where the images of a run may be written, and as what."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.maps import image_infos
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.create import check_output_place, format_of
from baikal_deploy.volumes.names import folded
from baikal_deploy.volumes.places import check_paths
from baikal_deploy.volumes.urls import Source


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
    images = zip((config.target, config.uncertainty, config.mask), image_infos(info), strict=True)
    for path, own in images:
        if path is not None:
            format_of(path, config.storage).check_expressible(path, own)
