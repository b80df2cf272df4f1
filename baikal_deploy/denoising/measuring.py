"""A channel's measurement, with the model's own estimates of what is without noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.seeing import Seeing
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.diffusion.samplers.matched import posterior_mean
from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_deploy.measurement.analysis import analyse, noise_curve
from baikal_deploy.measurement.channel import Measurement, measure
from baikal_deploy.measurement.doubts import doubts
from baikal_deploy.measurement.sample import unaligned
from baikal_deploy.measurement.structure.known import Finding, Known
from baikal_deploy.measurement.structure.recognised import Recognised
from baikal_deploy.models.record import shipped_that_know
from baikal_deploy.pixels.arrays import Plane, Raw


@dataclass(frozen=True)
class Measuring:
    """Measures channels for a model.

    Attributes:
        predictor: the model's network.
        schedule: the model's, not respaced.
        known: what the model knows.
    """

    predictor: TiledPredictor
    schedule: NoiseSchedule
    known: Known

    def measure(self, sample: Sequence[Raw], sampler: Sampler) -> Measurement:
        """Measure a channel; the work of ``Denoiser.measure``.

        Args:
            sample: planes or windows (H, W) of the channel, in raw units.
            sampler: decides whether noise that depends on the signal is measured.
        """
        sample = unaligned(sample)
        manifest = self.predictor.engine.manifest
        normalisation, kernel = manifest.normalisation, manifest.noise_correlation
        estimate = Seeing(self._estimate)
        found = measure(sample, normalisation, estimate, kernel)
        if sampler.noise != "uniform":
            found = analyse(sample, normalisation, found, estimate, kernel)
        level = found.sigma if found.noise is None else found.noise.level
        told = doubts(sample, found.intensity, level)
        return replace(found, doubts=told, structure=self._finding(estimate.recognised(found)))

    def _finding(self, seen: Recognised) -> Finding:
        """What was seen, and whether the model knows it."""
        finding = Finding.of(seen, self.known, self.predictor.engine.manifest.name)
        if finding.verdict != "unseen" or seen.structure is None:
            return finding
        return finding.with_others(shipped_that_know(seen.structure))

    def noise_curve(self, sample: Sequence[Raw], measurement: Measurement) -> NDArray[np.float64]:
        """Noise of a channel over its intensity; the work of ``Denoiser.noise_curve``.

        Args:
            sample: planes or windows (H, W) of the channel, in raw units.
            measurement: of the same channel.
        """
        return noise_curve(unaligned(sample), measurement, self._estimate)

    def _estimate(self, y: Plane, sigma: float) -> Plane:
        """The posterior mean at the noise level sigma."""
        engine, predictor = self.predictor.engine, replace(self.predictor, batch=1)
        level = self.schedule.noise_of_timestep(self.schedule.timestep_of_noise(sigma))
        x0 = posterior_mean(predictor.predict, engine.upload(y[None, None]), self.schedule, level)
        plane: Plane = engine.download(x0)[0, 0]
        return plane
