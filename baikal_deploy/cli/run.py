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
from baikal_deploy.cli._options import FILE, run_options
from baikal_deploy.cli._report_files import Looks
from baikal_deploy.cli._spans import parse_spans
from baikal_deploy.cli.terminal import Command, friendly, tell_path
from baikal_deploy.errors import ConfigError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.follow import TIMEOUT, Follow
from baikal_deploy.run.many.draws import draws_of
from baikal_deploy.run.many.images import SOME_FAILED, Batch, Ran, find_batch, run_batch
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.open import files_of
from baikal_deploy.volumes.urls import inside, source_of

if TYPE_CHECKING:
    from baikal_deploy.cluster.client import Cluster


@click.command(
    "baikal-run", cls=Command, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.argument("input_path", metavar="INPUT")
@click.argument("output_path", metavar="[OUTPUT]", type=FILE, required=False)
@run_options
@click.version_option(__version__)
@friendly
def main(
    input_path: str,
    output_path: Path | None,
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
    follow: bool,
    follow_timeout: float | None,
    **settings: Any,
) -> None:
    """Denoise a fluorescence volume, plane by plane, with a diffusion model.

    INPUT is a TIFF file (OME-TIFF, ImageJ, plain), a CZI or ND2 file, an NDTiff folder, a Zarr array or
    an OME-Zarr image. OUTPUT is an OME-Zarr if it ends in .zarr, an OME-TIFF if it ends in .tif, with the
    same axes, scales, channels and intensities; without it, NAME_denoised.ome.zarr beside INPUT. If INPUT is
    a folder of such images, OUTPUT is a folder; if it is a plate or a store of several images, OUTPUT is
    one like it. All are denoised, bad ones are listed at the end, and the exit code is 1 if there are
    any.

    INPUT may be the URL of a Zarr store (s3://, gs://, az://, https://), with credentials from the
    environment.

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
            "channels": channels or None,
            **parse_spans(t, z, roi),
        }
        config = RunConfig(source_of(input_path), output_path, **settings)
        if follow:
            timeout = TIMEOUT if follow_timeout is None else follow_timeout
            _run_following(config, timeout, said, looks, dry_run=dry_run, draws=draws, dask=dask)
            return
        if follow_timeout is not None:
            raise ConfigError(f"--follow-timeout {follow_timeout:g}: is for --follow, which is not given")
        with nullcontext() if dask is None else _cluster(dask) as cluster:
            _run_all(config, said, dry_run, looks, draws, cluster)


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
        _do_run(run, log, dry_run, looks, None)


def _run_all(
    config: RunConfig, log: Log, dry_run: bool, looks: Looks, draws: int | None, cluster: Cluster | None
) -> None:
    batch = find_batch(config)
    if batch is None:
        if draws is None:
            looks.check_files()
            _run_one(config, log, dry_run, looks, cluster)
            return
        looks.check_folders()
        for one in draws_of(config, draws):
            _run_one(one, log, dry_run, looks.of(one.target), cluster)
    elif draws is not None:
        raise ConfigError(f"--draws {draws}: is for one image, not for several; leave it out")
    else:
        looks.check_folders()
        _run_batch(batch, config, log, dry_run, looks, cluster)


def _cluster(dask: str) -> Cluster:
    from baikal_deploy.cluster.client import Cluster

    return Cluster(dask)


def make_log(kind: str, quiet: bool) -> Log:
    """What the run says.

    Raises:
        ConfigError: both JSON and nothing.
    """
    if kind == "text":
        return Log() if quiet else TextLog()
    if quiet:
        raise ConfigError("--quiet and --log json: one says nothing, the other all; choose one")
    from baikal_deploy.cli._log.json import JsonLog

    return JsonLog()


def _run_one(config: RunConfig, log: Log, dry_run: bool, looks: Looks, cluster: Cluster | None) -> Ran:
    if cluster is not None:
        cluster.check(config)
    processes = 1 if cluster is None else cluster.processes
    with Run(config, processes=processes, only_plan=dry_run) as run:
        _do_run(run, log, dry_run, looks, cluster)
        return Ran(files_of(run.volume), run.finished)


def _do_run(run: Run, log: Log, dry_run: bool, looks: Looks, cluster: Cluster | None) -> None:
    """Do what was planned, and say so; with ``dry_run``, say what it would be."""
    log.planned(run, run.estimate_seconds() if dry_run else None)
    if not dry_run:
        done = _execute(run, log, cluster)
        log.done(done)
        for path in chain(run.config.outputs, looks.write(run, done)):
            tell_path(path)


def _execute(run: Run, log: Log, cluster: Cluster | None) -> RunReport:
    if run.finished:
        return run.execute()
    if cluster is not None:
        log.workers(cluster.describe())
    try:
        with log.denoising(run) as progress:
            return run.execute(progress, cluster)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{run.config.target}: not complete yet; {run.evaluations_kept} of {run.evaluations} network "
            "evaluations are kept, and the same command continues from there"
        ) from None


def _run_batch(
    batch: Batch, config: RunConfig, log: Log, dry_run: bool, looks: Looks, cluster: Cluster | None
) -> None:
    def run_one(one: RunConfig) -> Ran:
        name = inside(one.target, config.target).replace("/", "_")
        return _run_one(one, log, dry_run, looks.of(Path(name)), cluster)

    summary = run_batch(batch, config, log, run_one, dry_run=dry_run)
    log.summary(batch, summary, dry_run=dry_run)
    if summary.failed:
        sys.exit(SOME_FAILED)


def parse_options(pairs: tuple[str, ...], **own: str | None) -> dict[str, str]:
    """KEY=VALUE texts, and those with a command-line option of their own, as the sampler's options."""
    options = {key: value for key, value in own.items() if value is not None}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"-o {pair}: write KEY=VALUE, such as -o start=200")
        options[key] = value
    return options
