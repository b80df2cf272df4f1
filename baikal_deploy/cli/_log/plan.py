"""The plan of a run, in lines for people."""

from __future__ import annotations

import math

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.host.sizes import format_size
from baikal_deploy.measurement.gate import NEIGHBOURS, Gate
from baikal_deploy.models.manifest import DEFAULT_MODEL
from baikal_deploy.pixels.figures import figures
from baikal_deploy.report.words import (
    counted,
    describe_model,
    describe_noise,
    describe_passed_over,
    describe_sampler,
    describe_structure,
)
from baikal_deploy.run.fused_again import each_again
from baikal_deploy.run.models.asked import Asked
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.create import format_of

WORDS = {"t": "frame", "z": "plane"}


def describe(run: Run) -> list[str]:
    """Plan of a run, line by line."""
    config, info, models = run.config, run.volume.info, run.models.used
    default = ", the shipped default" if config.model == DEFAULT_MODEL else ""
    axes, shape = "".join(axis.name for axis in info.axes), "x".join(map(str, info.shape))
    if info.shape != run.volume.whole.info.shape:
        shape += f" of {'x'.join(map(str, run.volume.whole.info.shape))}"
    size = format_size(run.output_bytes)
    kept = format_of(config.target).KEPT
    kept = kept if run.written.dtype == info.dtype else f"as {run.written.dtype}, {kept}"
    return [
        f"input     {config.input}: {axes} {shape} {info.dtype}",
        f"output    {config.result}: {size} {kept}",
        *([f"          not a TIFF: {run.plan.why}"] if run.plan.why else []),
        f"model     {', '.join(own.name for own in models)}{default}",
        *dict.fromkeys(line for own in models for line in _describe_engine(own.denoiser)),
        *(f"note: {remark}" for remark in [*info.remarks, *Asked.of(config.model).remarks]),
        *(line for channel in range(info.num_channels) for line in _describe_channel(run, channel)),
        _describe_work(run),
        _describe_memory(run),
        *_describe_rest(run),
    ]


def _describe_work(run: Run) -> str:
    """Describe what is to be computed; a pass is what the bars and the log call an evaluation."""
    planes = counted(run.recipes.num_planes, "plane")
    parts, name = run.windows_per_plane, "window"
    if run.layout.edge is not None:
        parts, name = run.round.regions_per_plane, "region"
    each = "" if parts == 1 else f", each in {counted(parts, name)}"
    passes = run.evaluations + run.evaluations_again
    return f"work      {planes}{each}; {counted(passes, 'pass', 'passes')} (network evaluations)"


def _describe_memory(run: Run) -> str:
    layout, needed = run.layout, format_size(run.plan.memory.needed(run.layout))
    each = (
        counted(layout.planes, "plane")
        if layout.edge is None
        else f"a region of {layout.edge} x {layout.edge} pixels"
    )
    return f"memory    {needed} of {format_size(run.plan.limit)}; in shards of {each}"


def _describe_rest(run: Run) -> list[str]:
    if run.earlier is None:
        return []
    return [f"continues an unfinished run: {run.evaluations_done} of these passes are done"]


def _describe_engine(denoiser: Denoiser) -> list[str]:
    engine = denoiser.predictor.engine
    line = f"engine    {engine.name} ({engine.version()}), {engine.precision}, on {engine.device}"
    if denoiser.passed_over:
        line += f"; {describe_passed_over(denoiser.passed_over)}"
    return [line, *([f"          {engine.precision}: {why}"] if (why := denoiser.why_precision) else [])]


def _describe_channel(run: Run, channel: int) -> list[str]:
    name = run.volume.info.channel_name(channel)
    if channel not in run.recipes.channels:
        asked = ", not denoised (--model)" if channel in run.plan.skipped else ""
        return [f"{name:<9} will be copied{asked}"]
    recipe = run.recipes.first(channel)
    intensity = recipe.measurement.intensity
    first = " at the first time point; each is measured by itself" if run.recipes.by_time else ""
    if intensity.is_constant:
        return [f"{name:<9} holds a single value{first or '; it will be copied'}"]
    return [
        f"{name:<9} intensities {figures(intensity.low)} to {figures(intensity.high)}{first}",
        f"          {describe_noise(recipe.measurement)}",
        *([] if run.models.one else [f"          model {describe_model(run, channel)}"]),
        f"          {describe_sampler(run, channel)}, {counted(recipe.nfe, 'pass', 'passes')} a plane",
        *(
            []
            if recipe.measurement.gate is None
            else [f"          {describe_gate(recipe.measurement.gate, run.plan.growing)}"]
        ),
        *([f"          {words}"] if (words := _describe_again(run, channel)) else []),
        *(f"          {words}" for words in describe_structure(recipe.measurement)),
        *(f"note: {note}" for note in recipe.measurement.notes()),
    ]


def _describe_again(run: Run, channel: int) -> str:
    """What denoising planes again takes; "" if they are not."""
    if not run.config.again:
        return ""
    passes = run.recipes.first(channel).nfe * each_again(run.round.work, channel)
    more = counted(passes, "more pass", "more passes")
    return f"denoised again: {more} a plane, averaged with those beside it" if passes else ""


def describe_gate(gate: Gate, growing: str = "") -> str:
    """What neighbours are expected to bring, in words.

    Args:
        gate: of a channel.
        growing: see ``Plan``.
    """
    closed = [axis for axis, allowed in gate.allowed.items() if not allowed]
    if gate.is_closed:
        return f"not fused along {' and '.join(closed)}: neighbours would bring nothing here"
    used = " and ".join(
        f"{counted(NEIGHBOURS[axis], WORDS[axis])} {'before' if axis == growing else 'on either side'}"
        for axis in gate.allowed
        if axis not in closed
    )
    rest = f" (none along {closed[0]}: they would bring nothing)" if closed else ""
    left = f"{figures(100 * math.sqrt(gate.left), 2)} % of the noise is left in results"
    least, most = gate.gains
    return f"fused with {used}{rest}: {left}; +{least:.1f} to +{most:.1f} dB expected"


def duration(seconds: float) -> str:
    """Time in words, such as "12.3 s" and "1 h 05 min".

    Args:
        seconds: the time.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
