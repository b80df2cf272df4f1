"""A few planes on their way through the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.regions import Part
from baikal_deploy.denoising.steps import Memory, Steps
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.denoising.trust import PROBES, contradictions, mean_and_std, relative_std
from baikal_deploy.diffusion.random_field import noise_source
from baikal_deploy.diffusion.samplers.base import Noise, ResolvedWalk
from baikal_deploy.errors import NotFinite
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.pixels.arrays import Planes, Raw
from baikal_deploy.pixels.counts import Tally

BRIGHTEST_TRAINED = 5.0
"""Intensity on the network's scale beyond which training shows it nothing: 3 times the upper percentile."""
PROBE_DRAW = 2**32
"""Draw of the first probe; far beyond those of the runs."""

Progress = Callable[[int], None]
"""Called after each network evaluation with the number of planes that it advanced."""


@dataclass(frozen=True)
class Done:
    """Of the region that was wanted.

    Attributes:
        planes: denoised, in raw units and the pixel type that was asked for; pixels that are not finite are
            those of the input.
        std: see ``Maps``; None unless it was asked for.
        suspect: see ``Maps``; None unless the guard was asked for.
        tally: what to know about the pixels.
    """

    planes: Raw
    std: NDArray[np.float32] | None
    suspect: NDArray[np.bool_] | None
    tally: Tally


