"""Words for what was measured and chosen."""

from __future__ import annotations

import numpy as np

from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.diffusion.samplers.auto import Auto
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.run.run import Run


def number(value: float, digits: int = 4) -> str:
    """A number with so many digits, or all before the point."""
    return f"{value:.0f}" if 10 ** (digits - 1) <= abs(value) < 1e9 else f"{value:.{digits}g}"


def describe_choice(run: Run, recipe: Recipe) -> str:
    """Describe what was chosen for a channel, and why."""
    if recipe.measurement.intensity.is_constant:
        return "holds a single value; it will be copied"
    summary = recipe.sampler.summary()
    if not isinstance(run.plan.sampler, Auto):
        return f"{run.config.sampler} {summary}"
    return f"auto: matched {summary} (budget {run.plan.sampler.budget})"


def describe_noise(measurement: Measurement) -> str:
    """Describe how strong the noise is, and what it consists of."""
    noise, intensity = measurement.noise, measurement.intensity
    if noise is None:
        return f"noise {measurement.sigma:.3g}"
    dark, bright = (total_std(noise, end) for end in (intensity.low, intensity.high))
    if noise.gain == 0:
        strength = f"noise {dark:.3g} everywhere"
    else:
        gain = noise.gain * noise.correlation**2
        strength = f"noise {dark:.3g} in the dark to {bright:.3g} in the light (gain {gain:.3g})"
    if not noise.is_correlated:
        return f"{strength}, white"
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
