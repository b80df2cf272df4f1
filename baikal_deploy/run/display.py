"""Display ranges of an output, as the run has measured them."""

from __future__ import annotations

from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.run.recipes import Recipes, sample
from baikal_deploy.volumes.shown import Range, window_of


def measured_ranges(recipes: Recipes) -> list[Range | None]:
    """Display ranges of all channels, as they were measured; None where a channel holds one value, or none.

    Channels that are denoised have the percentiles that the model is shown, of their structure without its
    noise; those that are copied the same percentiles of their pixels.

    Args:
        recipes: with the measurements of the beginning.
    """
    return [_range(_intensity(recipes, channel)) for channel in range(recipes.volume.info.num_channels)]


def _intensity(recipes: Recipes, channel: int) -> IntensityMap:
    if channel in recipes.channels:
        return recipes.first(channel).measurement.intensity
    if window_of(recipes.volume.info, channel):  # which is kept
        return IntensityMap(0.0, 0.0)
    try:
        return Normalisation().of(sample(recipes.volume, (None, channel), recipes.on_error))
    except VolumeError:  # that a copied channel cannot be read is said when it is copied
        return IntensityMap(0.0, 0.0)


def _range(intensity: IntensityMap) -> Range | None:
    return None if intensity.is_constant else (intensity.low, intensity.high)
