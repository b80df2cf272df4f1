"""baikal-train: clean images -> checkpoint."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import rich_click as click
from rich.console import Console

from baikal_deploy.cli.terminal import Command, friendly, plain_console
from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import shipped_models
from baikal_deploy.volumes.places import check_model_file
from baikal_training.checkpoint import Checkpoint
from baikal_training.config import DEFAULT_ITERATIONS, Clock, TimestepSampling, TrainingConfig
from baikal_training.data import AUGMENTATIONS, Catalogue, Shares, Split, open_clean, split
from baikal_training.data.readers import Channel
from baikal_training.distributed import World, world
from baikal_training.finetune import noise_to_learn
from baikal_training.losses import Prediction
from baikal_training.options import (
    FROM_NOTHING,
    MOST_FEW,
    PREDICTION,
    SCHEDULE,
    TO_FEW_IMAGES,
    UNET,
    VARIANCE,
    kind_of,
)  # fmt: skip
from baikal_training.options import definition as define
from baikal_training.session import Definition, Housekeeping, Session
from baikal_training.start import Start, first_model
from baikal_training.strips import FEW, split_off_strips, told
from baikal_training.telling import conclude, introduce, progress, report_left_out, say
from baikal_training.unet_config import PRESETS

TRAINING, UPKEEP = TrainingConfig(), Housekeeping()


def _either(text: str, option: str) -> str:
    """Help of an option with two defaults."""
    usual, few = getattr(FROM_NOTHING, option), getattr(TO_FEW_IMAGES, option)
    return f"{text} [default: {usual}; with --init and at most {MOST_FEW} volumes, {few}]."


@click.command(
    "baikal-train",
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("clean", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Checkpoint to write.")
@click.option(
    "--init", metavar="MODEL",
    help=f"Model to start from: {', '.join(shipped_models())}, an .onnx file, or a checkpoint (.pt).",
)  # fmt: skip
@click.option(
    "--finetune-noise", metavar="VOLUME", type=click.Path(path_type=Path),
    help="Noisy volume whose noise, correlated between pixels, the model of --init is to learn.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue the run that this command began.")
@click.option("--channel", help="Number (from 0) or name of the channel to train on.")
@click.option(
    "--split", "shares",
    help=f"Shares training:validation:test, in volumes [default: {Shares()}; with --init and fewer than "
    f"{FEW} volumes, a strip of each for validation].",
)  # fmt: skip
@click.option(
    "--exclude", metavar="PATH", multiple=True, type=click.Path(path_type=Path),
    help="Test images, a file or a folder (several times for several): what shows the same is left out.",
)  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Leave out files that cannot be read, and count them.")
@click.option("--unet", help=f"{', '.join(PRESETS)}, or a TOML file [default: that of --init, or {UNET}].")
@click.option(
    "--schedule", type=click.Choice(["linear", "cosine"]),
    help=f"Noise schedule [default: that of --init, or {SCHEDULE}].",
)  # fmt: skip
@click.option(
    "--prediction", type=click.Choice(get_args(Prediction)),
    help=f"What the network predicts [default: that of --init, or {PREDICTION}].",
)  # fmt: skip
@click.option(
    "--variance", type=click.Choice(get_args(Variance)),
    help=f"Variance of a reverse step [default: that of --init, or {VARIANCE}].",
)  # fmt: skip
@click.option("--iterations", type=int, help=f"Optimiser steps [default: {DEFAULT_ITERATIONS}].")
@click.option("--minutes", type=float, help="Train for so long instead.")
@click.option("--clock", type=click.Choice(get_args(Clock)), default=TRAINING.clock, help="Of --minutes.")
@click.option("--batch", type=int, help=_either("Crops per step, over all processes", "batch"))
@click.option("--accumulate", type=int, default=1, help="Parts a batch is computed in, to save memory.")
@click.option("--crop", type=int, default=TRAINING.crop, help="Side of a crop in pixels.")
@click.option("--learning-rate", type=float, help=_either("Peak learning rate", "learning_rate"))
@click.option("--warm-up", type=int, help=_either("Steps to reach the peak", "warm_up"))
@click.option("--ema", type=float, default=TRAINING.ema, help="Decay of the moving average of the weights.")
@click.option(
    "--timesteps", type=click.Choice(get_args(TimestepSampling)), default=TRAINING.timesteps,
    help="How training timesteps are drawn.",
)  # fmt: skip
@click.option(
    "--augmentation", type=click.Choice(list(AUGMENTATIONS)),
    help=_either("wide: change magnification and contrast too; optics: blur and haze as well; "
                 "narrow: only flip and turn, for images like the clean ones", "augmentation"),
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
@click.option(
    "--save-every",
    type=int,
    default=UPKEEP.save_every,
    help="Steps between checkpoints; with validation, as often as it takes 5 % of the time at most.",
)
@click.option("--workers", type=int, help="Processes that make crops ahead [default: as many as pay].")
@click.option("--memory", type=float, default=UPKEEP.memory / 2**30, help="GiB of images to hold in memory.")
@friendly
def main(
    clean: tuple[Path, ...],
    output: Path,
    init: str | None,
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
    check_model_file(output, "-o", ".pt")
    if init is not None and output.exists() and Path(init).exists() and output.samefile(init):
        raise ConfigError(
            f"-o {output}: that is the model of --init, which would be lost; choose another name"
        )
    if finetune_noise is not None and init is None:
        raise ConfigError(
            f"--finetune-noise {finetune_noise}: fine-tunes a trained model; give it with --init"
        )
    upkeep = _housekeeping(options)
    with world(device) as processes:
        console = plain_console()
        console.quiet = not processes.is_main
        shares, skip_bad = options.pop("shares"), options.pop("skip_bad")
        exclude = options.pop("exclude")
        channel = _channel(options.pop("channel"))
        start = None if init is None else Start.of(init)
        kind = kind_of(start, *(options.pop(name) for name in ("unet", "schedule", "prediction", "variance")))
        wanted = None if shares is None else Shares.parse(shares)
        definition = define(options, kind, start, FROM_NOTHING, processes.device)  # fails before data is read
        catalogue = _opened(console, clean, kind.normalisation, channel, skip_bad, exclude)
        adapts = start is not None and finetune_noise is None and len(catalogue.volumes) <= MOST_FEW
        if adapts:
            say(console, f"few images for a model that has learnt; unless given: {TO_FEW_IMAGES.summary()}")
            definition = define(options, kind, start, TO_FEW_IMAGES, processes.device)
        parts = _split(console, catalogue, wanted, definition.config.crop if adapts else None)
        folder = output.with_name(output.stem + "_run")
        if finetune_noise is not None:
            resumed = folder if resume else None
            definition = _tuned(console, definition, finetune_noise, channel, processes, resumed)
        introduce(console, definition, parts)
        session = Session(definition, parts, processes, upkeep, folder)
        model = _trained(console, session, resume)
        if model is not None:
            model.save(output)
            conclude(console, model.training, output, folder)


def _housekeeping(options: dict[str, Any]) -> Housekeeping:
    options["memory"] = int(options["memory"] * 2**30)
    return Housekeeping(**{field.name: options.pop(field.name) for field in fields(Housekeeping)})


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
    noise = noise_to_learn(volume, channel, first_model(definition.start), processes.device, resumed)
    say(console, noise.summary())
    return replace(definition, noise=noise)


def _opened(
    console: Console,
    paths: tuple[Path, ...],
    normalisation: Normalisation,
    channel: Channel,
    skip_bad: bool,
    exclude: tuple[Path, ...],
) -> Catalogue:
    catalogue = open_clean(paths, normalisation, channel, skip_bad, exclude)
    report_left_out(console, catalogue)
    return catalogue


def _split(console: Console, catalogue: Catalogue, shares: Shares | None, strips: int | None) -> Split:
    """The split that was asked for, or the default; ``strips`` is their height where few images get them."""
    volumes = catalogue.volumes
    if shares is not None or strips is None or len(volumes) >= FEW:
        return split(volumes, shares or Shares(), catalogue.corpus)
    parts = split_off_strips(volumes, strips)
    say(console, told(parts))
    return parts


def _trained(console: Console, session: Session, resume: bool) -> Checkpoint | None:
    try:
        with progress(console, session.definition.config) as shown:
            return session.run(resume, shown, lambda line: say(console, line))
    except KeyboardInterrupt:
        say(console, f"stopped; --resume continues from the last checkpoint in {session.folder}")
        raise
