"""The provenance of an output: all that is recorded in it of how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.recipes import CHOSEN, Group, Recipes


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
    return {
        **run_of(config, recipes),
        "noise": " or ".join(sorted({own.noise for own in recipes.models.used})),
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
        (found.get("t"), channel): found["measurement"] | _chosen(record)
        for channel, record in enumerate(provenance["channels"])
        for found in record.get("time points", [record])
        if "measurement" in found
    }


def _chosen(record: Mapping[str, Any]) -> dict[str, Any]:
    """The model that was chosen for a channel, as a measurement's record has it."""
    return {CHOSEN: record["chosen"]} if "chosen" in record else {}


def run_of(config: RunConfig, recipes: Recipes) -> dict[str, Any]:
    """Description of a run: model and engine if all channels have one, input and options, as JSON holds them.

    Args:
        config: the options of the run.
        recipes: with or without measurements.
    """
    return {
        **recipes.models.made_with(),
        "input": str(config.input.absolute()),
        "series": config.series,
        "axes": config.axes,
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
        **({"denoised again": True} if config.again else {}),
        "results": None if config.results is None else str(config.results.absolute()),
        **({"stored": stored} if (stored := config.storage.record()) else {}),
    }
