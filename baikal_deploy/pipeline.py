"""A whole run: plan, read, denoise, write."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from baikal_deploy import __version__
from baikal_deploy.config import RunConfig
from baikal_deploy.denoiser import Denoiser, no_std
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.intensity import Raw, sample_windows
from baikal_deploy.maps import PROBES, Maps
from baikal_deploy.noise import noise_generator
from baikal_deploy.outputs import check_outputs
from baikal_deploy.recipe import Recipe
from baikal_deploy.samplers import make_sampler, sampler_class
from baikal_deploy.tally import Tally
from baikal_deploy.volumes.base import Volume, WorkItem
from baikal_deploy.volumes.inputs import open_input

Progress = Callable[[int, int], None]
"""(network evaluations of planes done, all of them) -> None."""


@dataclass(frozen=True)
class RunReport:
    """What a finished run did.

    Attributes:
        output: the written image.
        seconds: wall time of denoising and writing, without planning.
        tally: what to know about the pixels.
    """

    output: Path
    seconds: float
    tally: Tally


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
            self.recipes = [self._recipe(channel) for channel in range(self.volume.info.num_channels)]
            stack.pop_all()

    def _check_paths(self) -> None:
        guide, shape = self.guide, self.volume.info.shape
        check_outputs(self.config, [self.config.input, *([] if guide is None else [guide.info.path])])
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
        if config.uncertainty is not None and self.sampler.DRAWS:
            raise ConfigError(f"--uncertainty {config.uncertainty}: {no_std(config.sampler)}")

    def _recipe(self, channel: int) -> Recipe:
        sample = sample_channel(self.volume, channel)
        measurement = self.denoiser.measure(sample, self.sampler)
        return self.denoiser.recipe(self.sampler, measurement, self.config.seed)

    @property
    def evaluations(self) -> int:
        """Network evaluations of planes, all together."""
        info = self.volume.info
        planes = info.num_planes // info.num_channels
        probes = 0 if self.config.uncertainty is None else PROBES
        return sum(planes * recipe.nfe * (1 + probes) for recipe in self.recipes)

    @property
    def windows_per_plane(self) -> int:
        return len(self.denoiser.predictor.plan(self.volume.info.plane_shape).windows)

    @property
    def output_bytes(self) -> int:
        """Size of the output before compression, with its pyramid."""
        info = self.volume.info
        return math.prod(info.shape) * info.dtype.itemsize * 4 // 3

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
        """Denoise and write.

        Raises:
            VolumeError, EngineError: reading, writing or the network failed; what was finished before
                stays valid.
        """
        from baikal_deploy.outputs import Outputs

        started, done = time.perf_counter(), 0

        def advance(planes: int) -> None:
            nonlocal done
            done += planes
            if progress is not None:
                progress(done, self.evaluations)

        tally = Tally()
        outputs = Outputs.create(self.config, self.volume.info)
        for item in outputs.result.items:
            planes = self.volume.read(item.planes)
            maps = outputs.maps(planes)
            denoised, counts = self._denoise_item(item, planes, maps, advance)
            outputs.write(item, denoised, maps)
            tally += counts
        outputs.finish(self.provenance(tally))
        return RunReport(self.config.target, time.perf_counter() - started, tally)

    def _denoise_item(
        self, item: WorkItem, planes: Raw, maps: Maps, advance: Callable[[int], None]
    ) -> tuple[Raw, Tally]:
        recipe = self.recipes[self.volume.info.channel(item.planes.start)]
        guides = None if self.guide is None else self.guide.read(item.planes)
        return self.denoiser.run(recipe, planes, item.planes, guides, advance, maps)

    def save_preview(self, path: Path) -> None:
        """Write a PNG of the volume's middle plane before and after; the output must be complete."""
        from baikal_deploy.preview import save_preview
        from baikal_deploy.volumes.zarr import open_volume

        plane = [self.volume.info.num_planes // 2]
        save_preview(path, self.volume.read(plane)[0], open_volume(self.config.target).read(plane)[0])

    def provenance(self, tally: Tally) -> dict[str, Any]:
        """What made the output: enough to make it again."""
        config, info, engine = self.config, self.volume.info, self.denoiser.predictor.engine
        return {
            "software": "baikal-deploy",
            "version": __version__,
            "input": str(config.input.absolute()),
            "series": config.series,
            "guide": None if config.guide is None else str(config.guide.absolute()),
            "model": {"name": self.denoiser.manifest.name, "sha256": self.denoiser.model_sha256},
            "engine": {
                "name": engine.name,
                "version": engine.version(),
                "device": engine.device,
                "precision": engine.precision,
            },
            "tiling": {"tile": config.tile, "overlap": config.overlap, "batch": config.batch},
            "sampler": config.sampler,
            "seed": config.seed,
            "noise": noise_generator(engine.upload(np.zeros((1, 1, 1, 1), dtype=np.float32))),
            "channels": [
                {"name": info.channel_name(channel), "nfe": recipe.nfe}
                | {"options": asdict(recipe.sampler), "measurement": asdict(recipe.measurement)}
                for channel, recipe in enumerate(self.recipes)
            ],
            "notes": tally.notes(),
        }

    def close(self) -> None:
        self.denoiser.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
