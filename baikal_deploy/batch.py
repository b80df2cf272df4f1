"""A few planes on their way through the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.engines.base import Planes
from baikal_deploy.equalise import Equaliser
from baikal_deploy.errors import EngineError
from baikal_deploy.intensity import Raw
from baikal_deploy.maps import PROBES, contradictions, mean_and_std, relative_std
from baikal_deploy.noise import noise_source
from baikal_deploy.recipe import Recipe
from baikal_deploy.samplers.base import Noise, Predict, WalkSampler
from baikal_deploy.tally import Tally
from baikal_deploy.tiling import TiledPredictor

BRIGHTEST_TRAINED = 5.0
"""Intensity on the network's scale beyond which training shows it nothing: 3 times the upper percentile."""
PROBE_DRAW = 2**32
"""Draw of the first probe; far beyond those of the runs."""

Progress = Callable[[int], None]
"""Called after each network evaluation with the number of planes that it advanced."""


@dataclass(frozen=True)
class Done:
    """Attributes:
    planes: denoised, in raw units; pixels that are not finite are those of the input.
    std: see ``Maps``; None unless it was asked for.
    suspect: see ``Maps``.
    tally: what to know about the pixels.
    """

    planes: NDArray[np.float64]
    std: NDArray[np.float32] | None
    suspect: NDArray[np.bool_]
    tally: Tally


@dataclass(frozen=True)
class Batch:
    """Planes that are denoised together.

    Attributes:
        recipe: how.
        planes: (N, H, W) in raw units.
        indices: of the planes in their volume, for messages.
        fields: numbers of their noise fields.
        guides: (N, H, W) in raw units, or None.
        origin: (y, x) of the first pixel; it addresses the noise.
    """

    recipe: Recipe
    planes: Raw
    indices: Sequence[int]
    fields: Sequence[int]
    guides: Raw | None
    origin: tuple[int, int] = (0, 0)

    def denoised(self, predictor: TiledPredictor, progress: Progress | None, wants_std: bool) -> Done:
        """Raises EngineError if the network fails, or returns values that are not finite."""
        y, equaliser = self.recipe.prepare(self.planes)
        x0, std = self._sampled(y, equaliser, predictor, progress, wants_std)
        self._check(x0, predictor)
        level = self.recipe.level
        suspect = contradictions((y - x0)[:, 0] / np.float32(level))
        # Four sigma: noise alone must not count.
        beyond = int((y > BRIGHTEST_TRAINED + 4 * level).sum())
        result = self.recipe.finish(x0, equaliser)
        return Done(
            np.where(np.isfinite(self.planes), result, self.planes),
            std,
            suspect,
            Tally(beyond_training=beyond, suspect=int(suspect.sum())),
        )

    def _sampled(
        self,
        y: Planes,
        equaliser: Equaliser | None,
        predictor: TiledPredictor,
        progress: Progress | None,
        wants_std: bool,
    ) -> tuple[Planes, NDArray[np.float32] | None]:
        """x_0, and its standard deviation in raw units, (N, H, W)."""
        sampler, download = self.recipe.sampler, predictor.engine.download
        noise_and_guide = self._noise_and_guide(predictor)
        schedule, predict = self.recipe.schedule, _reporting(predictor, progress)

        def denoise(y: Planes) -> Planes:
            planes = predictor.engine.upload(y)
            return download(sampler.sample(predict, planes, schedule, *noise_and_guide))

        if not wants_std:
            return denoise(y), None
        if isinstance(sampler, WalkSampler):
            runs = sampler.each_run(predict, predictor.engine.upload(y), schedule, *noise_and_guide)
            x0, spread = mean_and_std(map(download, runs))
            return x0, self._raw_spread(spread[:, 0], equaliser)
        x0 = denoise(y)
        return x0, self._raw_std(self._relative_std(denoise, y, x0), equaliser)

    def _noise_and_guide(self, predictor: TiledPredictor) -> tuple[Noise, Planes | None]:
        engine = predictor.engine
        somewhere = engine.upload(np.zeros((1, 1, 1, 1), np.float32))
        guide = None if self.guides is None else engine.upload(self.recipe.prepare(self.guides)[0])
        return self._noise(like=somewhere), guide

    def _noise(self, like: Planes) -> Noise:
        return noise_source(self.recipe.seed, self.fields, self.planes.shape[1:], like, self.origin)

    def _check(self, x0: Planes, predictor: TiledPredictor) -> None:
        if not np.isfinite(x0).all():
            raise EngineError(
                f"model {predictor.engine.manifest.name}: the network returned NaN or infinite values for "
                f"planes {list(self.indices)}; nothing of them was kept. Try another engine or other sampler "
                "options"
            )

    def _relative_std(self, denoise: Callable[[Planes], Planes], y: Planes, x0: Planes) -> Planes:
        draws = self._noise(like=y)
        signs = (np.sign(draws(0, PROBE_DRAW + probe)) for probe in range(PROBES))
        return relative_std(denoise, y, x0, self.recipe.level, signs)[:, 0]

    def _raw_std(self, relative: Planes, equaliser: Equaliser | None) -> NDArray[np.float32]:
        """Raw units of what is relative to the noise."""
        measurement = self.recipe.measurement
        correlation = 1.0 if measurement.noise is None else measurement.noise.correlation
        std = measurement.normalised_sigma if equaliser is None else equaliser.std
        return (relative * std * np.float32(correlation * measurement.intensity.half)).astype(np.float32)

    def _raw_spread(self, spread: Planes, equaliser: Equaliser | None) -> NDArray[np.float32]:
        """Raw units of a spread on the sampler's scale."""
        half = np.float32(self.recipe.measurement.intensity.half)
        return spread * half if equaliser is None else spread / equaliser.scale * half


def _reporting(predictor: TiledPredictor, progress: Progress | None) -> Predict:
    """The network, which reports its evaluations."""

    def predict(x: Planes, t: float) -> tuple[Planes, Planes | None]:
        output = predictor.predict(x, t)
        if progress is not None:
            progress(x.shape[0])
        return output

    return predict
