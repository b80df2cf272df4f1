"""Words for what was measured and chosen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np

from baikal_deploy.denoising.suiting import Suited
from baikal_deploy.diffusion.samplers.auto import Auto
from baikal_deploy.host import machine
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.figures import figures
from baikal_deploy.run.run import Run


def counted(count: int, one: str, more: str = "") -> str:
    """A count with its noun: "1 plane", "3 planes".

    Args:
        count: how many.
        one: the noun for one of them.
        more: the noun for several; empty: with an s.
    """
    return f"{count} {one if count == 1 else more or one + 's'}"


def describe_sampler(run: Run, channel: int) -> str:
    """Describe how a channel is denoised, in a few words; the details are those of ``describe_choice``."""
    sampler = run.models.of(channel).sampler
    return f"matched (budget {sampler.budget})" if isinstance(sampler, Auto) else run.config.sampler


def describe_passed_over(engines: Iterable[str]) -> str:
    """Describe why an engine was taken by itself.

    Without an NVIDIA GPU it is no news that engines for one do not work.

    Args:
        engines: those before it that do not work here, by name.
    """
    return (
        f"the fastest here (baikal-doctor says why not {', '.join(engines)})"
        if _nvidia()
        else "the fastest here"
    )


@cache
def _nvidia() -> bool:
    return bool(machine.nvidia_gpus()[0])


def describe_choice(run: Run, channel: int) -> str:
    """Describe how a channel is denoised, and why so."""
    recipe, sampler = run.recipes.first(channel), run.models.of(channel).sampler
    if recipe.measurement.intensity.is_constant:
        return "holds a single value; it will be copied"
    summary = recipe.sampler.summary()
    if not isinstance(sampler, Auto):
        return f"{run.config.sampler} {summary}"
    return f"auto: matched {summary} (budget {sampler.budget})"


def describe_model(run: Run, channel: int) -> str:
    """Describe the model of a channel, and why it was chosen if it was."""
    name, found = run.models.of(channel).name, run.models.chosen.get(channel)
    return name if found is None else f"{name}, {describe_suited(found)}"


def describe_suited(suited: Suited) -> str:
    """Describe why a model was chosen: the error that is expected of each."""
    if not suited.errors:
        return "the default, as there is no noise to tell by"
    errors = sorted(suited.errors.items(), key=lambda one: (one[0] != suited.name, one[1]))
    told = ", ".join(f"{name} {100 * error:+.2g} %" for name, error in errors)
    best = all(error > suited.errors[suited.name] for name, error in errors if name != suited.name)
    why = "suits it best" if best else "the default, as no other is clearly better"
    return f"{why}; expected squared error beside the default's, of the noise's variance: {told}"


def describe_noise(measurement: Measurement) -> str:
    """Describe how strong the noise is, in grey values and photons, and whether pixels share it."""
    noise, intensity = measurement.noise, measurement.intensity
    if noise is None:
        return f"noise of {figures(measurement.sigma, 3)} grey values"
    dark, bright = (total_std(noise, end) for end in (intensity.low, intensity.high))
    if noise.gain == 0:
        strength = f"noise of {figures(dark, 3)} grey values everywhere"
    else:
        gain = noise.gain * noise.correlation**2
        strength = (
            f"noise of {figures(dark, 3)} grey values in dark parts to {figures(bright, 3)} in bright ones"
        )
        strength += f" (a photon counts for about {figures(gain, 3)})"
    if not noise.is_correlated:
        return f"{strength}, independent between pixels"
    lines = [name for name, share in (("rows", noise.rows), ("columns", noise.columns)) if share > 0]
    shared = f", and shared by {' and '.join(lines)}" if lines else ""
    return f"{strength}, correlated between pixels{shared}"


def describe_structure(measurement: Measurement) -> list[str]:
    """Describe what a channel looks like, if the model knows that; the notes have what it does not know."""
    structure = measurement.structure
    return [] if structure is None or not structure.words else [structure.words]


def total_std(noise: NoiseModel, intensity: float) -> float:
    """Standard deviation of the noise at a mean intensity, in raw units."""
    return noise.correlation * float(noise.std(np.asarray(intensity)))
