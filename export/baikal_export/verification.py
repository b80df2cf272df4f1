"""The loss of a file against the network that it was made from: the record in its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np

from baikal_deploy.engines.base import Engine
from baikal_export import comparison
from baikal_export.comparison import (
    SIGMA,
    noisy_planes,
    quality,
    relative_error,
    sampler_of,
    untraced_shapes,
)
from baikal_export.planes import CleanPlanes, NoisyPlane

TORCH, FILE, ROUNDED = "torch", "file", "rounded"
"""Names of what computes: the network in torch in fp32, the file on its engine, and the network in torch
with the result of every operator rounded to 16 bits.
"""


@dataclass(frozen=True)
class Denoised:
    """Noisy planes, denoised with the model's own options; means over planes.

    Attributes:
        sampler, options: what denoised them (see ``comparison.sampler_of``).
        sigma: of the noise, on the network's scale.
        psnr_db, ssim: against the clean planes, by what computed (see ``TORCH``).
        psnr_change_db, ssim_change: against torch in fp32, of what lost most.
    """

    sampler: str
    options: Mapping[str, Any]
    sigma: float
    psnr_db: Mapping[str, float]
    ssim: Mapping[str, float]
    psnr_change_db: float
    ssim_change: float

    @classmethod
    def measure(cls, engines: Mapping[str, Engine], model_path: Path, clean: CleanPlanes) -> Self:
        """Denoise the planes on every engine, and compare the results.

        Args:
            engines: the first one is what the others are compared with.
            model_path: the file of the model.
            clean: planes to add noise to and to denoise.

        Raises:
            EngineError: an engine failed.
        """
        found = {
            name: quality(comparison.denoised(engine, model_path, clean), clean)
            for name, engine in engines.items()
        }
        (psnr, ssim), *others = found.values()
        manifest = next(iter(engines.values())).manifest
        sampler = sampler_of(manifest)
        return cls(
            sampler=sampler,
            options=manifest.recommended.get(sampler, {}),
            sigma=SIGMA,
            psnr_db={name: round(values[0], 4) for name, values in found.items()},
            ssim={name: round(values[1], 5) for name, values in found.items()},
            psnr_change_db=round(min(other[0] for other in others) - psnr, 4) + 0.0,  # no −0
            ssim_change=round(min(other[1] for other in others) - ssim, 5) + 0.0,
        )


@dataclass(frozen=True)
class Verification:
    """A comparison of a file with its network: what was compared, and how much it differs.

    Attributes:
        reference: what the file was compared with.
        engine, engine_version: what ran the file.
        planes, source: how many clean planes were used, and where they come from; without any, why.
        relative_error: ‖output − reference‖ / ‖reference‖ by what computed (see ``TORCH``) and by
            timestep, the largest of several noisy planes (without clean ones, of noise) and of eps
            and v.
        other_shapes: the largest such error for noise in shapes that the export did not trace.
        denoised: None without clean planes.
        details: what else there is to know of the precision, by name (see ``precision.convert``).
    """

    reference: str
    engine: str
    engine_version: str
    planes: int
    source: str
    relative_error: Mapping[str, Mapping[str, float]]
    other_shapes: float
    denoised: Denoised | None
    details: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The comparison for the manifest, JSON-compatible."""
        return asdict(self)

    @property
    def largest_error(self) -> float:
        """The largest of all relative errors; NaN if any is."""
        return _largest([self.other_shapes, *chain(*(own.values() for own in self.relative_error.values()))])

    @property
    def loss_db(self) -> float:
        """PSNR that the denoised planes lose, in dB; 0 if none were denoised."""
        return 0.0 if self.denoised is None else -self.denoised.psnr_change_db


def verify(
    engines: Mapping[str, Engine], model_path: Path, clean: CleanPlanes, details: Mapping[str, Any]
) -> Verification:
    """Compare engines with the one named TORCH, which comes first.

    Args:
        engines: by what they are (see ``TORCH``).
        model_path: the file that FILE runs.
        clean: planes to compare on; without any, noise alone is taken.
        details: what else there is to know of the precision.

    Raises:
        EngineError: an engine failed.
    """
    manifest, file = engines[FILE].manifest, engines[FILE]
    inputs = noisy_planes(clean, manifest)
    errors = _errors(engines, inputs)
    others = _largest(chain(*_errors(engines, untraced_shapes(manifest)).values()))
    # What is not finite is not sampled with: the sampler would only say so in other words.
    finite = bool(np.isfinite([others, *chain(*errors.values())]).all())
    return Verification(
        reference=f"{engines[TORCH].version()}, fp32",
        engine=file.name,
        engine_version=file.version(),
        planes=len(clean.planes),
        source=clean.source,
        relative_error={name: _by_timestep(inputs, own) for name, own in errors.items()},
        other_shapes=others,
        denoised=Denoised.measure(engines, model_path, clean) if clean.planes and finite else None,
        details=details,
    )


def _errors(engines: Mapping[str, Engine], inputs: Sequence[NoisyPlane]) -> dict[str, list[float]]:
    """Errors of every engine but TORCH, one for each input."""
    found: dict[str, list[float]] = {name: [] for name in engines if name != TORCH}
    for x_t, t in inputs:
        wanted = engines[TORCH].predict(x_t, t)
        for name, errors in found.items():
            errors.append(relative_error(engines[name].predict(x_t, t), wanted))
    return found


def _by_timestep(inputs: Sequence[NoisyPlane], errors: Sequence[float]) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for (_, t), error in zip(inputs, errors, strict=True):
        grouped.setdefault(f"{t:g}", []).append(error)
    return {t: _largest(own) for t, own in grouped.items()}


def _largest(errors: Iterable[float]) -> float:
    """The largest error, to three digits; NaN if any is, unlike max()."""
    return float(f"{np.max(list(errors)):.3g}")
