"""A few planes on their way through the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.guard import contradictions
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.shown import Shown
from baikal_deploy.denoising.stack import Denoised, Gathered, Stack, Wanted
from baikal_deploy.denoising.steps import Memory, Steps
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.denoising.trust import PROBES, mean_and_std, relative_std
from baikal_deploy.diffusion.random_field import noise_source
from baikal_deploy.diffusion.samplers._walk import ResolvedWalk
from baikal_deploy.diffusion.samplers.base import Noise
from baikal_deploy.errors import NotFinite
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.intensity import is_constant
from baikal_deploy.pixels.arrays import Planes
from baikal_deploy.pixels.counts import Tally

PROBE_DRAW = 2**32
"""Draw of the first probe; far beyond those of the runs."""

Progress = Callable[[int], None]
"""Called after each network evaluation with the number of planes that it advanced."""


def in_batches(whole: Batch) -> Denoised:
    """Denoise any number of planes, of which some go through the network at a time.

    Planes that hold a single value, or whose channel does, are copied.

    Args:
        whole: all planes, with what is wanted of them.

    Returns:
        The denoised planes, and what else is wanted of them.

    Raises:
        EngineError: the network failed.
        NotFinite: the network returned values that are not finite.
    """
    pixels, size, intensity = whole.stack.pixels, whole.predictor.planes, whole.recipe.measurement.intensity
    varied = [i for i, plane in enumerate(pixels) if not (intensity.is_constant or is_constant(plane))]
    if len(pixels) == len(varied) <= size:
        return whole.denoised()
    copied = [i for i in range(len(pixels)) if i not in varied]
    result = Gathered((len(pixels), *whole.crop.wanted_shape), whole.wanted)
    planes = whole.crop.trimmed(pixels)[copied]
    result.put(copied, Denoised.copied(planes, whole.wanted, Tally(planes.size, len(copied))))
    for first in range(0, len(varied), size):
        places = varied[first : first + size]
        result.put(places, replace(whole, stack=whole.stack.some(places)).denoised())
    return result.denoised


@dataclass(frozen=True)
class Batch:
    """Planes that are denoised together.

    Attributes:
        predictor: the network.
        recipe: how.
        stack: the planes.
        crop: which part of whole planes they are, and what of it is wanted.
        wanted: what is to be made of them.
        progress: see ``Progress``; None: nobody is told.
        memory: where steps are kept that take long; None: nowhere.
    """

    predictor: TiledPredictor
    recipe: Recipe
    stack: Stack
    crop: Crop
    wanted: Wanted
    progress: Progress | None = None
    memory: Memory | None = None

    def denoised(self) -> Denoised:
        """Denoise the planes together.

        Raises:
            EngineError: the network failed.
            NotFinite: the network returned values that are not finite.
        """
        raw = self.stack.pixels
        shown = Shown.of(raw, self.crop, self.recipe.measurement)
        y, equaliser = self.recipe.prepare(shown.planes)
        x0, std = self._sampled(y, equaliser)
        try:
            planes, counts = self.recipe.finish(x0, equaliser, raw, shown, self.crop, self.wanted)
        except FloatingPointError as error:
            raise self._not_finite() from error
        std = None if std is None else self.crop.trimmed(std)
        counts += Tally(planes.size)
        if not self.wanted.guard:
            return Denoised(planes, std, None, counts)
        suspect, found = self._guarded(y, x0)
        return Denoised(planes, std, suspect, counts + found)

    def _guarded(self, y: Planes, x0: Planes) -> tuple[NDArray[np.uint8] | None, Tally]:
        """Map of suspect pixels where it is wanted, and a tally of them."""
        found = contradictions(y, x0, self.recipe.spectrum)
        counts = Tally(suspect=found.count(self.crop))
        if not self.wanted.suspect:
            return None, counts
        return self.crop.trimmed(found.pixels()).view(np.uint8), counts

    def _sampled(self, y: Planes, equaliser: Equaliser | None) -> tuple[Planes, NDArray[np.float32] | None]:
        """x_0, and its standard deviation in raw units, (N, H, W)."""
        sampler, engine, steps = self.recipe.sampler, self.predictor.engine, self._steps()
        schedule, predict, download = self.recipe.schedule, self._network(steps), engine.download
        noise_and_guide = self._noise_and_guide()

        def compute(y: Planes) -> Planes:
            planes = engine.upload(y)
            return download(sampler.sample(predict, planes, schedule, *noise_and_guide))

        def denoise(y: Planes) -> Planes:
            return compute(y) if steps is None else steps.result(lambda: compute(y))

        if not self.wanted.std:
            return denoise(y), None
        if isinstance(sampler, ResolvedWalk):
            runs = sampler.each_run(predict, engine.upload(y), schedule, *noise_and_guide)
            x0, spread = mean_and_std(map(download, runs))
            return x0, self._raw_spread(spread[:, 0], equaliser)
        x0 = denoise(y)
        return x0, self._raw_std(self._relative_std(denoise, y, x0), equaliser)

    def _network(self, steps: Steps | None) -> _Network:
        if steps is None:
            return _Network(self.predictor, self.crop, self.progress)
        return _KeptNetwork(self.predictor, self.crop, self.progress, steps)

    def _steps(self) -> Steps | None:
        if self.memory is None:
            return None
        walks = isinstance(self.recipe.sampler, ResolvedWalk)
        evaluations = self.recipe.nfe * (1 + (PROBES if self.wanted.std and not walks else 0))
        return Steps(self.memory, self.predictor.engine, evaluations, walks)

    def _noise(self, like: Planes) -> Noise:
        crop, fields = self.crop, self.stack.noise_fields
        return noise_source(self.recipe.seed, fields, crop.shape, like, crop.origin_in_noise)

    def _noise_and_guide(self) -> tuple[Noise, Planes | None]:
        engine, guides = self.predictor.engine, self.stack.guides
        somewhere = engine.upload(np.zeros((1, 1, 1, 1), np.float32))
        if guides is None:
            return self._noise(like=somewhere), None
        shown = Shown.of(guides, self.crop, self.recipe.measurement)
        return self._noise(like=somewhere), engine.upload(self.recipe.prepare(shown.planes)[0])

    def _not_finite(self) -> NotFinite:
        name, planes = self.predictor.engine.manifest.name, list(self.stack.indices)
        return NotFinite(
            f"model {name}: the network returned NaN or infinite values for planes {planes}; nothing of "
            "them was kept. Try --precision fp32, another engine or other sampler options, or leave them as "
            "they are (--on-error keep-raw)"
        )

    def _relative_std(self, denoise: Callable[[Planes], Planes], y: Planes, x0: Planes) -> Planes:
        draws = self._noise(like=y)
        signs = (np.sign(draws(0, PROBE_DRAW + probe)) for probe in range(PROBES))
        return relative_std(denoise, y, x0, self.recipe.spectrum, signs, self.crop)[:, 0]

    def _raw_std(self, relative: Planes, equaliser: Equaliser | None) -> NDArray[np.float32]:
        """Raw units of what is relative to the noise."""
        spread = np.float32(1) if equaliser is None else equaliser.spread
        std = np.float32(self.recipe.spectrum.std * self.recipe.measurement.intensity.half)
        return (relative * spread * std).astype(np.float32)

    def _raw_spread(self, spread: Planes, equaliser: Equaliser | None) -> NDArray[np.float32]:
        """Raw units of a spread on the sampler's scale."""
        half = np.float32(self.recipe.measurement.intensity.half)
        return spread * half if equaliser is None else spread * equaliser.spread * half


@dataclass(frozen=True)
class _Network:
    """The network as a sampler calls it and may turn it; see ``samplers.base.Turnable``."""

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