@dataclass(frozen=True)
class Batch:
    """Planes that are denoised together.

    Attributes:
        recipe: how.
        planes: (N, height, width) in raw units: what is read of them.
        indices: of the planes in their volume, for messages.
        fields: numbers of their noise fields.
        guides: of the same shape, in raw units, or None.
        part: of the planes that these are.
        origin: (y, x) of these planes' first pixel in the noise fields.
        memory: where steps are kept that take long; None: nowhere.
    """

    recipe: Recipe
    planes: Raw
    indices: Sequence[int]
    fields: Sequence[int]
    guides: Raw | None
    part: Part
    origin: tuple[int, int] = (0, 0)
    memory: Memory | None = None

    def denoised(
        self,
        predictor: TiledPredictor,
        progress: Progress | None,
        dtype: DTypeLike,
        *,
        wants_std: bool,
        guard: bool,
    ) -> Done:
        """Raises EngineError if the network fails, NotFinite if it returns values that are not finite."""
        y, equaliser = self.recipe.prepare(self.planes)
        x0, std = self._sampled(y, equaliser, predictor, progress, wants_std)
        self._check(x0, predictor)
        result, tally = self.recipe.finish(x0, equaliser, self.planes, self.part.inner, dtype)
        std = None if std is None else std[(slice(None), *self.part.inner)]
        if not guard:
            return Done(result, std, None, tally)
        suspect, found = self._guarded(y, x0)
        return Done(result, std, suspect, tally + found)

    def _guarded(self, y: Planes, x0: Planes) -> tuple[NDArray[np.bool_], Tally]:
        """Where the result contradicts the data, and how much lies beyond what the model knows."""
        level, inner = self.recipe.level, (slice(None), *self.part.inner)
        suspect = contradictions((y - x0)[:, 0] / np.float32(level))[inner]
        # Four sigma: noise alone must not count.
        beyond = int(np.count_nonzero(y[:, 0][inner] > BRIGHTEST_TRAINED + 4 * level))
        return suspect, Tally(beyond_training=beyond, suspect=int(np.count_nonzero(suspect)))

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
        steps = self._steps(predictor, wants_std)
        schedule, predict = self.recipe.schedule, _Network(predictor, self.part.crop, progress)
        if steps is not None:
            predict = _KeptNetwork(predictor, self.part.crop, progress, steps)

        def compute(y: Planes) -> Planes:
            planes = predictor.engine.upload(y)
            return download(sampler.sample(predict, planes, schedule, *noise_and_guide))

        def denoise(y: Planes) -> Planes:
            return compute(y) if steps is None else steps.result(lambda: compute(y))

        if not wants_std:
            return denoise(y), None
        if isinstance(sampler, ResolvedWalk):
            runs = sampler.each_run(predict, predictor.engine.upload(y), schedule, *noise_and_guide)
            x0, spread = mean_and_std(map(download, runs))
            return x0, self._raw_spread(spread[:, 0], equaliser)
        x0 = denoise(y)
        return x0, self._raw_std(self._relative_std(denoise, y, x0), equaliser)

    def _steps(self, predictor: TiledPredictor, wants_std: bool) -> Steps | None:
        if self.memory is None:
            return None
        walks = isinstance(self.recipe.sampler, ResolvedWalk)
        evaluations = self.recipe.nfe * (1 + (PROBES if wants_std and not walks else 0))
        return Steps(self.memory, predictor.engine, evaluations, walks)

    def _noise(self, like: Planes) -> Noise:
        (top, left), (y, x) = self.origin, self.part.origin
        return noise_source(self.recipe.seed, self.fields, self.part.shape, like, (top + y, left + x))

    def _noise_and_guide(self, predictor: TiledPredictor) -> tuple[Noise, Planes | None]:
        engine = predictor.engine
        somewhere = engine.upload(np.zeros((1, 1, 1, 1), np.float32))
        guide = None if self.guides is None else engine.upload(self.recipe.prepare(self.guides)[0])
        return self._noise(like=somewhere), guide

    def _check(self, x0: Planes, predictor: TiledPredictor) -> None:
        if not np.isfinite(x0).all():
            raise NotFinite(
                f"model {predictor.engine.manifest.name}: the network returned NaN or infinite values for "
                f"planes {list(self.indices)}; nothing of them was kept. Try another engine or other sampler "
                "options, or leave them as they are (--on-error keep-raw)"
            )

    def _relative_std(self, denoise: Callable[[Planes], Planes], y: Planes, x0: Planes) -> Planes:
        draws = self._noise(like=y)
        signs = (np.sign(draws(0, PROBE_DRAW + probe)) for probe in range(PROBES))
        return relative_std(denoise, y, x0, self.recipe.level, signs, self.part.origin)[:, 0]

    def _raw_std(self, relative: Planes, equaliser: Equaliser | None) -> NDArray[np.float32]:
        """Raw units of what is relative to the noise."""
        measurement = self.recipe.measurement
        correlation = 1.0 if measurement.noise is None else measurement.noise.correlation
        std = measurement.normalised_sigma if equaliser is None else equaliser.spread * equaliser.level
        return (relative * std * np.float32(correlation * measurement.intensity.half)).astype(np.float32)

    def _raw_spread(self, spread: Planes, equaliser: Equaliser | None) -> NDArray[np.float32]:
        """Raw units of a spread on the sampler's scale."""
        half = np.float32(self.recipe.measurement.intensity.half)
        return spread * half if equaliser is None else spread * equaliser.spread * half


@dataclass(frozen=True)
class _Network:
    """What a sampler calls, and may turn; see ``samplers.base.Turnable``."""

    predictor: TiledPredictor
    crop: Crop
    progress: Progress | None

    def __call__(self, x: Planes, t: float) -> tuple[Planes, Planes | None]:
        output = self.predictor.predict(x, t, self.crop)
        if self.progress is not None:
            self.progress(x.shape[0])
        return output

    def turned(self, symmetry: int) -> _Network:
        return replace(self, crop=self.crop.turned(symmetry))


@dataclass(frozen=True)
class _KeptNetwork(_Network):
    """A network whose steps are kept; see ``samplers.base.Continued``."""

    steps: Steps

    def __call__(self, x: Planes, t: float) -> tuple[Planes, Planes | None]:
        evaluate = super().__call__
        return self.steps.evaluation(lambda: evaluate(x, t))

    def walked(self, run: int) -> tuple[int, Planes] | None:
        return self.steps.walked(run)

    def keep_walk(self, run: int, visit: int, x: Planes) -> None:
        self.steps.keep_walk(run, visit, x)
