"""Engine files for a model that has just been exported: built now, so that nobody waits for them later."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.engines._tensorrt.build import Profile, build_engine
from baikal_deploy.engines._tensorrt.cache import CachedEngine, EngineKey, find_or_build
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import ModelManifest, read_manifest

TURING = 75
"""Compute capability of Turing: TensorRT for RTX cannot build matrix products in fp32 for it, so that it has
to be asked for.
"""


def parse_sm(text: str) -> tuple[int, ...]:
    """Compute capabilities as in ``86,89,120``, sorted.

    Raises:
        ConfigError: anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"\d{2,3}", part) for part in parts):
        raise ConfigError(f"--sm {text}: needed are compute capabilities without a point, such as 86,89,120")
    return tuple(sorted({int(part) for part in parts}))


def check(
    families: Sequence[compat.Family], sms: Sequence[int], profile: str | None, manifest: ModelManifest
) -> None:
    """Find out, before a model is exported, whether engine files can be built here.

    Raises:
        ConfigError: options that do not fit together or with the model, or no profile.
        EngineUnavailable: a family that is not installed, or that needs a GPU and finds none.
        EngineBuildError: a compute capability that cannot be built for.
    """
    if sms and not any(family.portable for family in families):
        raise ConfigError("--sm goes with --tensorrt-rtx; other engine files are for the GPU that is there")
    if profile is not None:
        if not families:
            raise ConfigError("--profile goes with --tensorrt or --tensorrt-rtx")
        Profile.parse(profile).check(manifest)
    for family in families:
        _targets(family, sms)


def build_for(
    path: Path, families: Sequence[compat.Family], sms: Sequence[int], profile: str | None
) -> Iterator[str]:
    """Build, or find in the cache, the engine files of a model.

    Args:
        path: the .onnx file.
        sms: compute capabilities to build for, of portable families; none: all that each family can
            build for but Turing's.
        profile: see ``Profile.parse``; None: what ``baikal-run`` asks for by default.

    Yields:
        A line for each family, when its file is there.

    Raises:
        ConfigError: options that do not fit the model, or no profile.
        EngineUnavailable: a family that is not installed, or that needs a GPU and finds none.
        EngineBuildError: a family that cannot build the model, or not for one of the GPUs.
        ModelError: not an ONNX file.
        EngineError: the cache cannot be used.
    """
    manifest = read_manifest(path)
    check(families, sms, profile, manifest)
    shapes = Profile.default(EngineOptions(), manifest) if profile is None else Profile.parse(profile)
    for family in families:
        started = time.perf_counter()
        targets, gpu = _targets(family, sms)
        cached = _cached(family, path, manifest, shapes, targets, gpu)
        yield _describe(family, cached, gpu, time.perf_counter() - started)


def _cached(
    family: compat.Family,
    path: Path,
    manifest: ModelManifest,
    profile: Profile,
    targets: tuple[int, ...],
    gpu: str,
) -> CachedEngine:
    key = EngineKey.of(family, path, manifest, profile, targets, gpu)
    return find_or_build(key, lambda: build_engine(family, path, manifest, profile, targets), exact=True)


def _targets(family: compat.Family, sms: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """The compute capabilities to build for, and the name of the GPU unless the family is portable."""
    module = compat.load(family)
    if not family.portable:
        _cuda.check(family.name, family.extra)
        gpu = _cuda.gpu()
        return (gpu.compute_capability,), gpu.name
    every = compat.target_names(module)
    compat.check_targets(family, module, sms)
    return tuple(sms) or tuple(one for one in every if one != TURING), ""


def _describe(family: compat.Family, cached: CachedEngine, gpu: str, seconds: float) -> str:
    targets = ", ".join(map(str, cached.key.compute_capabilities))
    return (
        f"{'built' if cached.built else 'found'} {family.name} engine file {cached.path} "
        f"({len(cached.data) / 1e6:.1f} MB, {seconds:.1f} s) for {gpu or 'GPUs'} of compute capability "
        f"{targets}, shapes {cached.key.profile}"
    )
