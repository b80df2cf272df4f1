"""The intensity mapping and noise of a stream: known roughly from the first frame on, and then held.

The first frame is denoised at once, on percentiles of its block means and the noise of its finest detail. A
thread of its own then measures it as a volume is measured, and does so again when FRAMES frames are there.
That is held, since a mapping that followed the frames would hide what bleaches or lights up.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.neighbours import measure_stream_gate
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.errors import EngineError
from baikal_deploy.measurement.channel import Measurement, measure_roughly
from baikal_deploy.measurement.intensity import is_constant
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.sample import telling_crop
from baikal_deploy.pixels.arrays import Raw

log = logging.getLogger(__name__)

FRAMES = 8
"""Number of frames that a stream settles on."""
SIDE = 512
"""Largest side, in pixels, of the crop of a frame that is measured."""
PROBED = 2
"""Number of frames that tell how much noise is left in results, where frames are fused."""


@dataclass
class Settling:
    """The measurement of one channel of a stream while it settles; one thread calls it.

    Attributes:
        fuse: whether it is measured besides how far results may differ.
        settled: whether what is known will be held.
    """

    denoiser: Denoiser
    sampler: Sampler
    pool: ThreadPoolExecutor
    fuse: bool = False
    settled: bool = False
    _known: Measurement | None = None
    _sample: list[Raw] = field(default_factory=list)
    _pending: Future[Measurement] | None = None
    _measured: int = 0

    def measurement(self, frame: Raw) -> Measurement:
        """The measurement of the stream so far, with this frame (H, W)."""
        if not self.settled:
            self._collect()
            if not is_constant(frame):  # a closed shutter tells nothing
                self._take(frame)
        if self._known is None or self._known.intensity.is_constant:
            self._known = self._rough(frame)
        return self._known

    def _collect(self) -> None:
        if self._pending is None or not self._pending.done():
            return
        pending, self._pending = self._pending, None
        try:
            self._known = pending.result()
        except EngineError as error:
            log.warning("the stream could not be measured; it is tried again: %s", error)
            self._measured = 0
            return
        self.settled = self._measured == FRAMES
        if self.settled:
            self._sample.clear()
            for note in self._known.notes():
                log.warning(note)

    def _take(self, frame: Raw) -> None:
        if len(self._sample) < FRAMES:
            # A copy, since a crop would keep the whole frame in memory.
            self._sample.append(telling_crop(frame, SIDE, len(self._sample)).copy())
        if self._pending is None and len(self._sample) in (1, FRAMES) and len(self._sample) > self._measured:
            self._measured = len(self._sample)
            self._pending = self.pool.submit(self._measure, list(self._sample))

    def _measure(self, sample: list[Raw]) -> Measurement:
        found = self.denoiser.measure(sample, self.sampler)
        if not self.fuse or found.intensity.is_constant:
            return found
        recipe = self.denoiser.recipe(self.sampler, found, seed=0)
        return replace(found, gate=measure_stream_gate(self.denoiser, recipe, sample[:PROBED]))

    def _rough(self, frame: Raw) -> Measurement:
        found = measure_roughly([frame], self.denoiser.manifest.normalisation)
        return replace(found, noise=NoiseModel.uniform(found.sigma))
