"""Planes in, planes out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from baikal_deploy.denoising.batch import Batch, Progress, in_batches
from baikal_deploy.denoising.checks import check_beside, check_sampler, stack_of
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.measuring import Measuring
from baikal_deploy.denoising.precision import AUTO_PRECISION, SAFE, AskedPrecision, take
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.stack import Defects, Denoised, Stack, Wanted
from baikal_deploy.denoising.steps import Memory
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.denoising.trust import Maps
from baikal_deploy.denoising.windows import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER, make_sampler, sampler_class
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.engines import AUTO, open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.structure.known import Known
from baikal_deploy.models.manifest import DEFAULT_MODEL, ModelManifest, find_model, read_manifest, remark_on
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.models.record import ModelRecord
from baikal_deploy.pixels.arrays import Raw

NO_MAPS = Maps()
NOTHING = Known()

log = logging.getLogger(__name__)


class Denoiser:
    """A model on an engine, ready to denoise. Close it, or use it as a context manager.

    Attributes:
        manifest: of the model.
        model_path: the model's file.
        model_sha256: the hash of it.
        known: what the model knows, as the record beside its file says.
        predictor: the tiled network.
        passed_over: why engine "auto" did not take a faster engine, by name.
        why_precision: why precision "auto" took what it did, in words; empty where it was named.
    """

    def __init__(
        self,
        engine: Engine,
        model_path: Path,
        tile: int,
        overlap: int,
        batch: int,
        passed_over: Mapping[str, str],
        known: Known = NOTHING,
    ) -> None:
        self.manifest: ModelManifest = engine.manifest
        self.model_path = model_path
        self.model_sha256 = file_sha256(model_path)
        self.known = known
        self.predictor = TiledPredictor(engine, tile, overlap, batch)
        self.passed_over, self.why_precision = passed_over, ""
        self._load_fp32: Callable[[], Denoiser] | None = None
        self._fp32: Denoiser | None = None
        self._schedule = self.manifest.schedule.build()
        self._closed = False

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        engine: str = AUTO,
        *,
        precision: AskedPrecision = AUTO_PRECISION,
        threads: int | None = None,
        tile: int = DEFAULT_TILE,
        overlap: int = DEFAULT_OVERLAP,
        batch: int = 1,
        sampler: str = DEFAULT_SAMPLER,
    ) -> Self:
        """Load a shipped model by name, or an .onnx file of baikal-export.

        Args:
            engine: name of the back end, which is never replaced by another; "auto" takes the fastest that
                works here (see ``engines.fastest_engine``).
            precision: what the network computes in; "auto" takes the fastest that works here and loses at
                most 0.02 dB for this model, as the record beside its file says, and fp32 for samplers of many
                evaluations, of which it says nothing (``denoise`` keeps to that with any of them).
            threads: CPU threads of an evaluation; None: all cores.
            tile, overlap: windows of the network, in pixels; see ``windows.TilePlan``.
            batch: windows in one engine call, and so planes walked together where they have fewer.
            sampler: that it is loaded for, as far as precision "auto" goes.

        Raises:
            ModelError: there is no such model, or its file cannot be used.
            EngineUnavailable: the engine is not installed, or cannot run here.
            ConfigError: an unknown engine, one that cannot compute the model in this precision, or windows or
                a batch that cannot be had.
        """
        path = find_model(model)
        if (remark := remark_on(model)) is not None:
            log.warning(remark)
        manifest, record = read_manifest(path), ModelRecord.beside(path, file_sha256(path))
        taken = take(manifest, record, engine, precision, few=sampler_class(sampler).FEW_EVALUATIONS)
        options = EngineOptions(threads, taken.precision, batch, tile)
        opened = open_engine(taken.engine, path, manifest, options)
        made = cls(opened, path, tile, overlap, batch, taken.passed_over, record.known)
        made.why_precision = taken.reason
        if precision == AUTO_PRECISION and taken.precision != SAFE:
            same: dict[str, Any] = {"threads": threads, "tile": tile, "overlap": overlap, "batch": batch}
            made._load_fp32 = partial(cls.load, path, engine, precision=SAFE, **same)
        return made

    def denoise(
        self,
        planes: Raw,
        sampler: str = DEFAULT_SAMPLER,
        *,
        seed: int = 0,
        guide: Raw | None = None,
        progress: Progress | None = None,
        maps: Maps = NO_MAPS,
        dtype: DTypeLike | None = None,
        defects: Defects = "replace",
        share_noise: bool = True,
        **options: Any,
    ) -> Raw:
        """Denoise the planes of one channel.

        Args:
            planes: (H, W) or (N, H, W), any real dtype, in raw units.
            sampler: name of the sampler.
            seed: the same seed gives the same result.
            guide: another denoiser's output for the same planes, to guide the sampler.
            progress: see ``Progress``.
            maps: filled in beside the result: its standard deviation, and where it contradicts the data;
                make them with ``Maps.of((N, H, W), …)``.
            dtype: of the result, which keeps the units of the planes; None: theirs.
            defects: whether hot and dead pixels are replaced by what is around them, or keep their values.
            share_noise: whether samplers that draw take the same random numbers for all planes, as for the
                planes of a stack, which flicker less so.
            options: of the sampler, such as ``start=200``; the rest is what the model recommends.

        Returns:
            Denoised planes, same shape; integers are rounded and clamped. What is worth
            knowing about them (copied planes, NaN pixels) goes to the log.

        Raises:
            ConfigError: input or options that make no sense.
            EngineError: the denoiser is closed, or the network failed.
        """
        self.check_open()
        stack = stack_of(planes, guide, share_noise=share_noise)
        chosen = make_sampler(sampler, options, self.recommended(sampler))
        self.check(chosen)
        check_beside(chosen, sampler, stack, maps)
        own = self._for(chosen)
        measurement = own.measure(stack.sample(), chosen)
        wanted = replace(maps.wanted(stack.pixels.dtype if dtype is None else dtype), defects=defects)
        recipe, crop = own.recipe(chosen, measurement, seed), Crop.uncut(stack.pixels.shape[1:])
        predictor = own.predictor.fitted(len(stack.pixels), len(own.predictor.plan(crop.shape).windows))
        denoised = in_batches(Batch(predictor, recipe, stack, crop, wanted, progress))
        maps.fill(denoised)
        for note in measurement.notes() + denoised.counts.notes():
            log.warning(note)
        return denoised.planes.reshape(np.shape(planes))

    def _for(self, sampler: Sampler) -> Denoiser:
        """This denoiser, or one in fp32 for samplers that the choice of "auto" is not for."""
        if sampler.FEW_EVALUATIONS or self._load_fp32 is None:
            return self
        if self._fp32 is None:
            self._fp32 = self._load_fp32()
        return self._fp32

    def recommended(self, sampler: str) -> Mapping[str, Any]:
        """The model's own options for a sampler.

        Args:
            sampler: its name.

        Returns:
            Values by option; none where the model recommends nothing.
        """
        return self.manifest.recommended.get(sampler, {})

    def measure(self, sample: Sequence[Raw], sampler: Sampler) -> Measurement:
        """Intensity map and noise of a channel, as much as the sampler needs.

        Args:
            sample: (H, W) windows in raw units.
        """
        self.check_open()
        return Measuring(self.predictor, self._schedule, self.known).measure(sample, sampler)

    def noise_curve(self, sample: Sequence[Raw], measurement: Measurement) -> NDArray[np.float64]:
        """Mean intensity, variance and number of details in the bins that the noise model was fitted to.

        Args:
            sample, measurement: see ``measure``.

        Returns:
            (bins, 3), in raw units; no bins where there is no noise.
        """
        self.check_open()
        return Measuring(self.predictor, self._schedule, self.known).noise_curve(sample, measurement)

    def check(self, sampler: Sampler) -> None:
        """Raise ConfigError now for options that no noise level could make fit this model.

        Args:
            sampler: as asked for.
        """
        check_sampler(sampler, self.manifest, len(self._schedule))

    def recipe(self, sampler: Sampler, measurement: Measurement, seed: int) -> Recipe:
        """Settle everything that is automatic, for planes with a measurement.

        Args:
            sampler: as asked for.
            measurement: of the planes' channel.
            seed: of the noise, 0 … 2⁶⁴−1.

        Raises:
            ConfigError: a sampler whose start, stop or steps do not fit the model.
        """
        return Recipe.of(sampler, measurement, self.manifest, self._schedule, seed)

    def run(
        self,
        recipe: Recipe,
        stack: Stack,
        crop: Crop | None = None,
        wanted: Wanted | None = None,
        *,
        progress: Progress | None = None,
        memory: Memory | None = None,
    ) -> Denoised:
        """Denoise planes with a recipe.

        Args:
            recipe: of the planes' channel.
            stack: the planes.
            crop: which part of planes they are, and what of it is wanted; None: they are whole.
            wanted: what is to be made of them; None: planes of their own pixel type.
            progress: see ``Progress``.
            memory: where the steps of a batch are kept that take long; for no more planes than a batch has.

        Returns:
            What is wanted of the planes: (N, height, width).

        Raises:
            EngineError: the denoiser is closed, or the network failed or returned values that are not finite.
        """
        self.check_open()
        crop = crop or Crop.uncut(stack.pixels.shape[1:])
        wanted = wanted or Wanted(stack.pixels.dtype)
        return in_batches(Batch(self.predictor, recipe, stack, crop, wanted, progress, memory))

    def close(self) -> None:
        """Free the engine; the denoiser cannot be used afterwards."""
        self._closed = True
        self.predictor.engine.close()
        if self._fp32 is not None:
            self._fp32.close()

    def check_open(self) -> None:
        """Raise EngineError after ``close``."""
        if self._closed:
            raise EngineError(f"model {self.manifest.name}: used after close; load it again")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
