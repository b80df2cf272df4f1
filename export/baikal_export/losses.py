"""What each precision that this machine computes loses, for the record beside a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER
from baikal_deploy.engines import FASTEST, engine_class, open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineUnavailable
from baikal_deploy.host import machine
from baikal_deploy.models.losses import Loss, LossAtLevel
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.comparison import DATA_RANGE, denoised_at
from baikal_export.planes import CleanPlanes
from baikal_export.rounded import Rounded
from baikal_training.data.volumes import Plane

SAMPLER, OPTIONS = DEFAULT_SAMPLER, {"budget": "preview"}
"""What denoises: the sampler of runs by default, in one evaluation, so that errors are not averaged."""
SIGMAS = (0.1, 0.36, 1.0)
"""Noise levels on the network's scale: 26, 15 and 6 dB."""
PLANES = 4
"""Planes that are denoised at each level."""
_SEED, _DECIMALS = 3, 4


def losses(path: Path, manifest: ModelManifest, clean: CleanPlanes, reference: Engine) -> list[Loss]:
    """What each engine of this machine loses in each precision, with the sampler that runs take by default.

    Args:
        path: the .onnx file.
        manifest: the one in it.
        clean: planes on the network's scale; PLANES of them are used, and there must be one.
        reference: what computes the model in fp32.

    Raises:
        EngineError: an engine failed.
    """
    few = CleanPlanes(clean.planes[:PLANES], clean.source)
    wanted = {sigma: _denoised(reference, path, few, sigma) for sigma in SIGMAS}
    found = []
    for engine in _engines(path, manifest):
        with engine:
            levels = tuple(_level(engine, path, few, sigma, wanted[sigma]) for sigma in SIGMAS)
            found.append(_loss(engine, few, levels))
    return found


def _engines(path: Path, manifest: ModelManifest) -> Iterator[Engine]:
    """Engines that work here, in each precision that they compute the model in; bf16 in any case."""
    computed = set()
    for name in FASTEST:
        for precision in engine_class(name).COMPUTES.get(manifest.precision, ()):
            try:
                yield open_engine(name, path, manifest, EngineOptions(precision=precision))
                computed.add(precision)
            except EngineUnavailable:
                continue  # what is not here is not measured, and has no entry
    if manifest.precision == "fp32" and "bf16" not in computed:
        yield Rounded.open(path, manifest, EngineOptions())


def _loss(engine: Engine, clean: CleanPlanes, levels: tuple[LossAtLevel, ...]) -> Loss:
    return Loss(
        precision=engine.precision,
        engine=engine.name,
        engine_version=engine.version(),
        machine=f"{machine.cpu().model or machine.system()}{_features()}",
        sampler=f"{SAMPLER}, budget {OPTIONS['budget']}",
        planes=len(clean.planes),
        source=clean.source,
        levels=levels,
    )


def _features() -> str:
    """What of the processor makes low precisions fast, or where they are emulated."""
    features = machine.cpu().features
    if features is None:
        return ""
    there = [name for name, has in features.items() if has]
    return f" ({', '.join(there) or 'without AVX512 and AMX'})"


def _level(
    engine: Engine, path: Path, clean: CleanPlanes, sigma: float, wanted: Sequence[Plane]
) -> LossAtLevel:
    results = _denoised(engine, path, clean, sigma)
    before, after = (_psnr(planes, clean) for planes in (wanted, results))
    changes = [new - old for new, old in zip(after, before, strict=True)]
    worst = max(float(np.abs(a - b).max()) for a, b in zip(results, wanted, strict=True))
    return LossAtLevel(
        sigma,
        round(float(np.mean(before)), _DECIMALS),
        round(float(np.mean(changes)), _DECIMALS) + 0.0,  # no −0
        round(min(changes), _DECIMALS) + 0.0,
        float(f"{worst / DATA_RANGE:.2g}"),
    )


def _psnr(planes: Sequence[Plane], clean: CleanPlanes) -> list[float]:
    pairs = zip(clean.planes, planes, strict=True)
    return [float(peak_signal_noise_ratio(plane, one, data_range=DATA_RANGE)) for plane, one in pairs]


def _denoised(engine: Engine, path: Path, clean: CleanPlanes, sigma: float) -> list[Plane]:
    """The planes with noise of a level, denoised by the default sampler at that level."""
    return denoised_at(sigma, engine, path, clean, _SEED, SAMPLER, OPTIONS)
