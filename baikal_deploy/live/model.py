"""The model as it denoises one frame after the other, and what it learns of them."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.neighbours import unfused
from baikal_deploy.denoising.provenance import made_with
from baikal_deploy.denoising.recipe import Recipe, unknown_spectrum
from baikal_deploy.denoising.stack import Stack, Wanted, in_raw_units
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import ConfigError
from baikal_deploy.live.budget import Budget
from baikal_deploy.live.exposure import exposure_of
from baikal_deploy.live.frame import Frame, LiveResult
from baikal_deploy.live.past import Past
from baikal_deploy.live.priority import give_way
from baikal_deploy.live.settling import Settling
from baikal_deploy.live.statistics import Counts
from baikal_deploy.live.timed import TimedEngine
from baikal_deploy.pixels.arrays import Raw


class LiveModel:
    """A loaded model with its sampler, the time that a frame may take, and the mapping of every channel.

    Attributes:
        streams: the mappings of intensities, by channel and pixel type.
        past: what is known of the frames before, likewise, where frames are fused.
    """

    def __init__(
        self,
        model: str | Path,
        engine: str,
        sampler: str,
        options: Mapping[str, Any],
        *,
        latency_ms: float | None,
        seed: int,
        fuse: bool,
        counts: Counts,
        **loading: Any,
    ) -> None:
        """Load the model; the first frame is fast then. The arguments are those of ``LiveDenoiser``.

        Args:
            counts: is told of each frame that is done.
            loading: how else the model is loaded; see ``Denoiser.load``.
        """
        with ExitStack() as stack:
            self._pool = stack.enter_context(ThreadPoolExecutor(1, "baikal-measure", give_way))
            # Loaded there, as the engine's threads have the priority of the one that starts them.
            load = partial(Denoiser.load, model, engine, sampler=sampler, **loading)
            self._denoiser = stack.enter_context(self._pool.submit(load).result())
            self._sampler = make_sampler(sampler, options, self._denoiser.recommended(sampler))
            self._denoiser.check(self._sampler)
            if fuse and self._sampler.draws:
                raise ConfigError(
                    f"fuse: sampler {sampler} draws at random, so that its results differ even where all "
                    "stays the same; take auto or matched"
                )
            self._budget = Budget.of(self._sampler, latency_ms)
            stack.pop_all()
        self._made_with = made_with(self._denoiser)
        self._engine = TimedEngine(self._denoiser.predictor.engine)
        self._denoiser.predictor = replace(self._denoiser.predictor, engine=self._engine)
        self._seed, self._fuse, self._counts = seed, fuse, counts
        self.streams: dict[Hashable, Settling] = {}
        self.past: dict[Hashable, Past] = {}

    @property
    def settled(self) -> bool:
        """True if the mapping of every channel has settled, and there is one."""
        streams = list(self.streams.values())
        return bool(streams) and all(stream.settled for stream in streams)

    @property
    def predictor(self) -> TiledPredictor:
        """The tiled network."""
        return self._denoiser.predictor

    def provenance(self) -> dict[str, Any]:
        """A record of what denoises the frames, as JSON holds it."""
        return {
            **self._made_with,
            "sampler": type(self._sampler).__name__.lower(),
            "options": asdict(self._sampler),
            "seed": self._seed,
            "fuse": self._fuse,
        }

    def denoise(self, frame: Frame, waiting: int) -> LiveResult:
        """Denoise a frame.

        Args:
            frame: a real image (H, W).
            waiting: frames behind it.

        Raises:
            EngineError: the network failed.
        """
        started = time.perf_counter()
        engine_before = self._engine.seconds
        recipe = self._recipe(frame, started - frame.submitted, waiting)
        planes, frames = self._planes(recipe, frame)
        finished = time.perf_counter()
        self._budget.learn(recipe.nfe, finished - started)
        latency, computed = finished - frame.submitted, self._engine.seconds - engine_before
        self._counts.add_done(finished, latency, finished - started, computed, recipe.nfe)
        times = 1e3 * latency, 1e3 * computed
        given = frame.metadata, frame.channel
        return LiveResult(frame.number, planes[0], frame.pixels, *given, recipe.nfe, *times, frames)

    def _planes(self, recipe: Recipe, frame: Frame) -> tuple[Raw, float]:
        """The frame, denoised: (1, H, W) in its pixel type; and the frames that are averaged in it."""
        wanted, key = Wanted(frame.pixels.dtype, guard=False), (frame.channel, frame.pixels.dtype)
        if not self._fuse or recipe.measurement.gate is None:
            stack = Stack(frame.pixels[None], [frame.number])
            return self._denoiser.run(recipe, stack, wanted=wanted).planes, 1.0
        own = unfused(self._denoiser, recipe, frame.pixels[None])
        exposure = exposure_of(frame.metadata)
        past = self.past[key] = Past.of(self.past.get(key), own[0], recipe, exposure)
        fused, intensity = past.running.estimate.plane[None], recipe.measurement.intensity
        return in_raw_units(fused, frame.pixels[None], intensity, wanted).planes, past.frames

    def _recipe(self, frame: Frame, waited: float, waiting: int) -> Recipe:
        key = (frame.channel, frame.pixels.dtype)
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams.setdefault(
                key, Settling(self._denoiser, self._sampler, self._pool, self._fuse)
            )
        measurement = stream.measurement(frame.pixels)
        correlated = unknown_spectrum(self._sampler, measurement, self._denoiser.manifest) is not None
        sampler = self._budget.fitting(self._sampler, waited, waiting, correlated)
        return self._denoiser.recipe(sampler, measurement, self._seed)

    def close(self) -> None:
        """Free the model, when nothing is denoised any more."""
        self._pool.shutdown(cancel_futures=True)
        self._denoiser.close()
