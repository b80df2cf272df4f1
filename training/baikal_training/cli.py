"""baikal-train: clean images -> checkpoint."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, get_args

import rich_click as click
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from baikal_deploy import __version__
from baikal_deploy.cli.terminal import friendly, plain_console
from baikal_deploy.errors import ConfigError
from baikal_deploy.intensity import Normalisation
from baikal_deploy.schedule import ScheduleSpec, Variance
from baikal_training.checkpoint import Checkpoint
from baikal_training.data import read_clean, split
from baikal_training.loop import TimestepSampling, TrainingConfig, denoising_psnr, train
from baikal_training.losses import Diffusion, Objective, Prediction
from baikal_training.unet import UNet, UNetConfig

DEFAULTS = TrainingConfig()
VALIDATION_SIGMAS = (0.1, 0.36, 0.5, 0.71)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("clean_folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Checkpoint to write.")
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
@click.option("--iterations", type=int, default=DEFAULTS.iterations, help="Optimiser steps.")
@click.option("--batch", type=int, default=DEFAULTS.batch, help="Crops per step.")
@click.option("--crop", type=int, default=DEFAULTS.crop, help="Side of a crop in pixels.")
@click.option("--learning-rate", type=float, default=DEFAULTS.learning_rate, help="Peak learning rate.")
@click.option(
    "--timesteps", type=click.Choice(get_args(TimestepSampling)), default=DEFAULTS.timesteps,
    help="How training timesteps are drawn.",
)  # fmt: skip
@click.option("--bf16", is_flag=True, help="Compute in bfloat16; pays on CPUs with AMX.")
@click.option("--seed", type=int, default=DEFAULTS.seed, help="Seed of everything random.")
@friendly
def main(
    clean_folder: Path, output: Path, schedule: str, prediction: Any, variance: Any, **options: Any
) -> None:
    """Train a noise-prediction network on a folder of clean TIFF or PNG planes."""
    console = plain_console()
    if not output.parent.is_dir() or output.is_dir() or not os.access(output.parent, os.W_OK):
        raise ConfigError(f"{output}: cannot be written; give a file name in a folder you may write to")
    config = TrainingConfig(**options)
    objective, normalisation = Objective(prediction, variance), Normalisation()
    spec = ScheduleSpec(schedule)  # type: ignore[arg-type]  # click has checked the choice
    shape = UNetConfig(out_channels=objective.out_channels)
    if config.crop % shape.downsampling:
        raise ConfigError(f"--crop {config.crop}: must be a multiple of {shape.downsampling}")
    training, validation = split(read_clean(clean_folder, normalisation))
    console.print(f"{len(training)} planes to train on, {len(validation)} to validate with")

    torch.manual_seed(config.seed)
    net, table = UNet(shape), spec.build()
    diffusion = Diffusion(table, objective)
    with _progress(console) as progress:
        bar = progress.add_task("training", total=config.iterations, loss="")

        def report(iteration: int, loss: float, rate: float) -> None:
            text = f"loss {loss:.4f}  rate {rate:.1e}"
            progress.update(bar, completed=iteration, loss=text)
            if not console.is_terminal:  # a log file shows no bar
                console.print(f"iteration {iteration} of {config.iterations}: {text}")

        ema, record = train(net, diffusion, table, training, config, report)
    net.load_state_dict(ema)
    psnr = {str(s): denoising_psnr(net.eval(), diffusion, table, validation, s) for s in VALIDATION_SIGMAS}
    record |= {
        "planes": len(training),
        "validation_planes": len(validation),
        "validation_psnr_db": {sigma: round(value, 2) for sigma, value in psnr.items()},
        "versions": {"baikal-deploy": __version__, "torch": str(torch.__version__)},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    Checkpoint(shape, spec, objective, normalisation, ema, record).save(output)
    console.print(f"one-evaluation PSNR on validation planes: {record['validation_psnr_db']}")
    console.print(f"wrote {output}")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[loss]}"), console=console)
