"""All that decides how a channel's planes are denoised, and the steps before and after the sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.shown import Shown
from baikal_deploy.denoising.stack import Wanted
from baikal_deploy.diffusion.samplers.base import Resolved, Sampler
from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.measurement.surroundings import base
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Plane, Planes, Raw
from baikal_deploy.pixels.cells import strips
from baikal_deploy.pixels.counts import NOTHING, Tally
from baikal_deploy.pixels.dtypes import converted


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a channel's planes are denoised.

    Attributes:
        sampler: ready for the noise that was measured.
        schedule: the respaced schedule that it walks along.
        measurement: intensity map and noise of the channel.
        seed: of the noise.
    """

    sampler: Resolved
    schedule: NoiseSchedule
    measurement: Measurement
    seed: int

    @classmethod
    def of(
        cls,
        sampler: Sampler,
        measurement: Measurement,
        manifest: ModelManifest,
        schedule: NoiseSchedule,
        seed: int,
    ) -> Self:
        """Settle everything that is automatic, for planes with a measurement.

        Args:
            sampler: as asked for.
            measurement: of the planes' channel.
            manifest: of the model.
            schedule: the model's, not respaced.
            seed: of the noise, 0 … 2⁶⁴−1.

        Raises:
            ConfigError: a sampler whose start, stop or steps do not fit the model.
        """
        t_star = 1.0
        if not measurement.intensity.is_constant:
            t_star = schedule.timestep_of_noise(measurement.sigma_for(sampler.noise))
        unknown = unknown_spectrum(sampler, measurement, manifest)
        resolved = sampler.resolved(t_star, len(schedule), manifest.variance, unknown)
        return cls(resolved, resolved.respace(schedule), measurement, seed)

    @property
    def nfe(self) -> int:
        """Network evaluations per plane; none where there is nothing to denoise."""
        return 0 if self.measurement.intensity.is_constant else self.sampler.nfe(self.schedule)

    @property
    def level(self) -> float:
        """The noise level of prepared planes, on the network's scale; at least the model's least."""
        sigma = self.measurement.sigma_for(self.sampler.noise)
        return max(sigma, float(self.schedule.noise_levels[0]))

    @property
    def spectrum(self) -> Spectrum:
        """Spectrum of the noise of prepared planes, on the network's scale."""
        found = self.measurement.spectrum if self.sampler.noise == "signal" else None
        return Spectrum.white(self.level) if found is None else found

    def variance(self, plane: Plane) -> Plane:
        """Variance of the noise that is removed, on the network's scale.

        Args:
            plane: (H, W) on that scale, finite; its surroundings tell the noise.
        """
        noise, intensity = self.measurement.noise, self.measurement.intensity
        total = self.spectrum.std
        if noise is None or noise.gain == 0 or self.sampler.noise == "uniform":
            return np.full_like(plane, total**2)
        even = noise.even_level(intensity.low, intensity.high)
        spread = noise.std(intensity.raw(base(plane))).astype(np.float32) * np.float32(total / even)
        variance: Plane = np.square(spread)
        return variance

    def prepare(self, planes: Raw) -> tuple[Planes, Equaliser | None]:
        """Make planes ready for the sampler.

        Args:
            planes: (N, H, W) in raw units, finite, as they are shown (see ``Shown``).

        Returns:
            Planes as the sampler takes them, (N, 1, H, W), and what ``finish`` needs.
        """
        noise, intensity = self.measurement.noise, self.measurement.intensity
        if noise is None or noise.gain == 0 or self.sampler.noise == "uniform":
            return intensity.normalise(planes)[:, None], None
        even, equaliser = Equaliser.equalised(planes, noise, intensity)
        return even[:, None], equaliser

    def finish(
        self, x0: Planes, equaliser: Equaliser | None, planes: Raw, shown: Shown, crop: Crop, wanted: Wanted
    ) -> tuple[Raw, Tally]:
        """Turn what the sampler returned into raw units.

        Args:
            x0: (N, 1, H, W).
            equaliser: from ``prepare``.
            planes: that it was made of, (N, H, W) in raw units.
            shown: what was shown of them; the rest is put back.
            crop: which part of larger planes they are, and what of it is wanted.
            wanted: of the result, whose pixels are those of the planes where these say nothing.

        Returns:
            The wanted part of the planes, (N, height, width), and what to know about its pixels.

        Raises:
            FloatingPointError: x0 has values that are not finite.
        """
        if wanted.unfused:
            found = x0[:, 0] if equaliser is None else equaliser.back(x0[:, 0], slice(0, x0.shape[-2]))
            if not np.isfinite(found).all():
                raise FloatingPointError("the result holds NaN or infinite values")
            return self._unfused(found, shown, crop, wanted), shown.counts(planes, crop)
        kept = shown.kept(defects=wanted.defects == "keep")
        tally, intensity = shown.counts(planes, crop), self.measurement.intensity
        span, columns = crop.within
        result = np.empty((len(planes), *crop.wanted_shape), wanted.dtype)
        for rows in strips(planes.shape, span):
            x = x0[:, 0, rows] if equaliser is None else equaliser.back(x0[:, 0, rows], rows)
            raw = intensity.raw(x[..., columns], wanted.dtype)
            if shown.beyond is not None:
                raw += shown.beyond[:, rows, columns]
            if kept is not None:
                raw = np.where(kept[:, rows, columns], planes[:, rows, columns], raw)
            own = result[:, rows.start - span.start : rows.stop - span.start]
            own[...], changed = converted(raw, wanted.dtype)
            if changed is not NOTHING:
                tally += changed
            if (changed is not NOTHING or kept is not None) and not np.isfinite(x).all():
                raise FloatingPointError("the result holds NaN or infinite values")
        return result, tally

    def _unfused(self, x0: Planes, shown: Shown, crop: Crop, wanted: Wanted) -> Planes:
        """The wanted part of what the sampler returned, (N, H, W), with NaN where pixels are kept."""
        kept = shown.kept(defects=wanted.defects == "keep")
        found = crop.trimmed(x0).copy()
        if shown.beyond is not None:
            found += crop.trimmed(shown.beyond / self.measurement.intensity.half).astype(np.float32)
        if kept is not None:
            found[crop.trimmed(kept)] = np.nan
        return found


def unknown_spectrum(sampler: Sampler, measurement: Measurement, manifest: ModelManifest) -> Spectrum | None:
    """Spectrum of noise that a model does not know; None where it is white, or known.

    Args:
        sampler: as asked for.
        measurement: of the planes' channel.
        manifest: of the model.
    """
    known = manifest.noise_correlation is not None
    return None if known or sampler.noise == "uniform" else measurement.spectrum
