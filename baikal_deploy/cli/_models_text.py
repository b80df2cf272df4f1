"""Models and what they are, in lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from baikal_deploy.models.manifest import ALIASES, DEFAULT_MODEL, ModelManifest, read_manifest, shipped_models
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.report.comparison import Comparison
from baikal_deploy.report.words import describe_suited

WIDEST = 100
"""Columns that text is wrapped to in a wider terminal."""
NAME = 14
"""Columns of a heading."""
TITLES = {"description": "knows", "data": "trained on", "licence": "licence", "limits": "limits"}
"""Headings of the entries of a card; others have their own names."""


def list_models(paths: Mapping[str, Path], width: int) -> Iterator[str]:
    """Models, with what they know, in lines.

    Args:
        paths: of the models' files, by name.
        width: columns of the terminal.

    Raises:
        ModelError: a file that is not a model.
    """
    for name, path in paths.items():
        manifest = read_manifest(path)
        default = " (default)" if path == shipped_models()[DEFAULT_MODEL] else ""
        yield f"{name}{default}"
        yield from _hanging("knows", manifest.card.get("description", "nothing is said of it"), width)
        yield from _hanging("licence", manifest.card.get("licence", "nothing is said of it"), width)
        yield from _hanging("file", f"{path.stat().st_size / 1e6:.1f} MB, {manifest.precision}", width)
        yield from _hanging("samplers", _samplers(manifest), width)
    for alias, name in ALIASES.items():
        yield f"{alias} is a former name of {name}"


def describe_model(path: Path, width: int) -> Iterator[str]:
    """A model, with all that it says of itself, in lines.

    Args:
        path: of its file.
        width: columns of the terminal.

    Raises:
        ModelError: a file that is not a model.
    """
    manifest = read_manifest(path)
    yield f"{path.stem}: {path}"
    card = {key: manifest.card[key] for key in TITLES if key in manifest.card} | manifest.card
    for key, text in card.items():
        yield from _hanging(TITLES.get(key, key), text, width)
    schedule = manifest.schedule.as_dict()
    yield from _hanging("schedule", ", ".join(f"{key} {value}" for key, value in schedule.items()), width)
    low, high = manifest.normalisation.low, manifest.normalisation.high
    yield from _hanging("intensities", f"percentiles {low:g} and {high:g} become -1 and 1", width)
    noise = "white" if manifest.noise_correlation is None else "correlated between pixels, as it was tuned to"
    yield from _hanging("noise", noise, width)
    yield from _hanging("samplers", _samplers(manifest), width)
    yield from _hanging("file", f"{path.stat().st_size / 1e6:.1f} MB, {manifest.precision}", width)
    yield from _hanging("SHA-256", file_sha256(path), width)
    yield "training"
    yield from _training(manifest.training, width)
    if manifest.verification:
        yield "figures of the export"
        yield from _record(manifest.verification, width, 1)


def describe_comparison(found: Comparison, width: int) -> Iterator[str]:
    """A comparison of models, in lines.

    Args:
        found: the comparison.
        width: columns of the terminal.
    """
    yield f"{found.name}: {found.part}"
    for name, one in found.models.items():
        yield (
            f"  {name:<{NAME}} what it removed: correlation of neighbours {one.neighbours:+.3f}, with its "
            f"result {one.structure:+.3f}"
        )
    yield from wrap(f"{found.suited.name}: {describe_suited(found.suited)}", max(width, 1))


def _samplers(manifest: ModelManifest) -> str:
    own = [
        f"{name} {' '.join(f'{key}={value}' for key, value in options.items())}"
        for name, options in manifest.recommended.items()
    ]
    return "; ".join(["auto", *own])


def _training(record: Mapping[str, Any], width: int) -> Iterator[str]:
    """Record of a training: how long each of its parts was, and all of the last one."""
    parts = [record]
    while isinstance(before := parts[0].get("before"), Mapping):
        parts.insert(0, before)
    if len(parts) > 1:
        each = [
            f"{part.get('iterations', '?')} iterations in {part.get('minutes', '?')} minutes"
            for part in parts
        ]
        yield from _hanging("parts", f"{'; '.join(each)}. The last one:", width)
    yield from _record({key: value for key, value in record.items() if key != "before"}, width, 1)


def _record(record: Mapping[str, Any], width: int, depth: int) -> Iterator[str]:
    """Entries of a record, those of records in it below them."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield f"{'  ' * depth}{key}"
            yield from _record(value, width, depth + 1)
        else:
            yield from _lines(f"{'  ' * depth}{key} ", str(value), width)


def _hanging(title: str, text: str, width: int) -> Iterable[str]:
    return _lines(f"  {title:<{NAME}}", text, width)


def _lines(start: str, text: str, width: int) -> Iterable[str]:
    width = max(min(width, WIDEST), len(start) + 20)
    margin = " " * len(start)
    line = f"{start}{' '.join(text.split())}"
    return wrap(line, width, subsequent_indent=margin, break_on_hyphens=False) or [start]
