"""One call for what most people want: a file denoised, or one that is still being written."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.execution import Progress
from baikal_deploy.run.follow import TIMEOUT, Follow
from baikal_deploy.run.many.images import Images
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.urls import Source, Url, source_of

_OWN = {field.name for field in fields(RunConfig)}
"""Names of options that are not the sampler's."""


def denoise_file(
    source: str | Source,
    output: str | Path | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> RunReport:
    """Denoise one image: a file, a store or a URL.

    What was finished before is not done again, and an interrupted call continues where it was, as with
    baikal-run.

    >>> report = denoise_file("cells.tif", "clean.ome.tif", model="nuclei")
    >>> report.output
    PosixPath('clean.ome.tif')

    Args:
        source: of any format that can be read.
        output: OME-Zarr (.zarr) or TIFF (.tif) to write, or the URL of an OME-Zarr; None:
            NAME_denoised.ome.tif beside a file, or .ome.zarr beside a store.
        progress: see ``Progress``; None: nobody is told.
        options: see ``RunConfig``, such as ``model="nuclei"``, ``channels=["DAPI"]`` or ``overwrite=True``;
            all others are options of the sampler, such as ``budget="best"``.

    Returns:
        What was written, and what to know about it.

    Raises:
        ConfigError: several images (see ``Images`` for these), or options that do not go together.
        BaikalError: see ``Run``.
    """
    config = _config(source, output, options)
    if Images(config).several:
        raise ConfigError(f"{source}: holds several images; denoise them with Images, or choose one of them")
    with Run(config) as run:
        return run.execute(progress)


def follow(
    source: str | Path,
    output: str | Path | None = None,
    *,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
    **options: Any,
) -> RunReport:
    """Denoise a Zarr store or NDTiff folder that another program is still writing, until that ends.

    >>> report = follow("acquisition.zarr", "clean.ome.zarr", timeout=60)

    Args:
        source: the store; it need not be there yet.
        output: OME-Zarr to write; None: NAME_denoised.ome.zarr beside the source.
        timeout: seconds without growth after which the source has ended.
        progress: see ``Progress``; None: nobody is told.
        options: as for ``denoise_file``.

    Returns:
        What was written, and what to know about it.

    Raises:
        BaikalError: see ``Follow``.
    """
    with Follow(_config(source, output, options), timeout) as run:
        return run.execute(progress)


def _config(source: str | Source, output: str | Path | None, options: dict[str, Any]) -> RunConfig:
    place = source_of(source) if isinstance(source, str) else source
    target = source_of(output) if isinstance(output, str) else output
    own = {name: value for name, value in options.items() if name in _OWN}
    others = {name: value for name, value in options.items() if name not in _OWN}
    own["options"] = {**own.get("options", {}), **others}
    if isinstance(target, Url):
        return RunConfig(place, upload=target, **own)
    return RunConfig(place, target, **own)
