"""baikal-run: denoise a volume."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from baikal_deploy._version import __version__
from baikal_deploy.cli._log.text import Log, TextLog
from baikal_deploy.cli._options import PLACE, run_options
from baikal_deploy.cli._paths import split_paths
from baikal_deploy.cli._report_files import Looks
from baikal_deploy.cli._sampler_text import tell_sampler
from baikal_deploy.cli._spans import parse_spans
from baikal_deploy.cli.terminal import Command, friendly, tell_path
from baikal_deploy.errors import ConfigError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.follow import TIMEOUT, Follow
from baikal_deploy.run.many.images import Images
from baikal_deploy.run.many.runner import After, Runner
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.urls import Url, source_of

if TYPE_CHECKING:
    from baikal_deploy.cluster.client import Cluster

SOME_FAILED = 1


EXAMPLES = (
    ("baikal-run cells.tif", "to cells_denoised.ome.tif"),
    ("baikal-run cells.ome.zarr clean.ome.zarr", "to a store of this name"),
    ("baikal-run raw/ clean/", "all images of a folder"),
    ("baikal-run movie.nd2 --t 0:10 --channel GFP", "ten time points, one channel; the others are copied"),
    ("baikal-run cells.tif --dry-run", "what it would do, and how long it would take"),
    ("baikal-run cells.tif --report look.html", "also a page to look at"),
    ("baikal-run cells.tif --model auto", "with the shipped model that suits it best"),
    ("baikal-run big.ome.zarr --memory 4GB", "within this memory"),
    ("baikal-run --help-sampler repaint", "the options of a sampler"),
)


@click.command(
    "baikal-run",
    cls=Command,
    examples=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("paths", metavar="INPUT… [OUTPUT]", nargs=-1, required=True, type=PLACE)
@run_options
@click.option(
    "--help-sampler", metavar="NAME", is_eager=True, expose_value=False, callback=tell_sampler,
    help="Tell the options of a sampler (-o KEY=VALUE) and exit.",
)  # fmt: skip
@click.version_option(__version__)
@friendly
def main(
    paths: tuple[str, ...],
    recursive: bool,
    t: str | None,
    z: str | None,
    roi: str | None,
    channels: tuple[str, ...],
    options: tuple[str, ...],
    steps: str | None,
    budget: str | None,
    draws: int | None,
    dry_run: bool,
    preview: Path | None,
    report: Path | None,
    quiet: bool,
    log: str,
    dask: str | None,
    guide: str | None,
    results: str | None,
    follow: bool,
    follow_timeout: float | None,
    journal: Path | None,
    **settings: Any,
) -> None:
    """Denoise a fluorescence volume, plane by plane, with a diffusion model.

    INPUT is a TIFF file (OME-TIFF, ImageJ, plain), a CZI or ND2 file, a PNG or JPEG, an NDTiff folder, a
    Zarr array or an OME-Zarr image. OUTPUT is an OME-Zarr if it ends in .zarr, an OME-TIFF if it ends in
    .tif, with the same axes, scales, channels and intensities; without it, NAME_denoised.ome.tif or .ome.zarr
    beside INPUT. If INPUT is a folder of such images, OUTPUT is a folder; if it is a plate or a store of
    several images, OUTPUT is one like it. All are denoised, bad ones are listed at the end, and the exit code
    is 1 if there are any. Several INPUTs go to the folder OUTPUT: images, folders, or patterns such as
    'raw/*.tif'; with --recursive also what is in the folders of a folder.

    INPUT may be the URL of a Zarr store (s3://, gs://, az://, https://), and OUTPUT one of an OME-Zarr to
    write (s3://, gs://, az://), with credentials from the environment.

    With --follow, INPUT is a Zarr store or NDTiff folder that another program is still writing.

    A run that was interrupted continues where it was when the same command is given again, and one that
    was finished is left as it is. A part of INPUT (--t, --z, --roi) keeps its coordinates: the output has
    their translation.
    """
    said = make_log(log, quiet)
    with said.session():
        looks = Looks(preview, report)
        options_given = parse_options(options, steps=steps, budget=budget)
        settings |= {
            "options": options_given,
            "guide": None if guide is None else source_of(guide),
            "results": None if results is None else source_of(results),
            "channels": channels or None,
            **parse_spans(t, z, roi),
        }
        (first, *more), output = split_paths(paths, overwrite=settings["overwrite"])
        config = RunConfig(first, **settings, **placed(output, journal))
        if follow and (more or recursive):
            raise ConfigError("--follow: is for one input, and without --recursive; leave out the others")
        if follow:
            timeout = TIMEOUT if follow_timeout is None else follow_timeout
            _run_following(config, timeout, said, looks, dry_run=dry_run, draws=draws, dask=dask)
            return
        if follow_timeout is not None:
            raise ConfigError(f"--follow-timeout {follow_timeout:g}: is for --follow, which is not given")
        with nullcontext() if dask is None else _cluster(dask) as cluster:
            _run_all(Images(config, draws, more=more, recursive=recursive), said, dry_run, looks, cluster)


def placed(output: str | None, journal: Path | None) -> dict[str, Any]:
    """Options that say where the output goes.

    Args:
        output: a path or URL; None: it is not named.
        journal: folder of the journal of one at a URL; None: the current folder.

    Raises:
        ConfigError: a folder for the journal of an output that is not at a URL.
    """
    target = None if output is None else source_of(output)
    if isinstance(target, Url):
        return {"upload": target, "folder": journal}
    if journal is not None:
        raise ConfigError(f"--journal {journal}: is for an OUTPUT at a URL; other journals lie beside OUTPUT")
    return {"output": target}


def _run_following(
    config: RunConfig,
    timeout: float,
    log: Log,
    looks: Looks,
    *,
    dry_run: bool,
    draws: int | None,
    dask: str | None,
) -> None:
    """Denoise one image that is still being written.

    Raises:
        ConfigError: options that are not for such a run.
    """
    for name, value in (("draws", draws), ("dask", dask)):
        if value is not None:
            raise ConfigError(f"--{name} {value}: is not for --follow; leave one of them out")
    looks.check_files()
    log.following(config.input, timeout)
    with Follow(config, timeout, only_plan=dry_run) as run:
        Runner(log, after=_finisher(looks), dry_run=dry_run).do(run)


def _run_all(images: Images, log: Log, dry_run: bool, looks: Looks, cluster: Cluster | None) -> None:
    if images.several or images.draws is not None:
        looks.check_folders()
        after = _finisher(looks, images.config.target)
    else:
        looks.check_files()
        after = _finisher(looks)
    if images.execute(log, cluster, after=after, dry_run=dry_run).failed:
        sys.exit(SOME_FAILED)


def _finisher(looks: Looks, together: Path | None = None) -> After:
    """Function that makes the pictures of an output, and tells all paths.

    Args:
        together: where all outputs go, if there are several.
    """

    def finish(run: Run, report: RunReport) -> None:
        own = looks if together is None else looks.of(run.config.target, together)
        for path in chain([run.config.result], run.config.outputs[1:], own.write(run, report)):
            tell_path(path)

    return finish


def _cluster(dask: str) -> Cluster:
    from baikal_deploy.cluster.client import Cluster

    return Cluster(dask)


def make_log(kind: str, quiet: bool) -> Log:
    """Log of a run, for people or as JSON.

    Args:
        kind: "text" or "json".
        quiet: say nothing.

    Raises:
        ConfigError: both JSON and nothing.
    """
    if kind == "text":
        return Log() if quiet else TextLog()
    if quiet:
        raise ConfigError("--quiet and --log json: one says nothing, the other all; choose one")
    from baikal_deploy.cli._log.json import JsonLog

    return JsonLog()


def parse_options(pairs: tuple[str, ...], **own: str | None) -> dict[str, str]:
    """Options of the sampler, from KEY=VALUE texts and from command-line options of their own.

    Args:
        pairs: such as "start=200".
        own: by name; None: not given.

    Raises:
        ConfigError: a text that is not KEY=VALUE.
    """
    options = {key: value for key, value in own.items() if value is not None}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"-o {pair}: write KEY=VALUE, such as -o start=200")
        options[key] = value
    return options
