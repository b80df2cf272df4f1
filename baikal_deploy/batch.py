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
from baikal_deploy.maps import PROBES, contradictions, relative_std
from baikal_deploy.noise import noise_source
from baikal_deploy.recipe import Recipe
from baikal_deploy.samplers.base import Noise
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
    planes: denoised, in raw units, in the pixel type of the input.
    std: see ``Maps``; None unless it was asked for.
    suspect: see ``Maps``.
    tally: what to know about the pixels.
    """

    planes: Raw
    std: NDArray[np.float32] | None
    suspect: NDArray[np.bool_]
    tally: Tally


@dataclass(frozen=True)
class Batch:
    """Planes that are denoised together.

    Attributes:
        recipe: how.
        planes: (N, H, W) in raw units.
        indices: of the planes in their volume; they address the noise.
        guides: (N, H, W) in raw units, or None.
    """

    recipe: Recipe
    planes: Raw
    indices: Sequence[int]
    guides: Raw | None

    def denoised(self, predictor: TiledPredictor, progress: Progress | None, wants_std: bool) -> Done:
        """Raises EngineError if the network fails, or returns values that are not finite."""
        y, equaliser = self.recipe.prepare(self.planes)
        somewhere = predictor.engine.upload(np.zeros((1, 1, 1, 1), np.float32))
        noise = noise_source(self.recipe.seed, self.indices, self.planes.shape[1:], like=somewhere)
        denoise = self._denoiser(predictor, progress, noise)
        x0 = denoise(y)
        self._check(x0, predictor)
        level = self.recipe.level
        suspect = contradictions((y - x0)[:, 0] / np.float32(level))
        std = self._std(denoise, y, x0, equaliser) if wants_std else None
        # Four sigma: noise alone must not count.
        beyond = int((y > BRIGHTEST_TRAINED + 4 * level).sum())
        result = self.recipe.finish(x0, equaliser, self.planes.dtype)
        return Done(
            np.where(np.isfinite(self.planes), result, self.planes),
            std,
            suspect,
            Tally(beyond_training=beyond, suspect=int(suspect.sum())),
        )

    def _denoiser(
        self, predictor: TiledPredictor, progress: Progress | None, noise: Noise
    ) -> Callable[[Planes], Planes]:
        """The sampler, from NumPy planes to NumPy planes."""
        recipe, engine = self.recipe, predictor.engine
        guide = None if self.guides is None else engine.upload(recipe.prepare(self.guides)[0])

        def predict(x: Planes, t: float) -> tuple[Planes, Planes | None]:
            output = predictor.predict(x, t)
            if progress is not None:
                progress(x.shape[0])
            return output

        def denoise(y: Planes) -> Planes:
            return engine.download(
                recipe.sampler.sample(predict, engine.upload(y), recipe.schedule, noise, guide)
            )

        return denoise

    def _check(self, x0: Planes, predictor: TiledPredictor) -> None:
        if not np.isfinite(x0).all():
            raise EngineError(
                f"model {predictor.engine.manifest.name}: the network returned NaN or infinite values for "
                f"planes {list(self.indices)}; nothing of them was kept. Try another engine or other sampler "
                "options"
            )

    def _std(
        self, denoise: Callable[[Planes], Planes], y: Planes, x0: Planes, equaliser: Equaliser | None
    ) -> NDArray[np.float32]:
        """Standard deviation of the result in raw units, (N, H, W)."""
        recipe = self.recipe
        draws = noise_source(recipe.seed, self.indices, self.planes.shape[1:], like=y)
        signs = (np.sign(draws(0, PROBE_DRAW + probe)) for probe in range(PROBES))
        relative = relative_std(denoise, y, x0, recipe.level, signs)[:, 0]
        measurement = recipe.measurement
        correlation = 1.0 if measurement.noise is None else measurement.noise.correlation
        std = measurement.normalised_sigma if equaliser is None else equaliser.std
        return (relative * std * np.float32(correlation * measurement.intensity.half)).astype(np.float32)
