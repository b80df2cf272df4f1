"""baikal-run: denoise a volume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import rich_click as click

from baikal_deploy import __version__
from baikal_deploy.cli._batch import SOME_FAILED, run_folder
from baikal_deploy.cli._log import Log, TextLog
from baikal_deploy.cli._looks import Looks
from baikal_deploy.cli.terminal import friendly
from baikal_deploy.config import RunConfig
from baikal_deploy.denoiser import DEFAULT_SAMPLER
from baikal_deploy.engines import AUTO, engine_names
from baikal_deploy.errors import ConfigError
from baikal_deploy.folder import Folder
from baikal_deploy.manifest import DEFAULT_MODEL, Precision, shipped_models
from baikal_deploy.pipeline import Run, RunReport
from baikal_deploy.samplers import sampler_names
from baikal_deploy.samplers.auto import BUDGETS
from baikal_deploy.tiling import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.volumes.inputs import files_of

click.rich_click.OPTION_GROUPS = {
    "baikal-run": [
        {"name": "What to do", "options": ["--series", "--overwrite", "--dry-run", "--guide"]},
        {"name": "What else to write", "options": ["--preview", "--report", "--uncertainty", "--mask"]},
        {
            "name": "How to denoise",
            "options": ["--model", "--sampler", "--budget", "--option", "--steps", "--seed"],
        },
        {"name": "How to compute", "options": ["--engine", "--precision", "--tile", "--overlap", "--batch"]},
        {"name": "What to say", "options": ["--quiet", "--log"]},
    ]
}
FILE = click.Path(path_type=Path)
LOGS = ("text", "json")


@click.command("baikal-run", context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("input_path", metavar="INPUT", type=FILE)
@click.argument("output_path", metavar="[OUTPUT]", type=FILE, required=False)
@click.option(
    "--series", metavar="N", type=int, help="Which image of a file with several. [default: the only one]"
)
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    help=f"Shipped model ({', '.join(shipped_models())}), or an .onnx file of baikal-export.",
)
@click.option("--sampler", default=DEFAULT_SAMPLER, help=f"One of {', '.join(sampler_names())}.")
@click.option(
    "-o", "--option", "options", metavar="KEY=VALUE", multiple=True,
    help="Option of the sampler, such as -o start=200 or -o preset=paper; may be repeated.",
)  # fmt: skip
@click.option(
    "--steps", metavar="N|ddimN|walkN",
    help="Respacing: N or ddimN of all timesteps, or N from start to 0. [default: what the model recommends]",
)  # fmt: skip
@click.option(
    "--budget", metavar="NAME|N",
    help=f"{', '.join(BUDGETS)}, or network evaluations per plane, for sampler auto. [default: balanced]",
)  # fmt: skip
@click.option("--seed", type=int, default=0, help="The same seed gives the same result.")
@click.option(
    "--engine",
    default=AUTO,
    help=f"The fastest that works here, or one of {', '.join(engine_names())} and no other in its place.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="fp32",
    help="What the network computes in; others than fp32 are faster and less exact.",
)
@click.option(
    "--tile", metavar="PX", type=int, default=DEFAULT_TILE, help="Largest side of the network's windows."
)
@click.option(
    "--overlap", metavar="PX", type=int, default=DEFAULT_OVERLAP, help="Least overlap of the windows."
)
@click.option("--batch", metavar="N", type=int, default=1, help="Planes denoised together.")
@click.option(
    "--guide", metavar="VOLUME", type=FILE,
    help="Another denoiser's output for INPUT (N2V, say) to guide the sampler. [default: none]",
)  # fmt: skip
@click.option(
    "--uncertainty", metavar="IMAGE", type=FILE,
    help="Also write the standard deviation of each pixel of the result; 8 times more work. [default: none]",
)  # fmt: skip
@click.option(
    "--mask", metavar="IMAGE", type=FILE,
    help="Also write a mask of where the result differs from the data by more than noise. [default: none]",
)  # fmt: skip
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace OUTPUT once the new one is complete; drop what another run left unfinished.",
)
@click.option("--dry-run", is_flag=True, help="Measure, print the plan, and write nothing.")
@click.option(
    "--preview", metavar="FILE.png", type=FILE,
    help="Also write a picture: projections along z before and after, and what has changed. [default: none]",
)  # fmt: skip
@click.option(
    "-q", "--quiet", is_flag=True, help="Say nothing but errors, and the paths of what was written."
)
@click.option(
    "--log",
    type=click.Choice(LOGS),
    default=LOGS[0],
    help="What goes to stderr: text with bars in a terminal, or JSON lines for programs (docs/runs.md).",
)
@click.option(
    "--report", metavar="FILE.html", type=FILE,
    help="Also write a page: planes with a slider, histograms, the noise, what was chosen. [default: none]",
)  # fmt: skip
@click.version_option(__version__)
@friendly
def main(
    input_path: Path,
    output_path: Path | None,
    options: tuple[str, ...],
    steps: str | None,
    budget: str | None,
    dry_run: bool,
    preview: Path | None,
    report: Path | None,
    quiet: bool,
    log: str,
    **settings: Any,
) -> None:
    """Denoise a fluorescence volume, plane by plane, with a diffusion model.

    INPUT is a TIFF file (OME-TIFF, ImageJ, plain), a Zarr array or an OME-Zarr image. OUTPUT is an
    OME-Zarr, or an OME-TIFF if it ends in .tif, with the same axes, scales, channels and pixel type;
    without it, NAME_denoised.ome.zarr beside INPUT. If INPUT is a folder of such images, OUTPUT is a
    folder: all are denoised, bad ones are listed at the end, and the exit code is 1 if there are any.

    A run that was interrupted goes on where it was when the same command is given again; one that
    writes a TIFF starts anew.
    """
    said = make_log(log, quiet)
    with said.session():
        looks = Looks(preview, report)
        options_given = parse_options(options, steps=steps, budget=budget)
        config = RunConfig(input_path, output_path, options=options_given, **settings)
        folder = Folder.at(input_path)
        if folder is None:
            looks.check_files()
            _run_one(config, said, dry_run, looks)
        else:
            looks.check_folders()
            _run_folder(folder, config, said, dry_run, looks)


def make_log(kind: str, quiet: bool) -> Log:
    """What the run says.

    Raises:
        ConfigError: both JSON and nothing.
    """
    if kind == "text":
        return Log() if quiet else TextLog()
    if quiet:
        raise ConfigError("--quiet and --log json: one says nothing, the other all; choose one")
    from baikal_deploy.cli._json_log import JsonLog

    return JsonLog()


def _run_one(config: RunConfig, log: Log, dry_run: bool, looks: Looks) -> frozenset[Path]:
    """Returns the files that the volume lies in."""
    with Run(config) as run:
        log.planned(run, run.estimate_seconds() if dry_run else None)
        if not dry_run:
            done = _execute(run, log)
            log.done(done)
            click.echo(done.output)
            for path in looks.write(run, done):
                click.echo(path)
        return files_of(run.volume)


def _execute(run: Run, log: Log) -> RunReport:
    try:
        with log.denoising(run) as progress:
            return run.execute(progress)
    except KeyboardInterrupt:
        again = "goes on from there" if run.config.resumable else "starts anew, as a TIFF is written"
        raise KeyboardInterrupt(
            f"{run.config.target}: not complete yet; the same command again {again}"
        ) from None


def _run_folder(folder: Folder, config: RunConfig, log: Log, dry_run: bool, looks: Looks) -> None:
    if config.output is None:
        raise ConfigError(
            f"{folder.path}: is a folder of {len(folder.images)} images; give an output folder to "
            f"denoise them all, or choose one, such as {folder.images[0]}"
        )
    summary = run_folder(folder, config, log, lambda one: _run_one(one, log, dry_run, looks.of(one.target)))
    log.summary(folder, summary, dry_run=dry_run)
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
