"""How an output was made: what is recorded in it, and what must not change while it is being made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from baikal_deploy import __version__
from baikal_deploy.config import RunConfig
from baikal_deploy.denoiser import Denoiser
from baikal_deploy.noise import noise_generator
from baikal_deploy.recipes import Group, Recipes
from baikal_deploy.tally import Tally
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.urls import stamp

MOST_CHANGES = 5
"""That are listed in a message."""


def provenance(
    config: RunConfig, recipes: Recipes, fingerprint: str, tally: Tally, notes: Sequence[str]
) -> dict[str, Any]:
    """What made the output: enough to make it again, and to know it again. It holds no times: the same run
    records the same.

    Args:
        fingerprint: see ``digest``.
    """
    engine = recipes.denoiser.predictor.engine
    return {
        **run_of(config, recipes),
        "noise": noise_generator(engine.upload(np.zeros((1, 1, 1, 1), dtype=np.float32))),
        "channels": recipes.records(),
        "fingerprint": fingerprint,
        "counts": asdict(tally),
        "kept_raw": sorted(set(tally.kept_raw)),
        "zeroed": sorted(set(tally.zeroed)),
        "notes": list(notes),
    }


def digest(fingerprint: Mapping[str, Any]) -> str:
    """What a finished output keeps of the fingerprint of its run: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


def measurements_of(provenance: Mapping[str, Any]) -> dict[Group, Mapping[str, Any]]:
    """What was measured for an output of this version, as ``Recipes.add`` takes it."""
    return {
        (found.get("t"), channel): found["measurement"]
        for channel, record in enumerate(provenance["channels"])
        for found in record.get("time points", [record])
        if "measurement" in found
    }


def made_with(denoiser: Denoiser) -> dict[str, Any]:
    """What software, model and engine denoise."""
    engine = denoiser.predictor.engine
    return {
        "software": "baikal-deploy",
        "version": __version__,
        "model": {"name": denoiser.manifest.name, "sha256": denoiser.model_sha256},
        "engine": {
            "name": engine.name,
            "version": engine.version(),
            "device": engine.device,
            "precision": engine.precision,
        },
    }


def run_of(config: RunConfig, recipes: Recipes) -> dict[str, Any]:
    """What a run is: model, engine, input and options, as JSON holds it."""
    return {
        **made_with(recipes.denoiser),
        "input": str(config.input.absolute()),
        "series": config.series,
        "selection": recipes.volume.record(),
        "pixels": {
            "input": str(recipes.volume.info.dtype),
            "output": config.dtype or str(recipes.volume.info.dtype),
            "mapping": "identity: the units of the input, rounded and clamped for integers",
        },
        "guide": None if config.guide is None else str(config.guide.absolute()),
        "tiling": {"tile": config.tile, "overlap": config.overlap, "batch": config.batch},
        "sampler": config.sampler,
        "normalise": config.normalise,
        "seed": config.seed,
        "shared noise": config.share_noise,
    }


def fingerprint(config: RunConfig, guide: Volume | None, recipes: Recipes) -> dict[str, Any]:
    """Everything that decides what a run writes, as JSON gives it back: two runs may share their work only
    if this is the same.

    Args:
        guide: as it was opened.
        recipes: with or without measurements.
    """
    found = run_of(config, recipes) | {
        "options": asdict(recipes.sampler),
        "denoised channels": list(recipes.channels),
        "contents of the input": _contents(recipes.volume),
        "contents of the guide": None if guide is None else _contents(guide),
        "uncertainty": None if config.uncertainty is None else str(config.uncertainty.absolute()),
        "mask": None if config.mask is None else str(config.mask.absolute()),
    }
    same: dict[str, Any] = json.loads(json.dumps(found))
    return same


def _contents(volume: Volume) -> dict[str, Any]:
    """What a volume says of itself, and when its metadata was written. Its pixels are not looked at."""
    info = volume.info
    files = {}
    for file in volume.metadata_files:
        files[file.name if file.parent == info.path else f"{file.parent.name}/{file.name}"] = stamp(file)
    return {
        "axes": [[axis.name, axis.unit] for axis in info.axes],
        "shape": info.shape,
        "dtype": str(info.dtype),
        "scale": info.scale,
        "translation": info.translation,
        "name": info.name,
        "omero": info.omero,
        "files": files,
    }


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], joint: str = "is now") -> str:
    """In what two fingerprints differ, for people: "seed 0 is now 3, …", or with another joint."""
    changes = [
        f"{name} {_short(old)} {joint} {_short(new)}"
        for name, old, new in _changes(dict(found), dict(wanted), ())
    ]
    more = [f"{len(changes) - MOST_CHANGES} more"] if len(changes) > MOST_CHANGES else []
    return ", ".join([*changes[:MOST_CHANGES], *more])


def _changes(found: Any, wanted: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    if found == wanted:
        return
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*found, *wanted]):
            yield from _changes(found.get(key), wanted.get(key), (*path, key))
    else:
        yield " ".join(path), found, wanted


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
