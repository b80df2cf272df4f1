"""baikal-noise: the noise of a volume."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import rich_click as click
from numpy.typing import NDArray
from rich.console import Console

from baikal_deploy._version import __version__
from baikal_deploy.cli._noise_plot import plot
from baikal_deploy.cli.terminal import Command, PlainConsole, friendly
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.neighbours import measure_stream_gate
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER, make_sampler
from baikal_deploy.engines import AUTO, engine_names
from baikal_deploy.errors import ConfigError
from baikal_deploy.live.settling import PROBED
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.models.manifest import DEFAULT_MODEL, shipped_models
from baikal_deploy.report.spectrum import in_text
from baikal_deploy.report.words import describe_noise, describe_structure
from baikal_deploy.run.recipes import sample
from baikal_deploy.volumes.axes import check_asked
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.urls import source_of

EXAMPLES = (
    ("baikal-noise cells.tif", "gain and noise of each channel, with a plot"),
    ("baikal-noise cells.tif --json", "for programs"),
)


@click.command(
    "baikal-noise",
    cls=Command,
    examples=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("volume")
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    help=f"Tells structure from noise: a shipped model ({', '.join(shipped_models())}), or an .onnx file.",
)
@click.option(
    "--engine", default=AUTO, help=f"The fastest that works here, or one of {', '.join(engine_names())}."
)
@click.option(
    "--series", metavar="N", type=int, help="Which image of a file with several. [default: the only one]"
)
@click.option(
    "--axes",
    metavar="zyx|tcyx|…",
    help="Axes of VOLUME if nothing in it names them, as for baikal-run. [default: zyx, czyx or tczyx]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the fit as JSON.")
@click.option(
    "--stream",
    is_flag=True,
    help="With --json: also how far results of frames that follow each other may differ (gate), for a live "
    "graph of baikal-export.",
)
@click.version_option(__version__)
@friendly
def main(
    volume: str, model: str, engine: str, series: int | None, axes: str | None, as_json: bool, stream: bool
) -> None:
    """Measure how the noise of VOLUME depends on its signal, and whether pixels share it.

    VOLUME is of any format that baikal-run reads. For each channel the variance is fitted by
    gain · intensity + intercept: a photon counts as GAIN grey values. baikal-run measures the same.
    """
    if stream and not as_json:
        raise ConfigError("--stream: prints numbers for programs; give --json as well")
    if axes is not None:
        check_asked(axes)
    opened = open_input(source_of(volume), series, axes)
    with Denoiser.load(model, engine) as denoiser:
        channels = range(opened.info.num_channels)
        if as_json:
            records = [_record(denoiser, opened, channel, stream) for channel in channels]
            click.echo(json.dumps(records, indent=2))
            return
        console = PlainConsole()
        for channel in channels:
            _show(console, denoiser, opened, channel)


def _measured(denoiser: Denoiser, volume: Volume, channel: int) -> tuple[Measurement, NDArray[np.float64]]:
    """The measurement of a channel, and the bins that its noise was fitted to."""
    windows = sample(volume, (None, channel))
    measurement = denoiser.measure(windows, make_sampler(DEFAULT_SAMPLER, {}, {}))
    return measurement, denoiser.noise_curve(windows, measurement)


def _record(denoiser: Denoiser, volume: Volume, channel: int, stream: bool) -> dict[str, Any]:
    measurement, curve = _measured(denoiser, volume, channel)
    if stream:
        measurement = replace(measurement, gate=_stream_gate(denoiser, volume, channel, measurement))
    return {
        "channel": volume.info.channel_name(channel),
        **asdict(measurement),
        "bins": [dict(zip(("intensity", "variance", "count"), row, strict=True)) for row in curve.tolist()],
    }


def _stream_gate(denoiser: Denoiser, volume: Volume, channel: int, found: Measurement) -> Gate:
    """How far the results of frames of a channel may differ, told by a few windows."""
    if found.intensity.is_constant:
        return Gate.closed("t")
    recipe = denoiser.recipe(make_sampler(DEFAULT_SAMPLER, {}, {}), found, seed=0)
    return measure_stream_gate(denoiser, recipe, sample(volume, (None, channel))[:PROBED])


def _show(console: Console, denoiser: Denoiser, volume: Volume, channel: int) -> None:
    measurement, curve = _measured(denoiser, volume, channel)
    name = volume.info.channel_name(channel)
    if measurement.noise is None or not len(curve):
        console.print(f"{name}: no noise was found", soft_wrap=True)
        return
    console.print(f"{name}: {describe_noise(measurement)}", soft_wrap=True)
    console.print(plot(measurement.noise, curve))
    if measurement.spectrum is not None:
        console.print("spectrum of the noise (middle: frequency 0; edges: half a cycle per pixel):")
        for line in in_text(measurement.spectrum):
            console.print(f" |{line}|", highlight=False)
    for words in describe_structure(measurement):
        console.print(words, soft_wrap=True)
    for note in measurement.notes():
        console.print(f"note: {note}", soft_wrap=True)
