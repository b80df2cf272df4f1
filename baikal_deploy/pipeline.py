"""A whole run: plan, read, denoise, write."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from baikal_deploy.config import RunConfig
from baikal_deploy.denoiser import Denoiser, check_std
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.intensity import Raw, sample_windows
from baikal_deploy.maps import PROBES, Maps
from baikal_deploy.measurement import Measurement
from baikal_deploy.outputs import check_formats, check_places
from baikal_deploy.overlap import Check, overlapped
from baikal_deploy.provenance import fingerprint, provenance
from baikal_deploy.recipe import Recipe
from baikal_deploy.samplers import make_sampler, sampler_class
from baikal_deploy.session import check_session, open_session, unfinished
from baikal_deploy.tally import Tally
from baikal_deploy.volumes.base import Volume, WorkItem
from baikal_deploy.volumes.inputs import files_of, is_tiff, open_input
from baikal_deploy.volumes.layout import plan_items, planes_per_shard

Progress = Callable[[int, int], None]
"""(network evaluations of planes done, all of them) -> None."""
Found = tuple[Raw, Raw | None]
"""What is read for an item: its planes, and its guides."""
Result = tuple[Raw, Tally, Maps]


@dataclass(frozen=True)
class RunReport:
    """What a finished run did.

    Attributes:
        output: the written image.
        seconds: wall time of denoising and writing, without planning.
        evaluations: network evaluations of planes in that time; those of an earlier run do not count.
        tally: what to know about the pixels.
    """

    output: Path
    seconds: float
    evaluations: int
    tally: Tally

    @property
    def per_second(self) -> float:
        """Network evaluations of planes per second."""
        return self.evaluations / self.seconds


def sample_channel(volume: Volume, channel: int) -> list[Raw]:
    """A bounded sample of a channel: (H, W) windows.

    Raises:
        VolumeError: pixels that cannot be read.
    """
    info = volume.info
    planes = [plane for plane in range(info.num_planes) if info.channel(plane) == channel]
    windows = sample_windows(len(planes), info.plane_shape)
    return [volume.read_window(planes[i], y, x) for i, y, x in windows]


class Run:
    """A run that has been planned: everything is checked and measured, nothing is written.

    Close it, or use it as a context manager.

    Attributes:
        config: what was asked for.
        volume, guide: the opened input and guide.
        denoiser: the loaded model.
        sampler: as asked for; each recipe holds it with nothing left automatic.
        recipes: one per channel.
        fingerprint: of everything that decides what is written.
        earlier: the journal of the unfinished run that this one goes on with; None if there is none.
    """

    def __init__(self, config: RunConfig) -> None:
        """Plan a run.

        Raises:
            ConfigError, VolumeError, ModelError, EngineError: the run cannot be done as asked.
        """
        self.config = config
        with ExitStack() as stack:
            sampler_class(config.sampler)
            self.volume = open_input(config.input, config.series)
            self.guide = None if config.guide is None else open_input(config.guide)
            self._check_paths()
            earlier = unfinished(config)
            if earlier is None:
                check_session(config, None, {})  # before anything that takes long
            self.denoiser = stack.enter_context(
                Denoiser.load(
                    config.model,
                    config.engine,
                    precision=config.precision,
                    tile=config.tile,
                    overlap=config.overlap,
                    batch=config.batch,
                )
            )
            recommended = self.denoiser.recommended(config.sampler)
            self.sampler = make_sampler(config.sampler, config.options, recommended)
            self._check_sampler()
            self.fingerprint = fingerprint(config, self.volume, self.guide, self.denoiser, self.sampler)
            self.earlier = earlier if check_session(config, earlier, self.fingerprint) else None
            self.recipes = [self._recipe(channel) for channel in range(self.volume.info.num_channels)]
            stack.pop_all()

    def _check_paths(self) -> None:
        guide, shape = self.guide, self.volume.info.shape
        sources = [self.config.input, *files_of(self.volume)]
        if guide is not None:
            sources += [guide.info.path, *files_of(guide)]
        check_places(self.config, sources)
        check_formats(self.config, self.volume.info)
        if guide is not None and guide.info.shape != shape:
            raise VolumeError(
                f"{self.config.guide}: a guide of shape {guide.info.shape}; it must have the input's, {shape}"
            )

    def _check_sampler(self) -> None:
        config = self.config
        self.denoiser.check(self.sampler)
        if self.guide is not None and not self.sampler.TAKES_GUIDE:
            raise ConfigError(
                f"--guide {config.guide}: sampler {config.sampler} takes none; add --sampler "
                "forward-backward, mixing or repaint"
            )
        if config.uncertainty is not None:
            check_std(self.sampler, f"--uncertainty {config.uncertainty}")

    def _recipe(self, channel: int) -> Recipe:
        if self.earlier is not None:
            measurement = Measurement.from_record(self.earlier.header["measurements"][channel])
        else:
            measurement = self.denoiser.measure(sample_channel(self.volume, channel), self.sampler)
        return self.denoiser.recipe(self.sampler, measurement, self.config.seed)

    @property
    def evaluations(self) -> int:
        """Network evaluations of planes, all together."""
        info = self.volume.info
        planes = info.num_planes // info.num_channels
        return sum(planes * self._evaluations_per_plane(channel) for channel in range(info.num_channels))

    @property
    def evaluations_done(self) -> int:
        """Those of them that an unfinished run, which this one goes on with, has done."""
        info = self.volume.info
        items = plan_items(info, planes_per_shard(info))
        done = [] if self.earlier is None else self.earlier.done
        return sum(self._evaluations_of(items[index]) for index in done)

    def _evaluations_per_plane(self, channel: int) -> int:
        probes = 0 if self.config.uncertainty is None or self.sampler.draws else PROBES
        return self.recipes[channel].nfe * (1 + probes)

    def _evaluations_of(self, item: WorkItem) -> int:
        return len(item.planes) * self._evaluations_per_plane(self.volume.info.channel(item.planes.start))

    @property
    def windows_per_plane(self) -> int:
        return len(self.denoiser.predictor.plan(self.volume.info.plane_shape).windows)

    @property
    def output_bytes(self) -> int:
        """Size of the output before compression; that of an OME-Zarr with its pyramid."""
        info = self.volume.info
        size = math.prod(info.shape) * info.dtype.itemsize
        return size if is_tiff(self.config.target) else size * 4 // 3

    def estimate_seconds(self) -> float:
        """Expected time of the network evaluations, from two timed calls with one window."""
        plan = self.denoiser.predictor.plan(self.volume.info.plane_shape)
        engine = self.denoiser.predictor.engine
        shape = self.config.batch, 1, plan.y.window, plan.x.window
        window = engine.upload(np.zeros(shape, dtype=np.float32))
        engine.download(engine.predict(window, 0)[0])  # the first call of a shape is slower
        started = time.perf_counter()
        engine.download(engine.predict(window, 0)[0])  # a device may still be computing until then
        seconds = (time.perf_counter() - started) / self.config.batch
        return seconds * len(plan.windows) * self.evaluations

    def execute(self, progress: Progress | None = None) -> RunReport:
        """Denoise and write; what an unfinished run of the same kind has left is not done again.

        Raises:
            VolumeError, EngineError: reading, writing or the network failed, or another run writes these
                outputs; the same run again goes on from what was finished before, or starts anew if a
                TIFF is among them.
        """
        started = time.perf_counter()
        measurements = [recipe.measurement.record() for recipe in self.recipes]
        header = {"fingerprint": self.fingerprint, "measurements": measurements}
        with open_session(self.config, self.volume.info, header) as session:
            done = sum(self._evaluations_of(item) for item in session.done)
            computed = 0

            def advance(planes: int) -> None:
                nonlocal done
                done += planes
                if progress is not None:
                    progress(done, self.evaluations)

            def denoise(item: WorkItem, found: Found, check: Check) -> Result:
                maps, end = session.outputs.maps(found[0]), done + self._evaluations_of(item)

                def advance_and_check(planes: int) -> None:
                    nonlocal computed
                    check()
                    computed += planes
                    advance(planes)

                denoised, tally = self._denoise(item, found, maps, advance_and_check)
                if done < end:  # planes that were copied
                    advance(end - done)
                return denoised, tally, maps

            def write(item: WorkItem, result: Result) -> None:
                denoised, tally, maps = result
                session.write(item, denoised, maps, tally)

            advance(0)
            overlapped(session.left, self._read, denoise, write)
            tally = session.tally
            session.finish(self.provenance(tally))
        return RunReport(self.config.target, time.perf_counter() - started, computed, tally)

    def _read(self, item: WorkItem) -> Found:
        return self.volume.read(item.planes), None if self.guide is None else self.guide.read(item.planes)

    def _denoise(
        self, item: WorkItem, found: Found, maps: Maps, advance: Callable[[int], None]
    ) -> tuple[Raw, Tally]:
        recipe = self.recipes[self.volume.info.channel(item.planes.start)]
        planes, guides = found
        return self.denoiser.run(recipe, planes, item.planes, guides, advance, maps)

    def provenance(self, tally: Tally) -> dict[str, Any]:
        """What made the output; see ``provenance.provenance``."""
        return provenance(self.config, self.volume.info, self.denoiser, self.recipes, tally)

    def close(self) -> None:
        self.denoiser.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
