"""The provenance of an output: all that is recorded in it of how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from baikal_deploy.denoising.provenance import made_with
from baikal_deploy.diffusion.random_field import noise_generator
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.recipes import Group, Recipes


def provenance(
    config: RunConfig, recipes: Recipes, fingerprint: str, tally: Tally, notes: Sequence[str]
) -> dict[str, Any]:
    """Provenance of an output: enough to make it again, and to know it again.

    It holds no times: the same run records the same.

    Args:
        config: the options of the run.
        recipes: of all planes.
        fingerprint: see ``digest``.
        tally: of all planes.
        notes: on the output, in sentences.
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


def measurements_of(provenance: Mapping[str, Any]) -> dict[Group, Mapping[str, Any]]:
    """Measurements of an output of this version, as ``Recipes.add`` takes them.

    Args:
        provenance: of a finished output.
    """
    return {
        (found.get("t"), channel): found["measurement"]
        for channel, record in enumerate(provenance["channels"])
        for found in record.get("time points", [record])
        if "measurement" in found
    }


def run_of(config: RunConfig, recipes: Recipes) -> dict[str, Any]:
    """Description of a run: model, engine, input and options, as JSON holds them.

    Args:
        config: the options of the run.
        recipes: with or without measurements.
    """
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
        "defects": config.defects,
        "seed": config.seed,
        "shared noise": config.share_noise,
        "fuse": config.fuse,
        "results": None if config.results is None else str(config.results.absolute()),
    }
