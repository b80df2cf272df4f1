"""The fingerprint of a run: all that must not change while an output is being made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.provenance import run_of
from baikal_deploy.run.recipes import Recipes
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.urls import Source, Url, stamp

MOST_CHANGES = 5
"""Largest number of changes that are listed in a message."""


def digest(fingerprint: Mapping[str, Any]) -> str:
    """Digest of a run's fingerprint, which a finished output keeps: 64 hexadecimal digits.

    Args:
        fingerprint: as JSON holds it.
    """
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


def fingerprint(config: RunConfig, guide: Volume | None, recipes: Recipes) -> dict[str, Any]:
    """Fingerprint of a run: everything that decides what it writes, as JSON gives it back.

    Two runs may share their work only if this is the same.

    Args:
        config: the options of the run.
        guide: as it was opened.
        recipes: with or without measurements.
    """
    found = run_of(config, recipes) | {
        **recipes.models.asked(),
        "denoised channels": list(recipes.channels),
        "contents of the input": _contents(recipes.volume),
        "contents of the guide": None if guide is None else _contents(guide),
        "contents of the results": None if config.results is None else _made(config.results),
        "uncertainty": None if config.uncertainty is None else str(config.uncertainty.absolute()),
        "mask": None if config.mask is None else str(config.mask.absolute()),
        **({} if config.upload is None else {"uploaded to": str(config.upload)}),
    }
    same: dict[str, Any] = json.loads(json.dumps(found))
    return same


def _made(results: Source) -> str | None:
    """Fingerprint of a finished output; None for what is none."""
    mark = None if isinstance(results, Url) else Mark.at(results)
    return None if mark is None else mark.fingerprint


def _contents(volume: Volume) -> dict[str, Any]:
    """Description that a volume gives of itself, and the times of its metadata; not its pixels."""
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
    """Differences of two fingerprints, for people: "seed 0 is now 3, …", or with another joint.

    Args:
        found: of the earlier run.
        wanted: of this one.
        joint: words between the two values.
    """
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
