"""Which of several models suits a channel best, found without the truth.

A model that does not know a structure removes some of it with the noise, or draws something else. Both make
its estimate wrong, and how wrong can be estimated from the noisy plane alone (Stein, Annals of Statistics
1981): what is removed has the variance of the noise, less twice what the estimate has kept of the noise, plus
the squared error. What is kept shows when a bit more noise is added (Ramani et al., IEEE TIP 2008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from baikal_deploy.denoising.batch import PROBE_DRAW
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.shown import Shown
from baikal_deploy.denoising.trust import shared
from baikal_deploy.diffusion.random_field import noise_source
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER, make_sampler
from baikal_deploy.models.manifest import DEFAULT_MODEL
from baikal_deploy.pixels.arrays import Planes, Raw, Values

WINDOWS, SIDE = 8, 256
"""Number and side, in pixels, of the windows that are looked at: those with the most structure."""
BLOCK = 32
"""Side of the blocks whose errors are compared, in pixels."""
ENOUGH = 16
"""Fewest blocks that tell anything."""
DOUBT = 2.0
"""Standard errors by which a model must be better than the default to be taken."""
LEAST = 0.004
"""Variances of the noise by which its squared error must be smaller."""
STEP = 0.05
"""Noise that is added, in standard deviations of what is there: more would be taken for structure, or removed
as what it is."""


@dataclass(frozen=True)
class Suited:
    """The model that suits a channel best, and what was found of each.

    Attributes:
        name: of the model.
        errors: by how much the expected mean squared error of each model's estimate is larger than the
            default's, in mean variances of the noise, by name; none where there is no noise.
    """

    name: str
    errors: Mapping[str, float]


def best_suited(
    sample: Sequence[Raw], denoisers: Mapping[str, Denoiser], default: str = DEFAULT_MODEL
) -> Suited:
    """The model whose estimate is expected to be nearest to the truth; the default if none clearly is.

    Args:
        sample: (H, W) windows of the channel, in raw units.
        denoisers: the models, by name.
        default: one of these names.

    Raises:
        EngineError: a network failed.
    """
    sampler = make_sampler(DEFAULT_SAMPLER, {"budget": "preview"}, {})
    measurement = denoisers[default].measure(sample, sampler)
    if measurement.intensity.is_constant or measurement.noise is None:
        return Suited(default, {})
    windows = _windows(sample)
    if not windows:
        return Suited(default, {})
    recipes = {name: one.recipe(sampler, measurement, seed=0) for name, one in denoisers.items()}
    blocks = {name: _errors(one, recipes[name], windows) for name, one in denoisers.items()}
    errors = {name: float((own - blocks[default]).mean()) for name, own in blocks.items()}
    better = [name for name in denoisers if _is_better(blocks[name], blocks[default])]
    return Suited(min(better, key=errors.__getitem__, default=default), errors)


def _is_better(own: Values, usual: Values) -> bool:
    """True if the errors of a model's blocks are smaller than the default's, beyond doubt."""
    less = usual - own
    doubt = DOUBT * less.std() / sqrt(len(less))
    return len(less) >= ENOUGH and bool(less.mean() > max(doubt, LEAST))


def _windows(sample: Sequence[Raw]) -> list[Raw]:
    """Parts of a sample with the most structure, in order of their places."""
    tiles = [
        window[y : y + SIDE, x : x + SIDE]
        for window in sample
        for y in range(0, max(window.shape[0] - SIDE, 0) + 1, SIDE)
        for x in range(0, max(window.shape[1] - SIDE, 0) + 1, SIDE)
    ]
    finite = [place for place, tile in enumerate(tiles) if np.isfinite(tile).all()]
    most = sorted(finite, key=lambda place: -_structure(tiles[place]))[:WINDOWS]
    return [tiles[place] for place in sorted(most)]


def _structure(tile: Raw) -> float:
    """Spread of the means over blocks, the brightest of which do not count alone."""
    low, high = np.percentile(_means(tile.astype(np.float64)), (5, 95))
    return float(high - low)


def _errors(denoiser: Denoiser, recipe: Recipe, windows: Sequence[Raw]) -> Values:
    """Expected squared errors in the blocks of windows, in mean variances of the noise."""
    errors, variances = np.concatenate([_of_window(denoiser, recipe, one) for one in windows], axis=1)
    mean: Values = errors / variances.mean()
    return mean


def _of_window(denoiser: Denoiser, recipe: Recipe, window: Raw) -> Values:
    """Expected squared error and variance of the noise in the blocks of a window: (2, blocks)."""
    predictor, engine = denoiser.predictor, denoiser.predictor.engine
    shown = Shown.of(window[None], Crop.uncut(window.shape), recipe.measurement)
    y, equaliser = recipe.prepare(shown.planes)
    noise = noise_source(recipe.seed, [0], window.shape, y, (0, 0))

    def estimate(planes: Planes) -> Planes:
        sample = recipe.sampler.sample
        return engine.download(sample(predictor.predict, engine.upload(planes), recipe.schedule, noise))

    std, sign = np.float32(recipe.spectrum.std), np.sign(noise(0, PROBE_DRAW))
    x0 = estimate(y)
    moved = estimate(y + np.float32(STEP) * std * shared(recipe.spectrum)(sign)) - x0
    kept = sign * moved / (np.float32(STEP) * std)
    removed = (y - x0) / std
    variance = np.ones(window.shape) if equaliser is None else equaliser.spread[0].astype(np.float64) ** 2
    error = variance * (removed**2 - 1 + 2 * kept)[0, 0]
    return np.stack([_means(error).ravel(), _means(variance).ravel()])


def _means(plane: Values) -> Values:
    """Means over blocks; what does not fill one at the ends is left out."""
    rows, columns = (min(BLOCK, side) for side in plane.shape)
    height, width = plane.shape[0] // rows, plane.shape[1] // columns
    blocks = plane[: height * rows, : width * columns].reshape(height, rows, width, columns)
    means: Values = blocks.mean(axis=(1, 3))
    return means
