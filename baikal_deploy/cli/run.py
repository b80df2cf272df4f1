"""baikal-run: denoise a volume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from baikal_deploy import __version__
from baikal_deploy.cli._batch import SOME_FAILED, describe_summary, run_folder
from baikal_deploy.cli._noise_text import describe_noise
from baikal_deploy.cli.terminal import friendly, plain_console
from baikal_deploy.config import RunConfig
from baikal_deploy.denoiser import DEFAULT_SAMPLER, Denoiser
from baikal_deploy.engines import AUTO, engine_names
from baikal_deploy.errors import ConfigError
from baikal_deploy.folder import Folder
from baikal_deploy.manifest import DEFAULT_MODEL, Precision, shipped_models
from baikal_deploy.pipeline import Run, RunReport
from baikal_deploy.samplers import sampler_names
from baikal_deploy.samplers.auto import BUDGETS, Auto
from baikal_deploy.samplers.base import Sampler
from baikal_deploy.tiling import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.volumes.inputs import files_of, is_tiff

click.rich_click.OPTION_GROUPS = {
    "baikal-run": [
        {"name": "What to do", "options": ["--series", "--overwrite", "--dry-run", "--guide"]},
        {"name": "What else to write", "options": ["--preview", "--uncertainty", "--mask"]},
        {
            "name": "How to denoise",
            "options": ["--model", "--sampler", "--budget", "--option", "--steps", "--seed"],
        },
        {"name": "How to compute", "options": ["--engine", "--precision", "--tile", "--overlap", "--batch"]},
    ]
}
FILE = click.Path(path_type=Path)


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
    "--preview", metavar="FILE.png", type=FILE, help="Also write a before/after picture of one plane."
)
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
    console = plain_console()
    if preview is not None:
        _check_preview(preview)
    config = RunConfig(
        input_path, output_path, options=parse_options(options, steps=steps, budget=budget), **settings
    )
    folder = Folder.at(input_path)
    if folder is None:
        _run_one(config, console, dry_run, preview)
    else:
        _run_folder(folder, config, console, dry_run, preview)


def _run_one(
    config: RunConfig, console: Console, dry_run: bool, preview: Path | None = None
) -> frozenset[Path]:
    """Returns the files that the volume lies in."""
    with Run(config) as run:
        for line in describe(run):
            console.print(line, soft_wrap=True)
        if dry_run:
            console.print(
                f"estimated time: {_duration(run.estimate_seconds())}; nothing was written (--dry-run)"
            )
            return files_of(run.volume)
        report = _execute(run, console)
        if preview is not None:
            run.save_preview(preview)
        _conclude(console, report, preview)
        return files_of(run.volume)


def _run_folder(
    folder: Folder, config: RunConfig, console: Console, dry_run: bool, preview: Path | None
) -> None:
    if config.output is None:
        raise ConfigError(
            f"{folder.path}: is a folder of {len(folder.images)} images; give an output folder to "
            f"denoise them all, or choose one, such as {folder.images[0]}"
        )
    if preview is not None:
        raise ConfigError(f"--preview {preview}: is for one image, not for a folder; leave it out")
    summary = run_folder(folder, config, console, lambda one: _run_one(one, console, dry_run))
    for line in describe_summary(folder, summary, dry_run=dry_run):
        console.print(line, soft_wrap=True)
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


def describe(run: Run) -> list[str]:
    """The plan, in lines."""
    config, info, manifest = run.config, run.volume.info, run.denoiser.manifest
    default = ", the shipped default" if config.model == DEFAULT_MODEL else ""
    axes, shape = "".join(axis.name for axis in info.axes), "x".join(map(str, info.shape))
    size = f"{run.output_bytes / 1e6:.1f} MB"
    kept = "uncompressed" if is_tiff(config.target) else "before compression, with its pyramid"
    return [
        f"input     {config.input}: {axes} {shape} {info.dtype}",
        f"output    {config.target}: {size} {kept}",
        f"model     {manifest.name}{default}",
        _describe_engine(run.denoiser),
        *(line for channel in range(info.num_channels) for line in _describe_channel(run, channel)),
        f"work      {info.num_planes} planes x {run.windows_per_plane} windows, "
        f"{run.evaluations} network evaluations of planes",
        *_describe_rest(run),
    ]


def _describe_rest(run: Run) -> list[str]:
    if run.earlier is None:
        return []
    return [f"goes on  with an unfinished run: {run.evaluations_done} of these evaluations are done"]


def _describe_engine(denoiser: Denoiser) -> str:
    engine = denoiser.predictor.engine
    line = f"engine    {engine.name} ({engine.version()}), {engine.precision}, on {engine.device}"
    if not denoiser.passed_over:
        return line
    return f"{line}; the fastest here (baikal-doctor says why not {', '.join(denoiser.passed_over)})"


def _describe_channel(run: Run, channel: int) -> list[str]:
    recipe, name = run.recipes[channel], run.volume.info.channel_name(channel)
    intensity = recipe.measurement.intensity
    if intensity.is_constant:
        return [f"{name:<9} holds a single value; it will be copied"]
    evaluations = "1 evaluation" if recipe.nfe == 1 else f"{recipe.nfe} evaluations"
    return [
        f"{name:<9} intensities {intensity.low:.4g} to {intensity.high:.4g}; "
        f"{describe_noise(recipe.measurement)}",
        f"          {_describe_sampler(run, recipe.sampler)}, {evaluations} a plane",
        *(f"note: {note}" for note in recipe.measurement.notes()),
    ]


def _describe_sampler(run: Run, sampler: Sampler) -> str:
    """What was chosen, and why."""
    if not isinstance(run.sampler, Auto):
        return f"{run.config.sampler} {sampler.summary()}"
    return f"auto: matched {sampler.summary()} (budget {run.sampler.budget})"


def _execute(run: Run, console: Console) -> RunReport:
    columns = (TextColumn("denoising"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        # What an earlier run did must not count as the speed of this one.
        bar = progress.add_task("denoising", total=run.evaluations, completed=run.evaluations_done)
        try:
            return run.execute(lambda done, total: progress.update(bar, completed=done))
        except KeyboardInterrupt:
            again = "goes on from there" if run.config.resumable else "starts anew, as a TIFF is written"
            message = f"{run.config.target}: not complete yet; the same command again {again}"
            console.print(message, soft_wrap=True)
            raise


def _conclude(console: Console, report: RunReport, preview: Path | None) -> None:
    for note in report.tally.notes():
        console.print(f"note: {note}", soft_wrap=True)
    console.print(f"done in {_duration(report.seconds)}")
    click.echo(report.output)
    if preview is not None:
        click.echo(preview)


def _check_preview(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--preview {path}: must end in .png")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--preview {path}: its folder does not exist")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
