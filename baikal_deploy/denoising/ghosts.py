"""Ghosts: where a fused result leaves what its own frame allows."""

from __future__ import annotations

import numpy as np

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.guard import contradictions
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.shown import Shown
from baikal_deploy.pixels.arrays import Mask, Planes, Raw


def ghosts(recipe: Recipe, pixels: Raw, crop: Crop, fused: Planes) -> Mask:
    """Find where fused results contradict the data; see ``contradictions``.

    Args:
        recipe: of the channel.
        pixels: the planes as they are read, (N, H, W) in raw units.
        crop: which part of whole planes they are, and what of it was fused.
        fused: (N, height, width) on the network's scale; not finite where there is no result.

    Returns:
        (N, height, width), True there.
    """
    shown, known = Shown.of(pixels, crop, recipe.measurement), np.isfinite(fused)
    y, equaliser = recipe.prepare(shown.planes)
    x0 = recipe.measurement.intensity.normalise(shown.planes)
    if shown.beyond is not None:  # the network was not shown it
        beyond = crop.trimmed(shown.beyond) / recipe.measurement.intensity.half
        fused = fused - beyond.astype(np.float32)
    crop.trimmed(x0)[known] = fused[known]
    even = x0 if equaliser is None else equaliser.forward(x0)
    suspect = contradictions(crop.trimmed(y), crop.trimmed(even)[:, None], recipe.spectrum).pixels()
    found: Mask = suspect & known
    return found
