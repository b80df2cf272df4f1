"""baikal-train: clean images -> checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from baikal_deploy.cli.terminal import Command, friendly, plain_console
from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.volumes.places import check_writable
from baikal_training.checkpoint import Checkpoint
from baikal_training.config import DEFAULT_ITERATIONS, Clock, TimestepSampling, TrainingConfig
from baikal_training.data import AUGMENTATIONS, Catalogue, Shares, Split, open_clean, split
from baikal_training.data.readers import Channel
from baikal_training.distributed import World, has_fast_bf16, world
from baikal_training.finetune import noise_to_learn
from baikal_training.loop import Step
from baikal_training.losses import Objective, Prediction
from baikal_training.runs import Row
from baikal_training.session import Definition, Housekeeping, Session, Start, checkpoint_to_start_from
from baikal_training.unet import UNet, flops, parameters
from baikal_training.unet_config import PRESETS, unet_config

TRAINING, UPKEEP = TrainingConfig(), Housekeeping()


@click.command(
    "baikal-train",
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("clean", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Checkpoint to write.")
@click.option("--init", type=click.Path(path_type=Path), help="Checkpoint to start from.")
@click.option(
    "--finetune-noise", metavar="VOLUME", type=click.Path(path_type=Path),
    help="Noisy volume whose noise, correlated between pixels, the model of --init is to learn.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue the run that this command began.")
@click.option("--channel", help="Number (from 0) or name of the channel to train on.")
@click.option("--split", "shares", default="80:10:10", help="Shares training:validation:test, in volumes.")
@click.option(
    "--exclude", metavar="PATH", multiple=True, type=click.Path(path_type=Path),
    help="Test images, a file or a folder (several times for several): what shows the same is left out.",
)  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Leave out files that cannot be read, and count them.")
@click.option("--unet", default="light", help=f"{', '.join(PRESETS)}, or a TOML file.")
@click.option("--schedule", type=click.Choice(["linear", "cosine"]), default="linear", help="Noise schedule.")
@click.option(
    "--prediction",
    type=click.Choice(get_args(Prediction)),
    default="velocity",
    help="What the network predicts.",
)
@click.option(
    "--variance",
    type=click.Choice(get_args(Variance)),
    default="fixed_small",
    help="Variance of a reverse step.",
)
@click.option("--iterations", type=int, help=f"Optimiser steps [default: {DEFAULT_ITERATIONS}].")
@click.option("--minutes", type=float, help="Train for so long instead.")
@click.option("--clock", type=click.Choice(get_args(Clock)), default=TRAINING.clock, help="Of --minutes.")
@click.option("--batch", type=int, default=TRAINING.batch, help="Crops per step, over all processes.")
@click.option("--accumulate", type=int, default=1, help="Parts a batch is computed in, to save memory.")
@click.option("--crop", type=int, default=TRAINING.crop, help="Side of a crop in pixels.")
@click.option("--learning-rate", type=float, default=TRAINING.learning_rate, help="Peak learning rate.")
@click.option("--warm-up", type=int, default=TRAINING.warm_up, help="Steps to reach the peak.")
@click.option("--ema", type=float, default=TRAINING.ema, help="Decay of the moving average of the weights.")
@click.option(
    "--timesteps", type=click.Choice(get_args(TimestepSampling)), default=TRAINING.timesteps,
    help="How training timesteps are drawn.",
)  # fmt: skip
@click.option(
    "--augmentation", type=click.Choice(list(AUGMENTATIONS)), default="wide",
    help="wide: change magnification and contrast too; optics: blur and haze as well; "
    "narrow: only flip and turn, for images like the clean ones.",
)  # fmt: skip
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute."
)
@click.option(
    "--bf16/--no-bf16", default=None, help="Compute in bfloat16 [default: where the device is fast at it]."
)
@click.option("--compile", "compiled", is_flag=True, help="Translate the network with torch.compile.")
@click.option("--seed", type=int, default=TRAINING.seed, help="Seed of everything random.")
@click.option("--report-every", type=int, default=UPKEEP.report_every, help="Steps between rows of the log.")
@click.option("--save-every", type=int, default=UPKEEP.save_every, help="Steps between checkpoints.")
@click.option("--workers", type=int, default=UPKEEP.workers, help="Processes that read and augment.")
@click.option("--memory", type=float, default=UPKEEP.memory / 2**30, help="GiB of images to hold in memory.")
@friendly
def main(
    clean: tuple[Path, ...],
    output: Path,
    finetune_noise: Path | None,
    resume: bool,
    device: str,
    **options: Any,
) -> None:
    """Train a noise-prediction network on clean images.

    CLEAN: folders and files of TIFF, PNG, Zarr, .npy, and CARE's .npz; or a corpus, a TOML file that says
    how often each source of images is drawn. A folder OUTPUT_run beside the
    checkpoint keeps the log, curves, pictures, and the checkpoint to --resume from. For several devices,
    start it with torchrun.
    """
    check_writable(output, "-o")
    if output.is_dir():
        raise ConfigError(f"-o {output}: is a folder; name a file")
    if finetune_noise is not None and options["init"] is None:
        raise ConfigError(
            f"--finetune-noise {finetune_noise}: fine-tunes a trained model; give its checkpoint with --init"
        )
    upkeep = _housekeeping(options)
    with world(device) as processes:
        console = plain_console()
        console.quiet = not processes.is_main
        wanted_shares, skip_bad = Shares.parse(options.pop("shares")), options.pop("skip_bad")
        exclude = options.pop("exclude")
        channel = _channel(options.pop("channel"))
        definition = _definition(options, processes)
        parts = _split(console, clean, wanted_shares, definition.normalisation, channel, skip_bad, exclude)
        folder = output.with_name(output.stem + "_run")
        if finetune_noise is not None:
            resumed = folder if resume else None
            definition = _tuned(console, definition, finetune_noise, channel, processes, resumed)
        _introduce(console, definition, parts)
        session = Session(definition, parts, processes, upkeep, folder)
        model = _trained(console, session, resume)
        if model is not None:
            model.save(output)
            _conclude(console, model.training, output, folder)


def _say(console: Console, text: str) -> None:
    """Print a line as it is: a log file must not be wrapped."""
    console.print(text, soft_wrap=True)


def _housekeeping(options: dict[str, Any]) -> Housekeeping:
    options["memory"] = int(options["memory"] * 2**30)
    return Housekeeping(**{field.name: options.pop(field.name) for field in fields(Housekeeping)})


def _definition(options: dict[str, Any], processes: World) -> Definition:
    init = options.pop("init")
    start = None if init is None else Start.of(init)
    objective = Objective(options.pop("prediction"), options.pop("variance"))
    unet = unet_config(options.pop("unet"), objective.out_channels)
    schedule = ScheduleSpec(options.pop("schedule"))
    augmentation = AUGMENTATIONS[options.pop("augmentation")]
    if options["iterations"] is None and options["minutes"] is None:
        options["iterations"] = DEFAULT_ITERATIONS
    if options["bf16"] is None:
        options["bf16"] = has_fast_bf16(processes.device)
    config = TrainingConfig(**options)
    return Definition(
        unet, schedule, objective, Normalisation(), config, augmentation=augmentation, start=start
    )


def _channel(text: str | None) -> Channel:
    return int(text) if text is not None and text.isdecimal() else text


def _tuned(
    console: Console,
    definition: Definition,
    volume: Path,
    channel: Channel,
    processes: World,
    resumed: Path | None,
) -> Definition:
    """The definition with the noise of a volume in place of white noise."""
    assert definition.start is not None, "--finetune-noise goes with --init"
    first = checkpoint_to_start_from(definition, definition.start)
    noise = noise_to_learn(volume, channel, first, processes.device, resumed)
    _say(console, noise.summary())
    return replace(definition, noise=noise)


def _split(
    console: Console,
    paths: tuple[Path, ...],
    shares: Shares,
    normalisation: Normalisation,
    channel: Channel,
    skip_bad: bool,
    exclude: tuple[Path, ...],
) -> Split:
    catalogue = open_clean(paths, normalisation, channel, skip_bad, exclude)
    _report_left_out(console, catalogue)
    return split(catalogue.volumes, shares, catalogue.corpus)


def _report_left_out(console: Console, catalogue: Catalogue) -> None:
    """Say what was left out: nothing is in silence."""
    left_out = {
        "cannot be read": catalogue.skipped,
        "hold one value everywhere": catalogue.constant,
        "are copies of others": catalogue.duplicates,
    }
    for reason, names in left_out.items():
        if names:
            _say(console, f"left out {len(names)} that {reason}, the first: {names[0]}")
    if catalogue.excluded:
        _say(console, f"left out {len(catalogue.excluded)} that show what test images show:")
    for name in catalogue.excluded:
        _say(console, f"left out {name}")


def _introduce(console: Console, definition: Definition, parts: Split) -> None:
    counts = {
        part: (len(volumes), sum(v["planes"] for v in volumes)) for part, volumes in parts.as_dict().items()
    }
    text = ", ".join(f"{planes} planes of {n} volumes for {part}" for part, (n, planes) in counts.items())
    net = UNet(definition.unet)
    _say(console, text)
    _say(
        console,
        f"{parameters(net) / 1e6:.2f} million parameters, {flops(net) / 1e3:.0f} kFLOP per pixel, "
        f"{'bfloat16' if definition.config.bf16 else 'float32'}",
    )


def _trained(console: Console, session: Session, resume: bool) -> Checkpoint | None:
    try:
        with _progress(console, session.definition.config) as progress:
            return session.run(resume, progress)
    except KeyboardInterrupt:
        _say(console, f"stopped; --resume continues from the last checkpoint in {session.folder}")
        raise


@contextmanager
def _progress(console: Console, config: TrainingConfig) -> Iterator[Any]:
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console.quiet) as bar:
        task = bar.add_task("training", total=1, text="")

        def report(step: Step, row: Row) -> None:
            text = f"iteration {step.iteration}  loss {row['loss']:.4f}  rate {row['learning_rate']:.1e}"
            text += f"  {row['crops_per_second']:.1f} crops/s"
            bar.update(task, completed=config.progress(step.iteration, step.seconds), text=text)
            if not console.is_terminal:  # a log file shows no bar
                _say(console, text)

        yield report


def _conclude(console: Console, record: dict[str, Any], output: Path, folder: Path) -> None:
    levels = record.get("test_psnr_db") or {
        k.removeprefix("psnr_"): v for k, v in record["final"].items() if k.startswith("psnr_")
    }
    part = "test" if "test_psnr_db" in record else "validation"
    if levels:
        _say(console, f"one-evaluation PSNR on {part} volumes, dB by noise level: {levels}")
    _say(console, f"wrote {output}; the run is described in {folder}")
