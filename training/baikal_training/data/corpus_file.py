"""The file of a corpus: TOML, checked."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_training.data.augmentation import AUGMENTATIONS
from baikal_training.data.corpus import Corpus, Source

TEXTS = ("name", "licence", "attribution", "origin", "processing", "augmentation", "parent")


def is_corpus(path: Path) -> bool:
    """True if a path is named like the file of a corpus."""
    return path.suffix.lower() == ".toml"


def read_corpus(path: Path) -> Corpus:
    """The corpus in a TOML file.

    Raises:
        ConfigError: it cannot be read, or says something that cannot be used.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the corpus cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a corpus in TOML ({error})") from error
    _check_known(path, "the corpus", found, ("name", "structures", "source"))
    sources = _sources(path, found.get("source"))
    structures = _structures(path, found.get("structures", {}), {source.structure for source in sources})
    return Corpus(
        _text(path, "the corpus", "name", found.get("name", path.stem)), path.parent, structures, sources
    )


def _sources(path: Path, found: Any) -> tuple[Source, ...]:
    if not isinstance(found, list) or not found or not all(isinstance(entry, dict) for entry in found):
        raise ConfigError(
            f"{path}: has no source; begin each with [[source]], and name its structure and files"
        )
    sources = tuple(_source(path, number, entry) for number, entry in enumerate(found, 1))
    names: dict[str, int] = {}
    patterns: dict[str, str] = {}
    for number, source in enumerate(sources, 1):
        if source.name in names:
            raise ConfigError(
                f"{path}: sources {names[source.name]} and {number} are both {source.name!r}; give each a "
                f"name of its own, and its files once"
            )
        names[source.name] = number
        for pattern in source.files:
            if pattern in patterns:
                raise ConfigError(
                    f"{path}: {pattern!r} is in the sources {patterns[pattern]!r} and {source.name!r}; a "
                    f"file can be in one alone"
                )
            patterns[pattern] = source.name
    return sources


def _source(path: Path, number: int, found: Mapping[str, Any]) -> Source:
    where = f"source {number}"
    _check_known(path, where, found, tuple(field.name for field in fields(Source)))
    for name in ("structure", "files"):
        if name not in found:
            raise ConfigError(f"{path}: {where} has no {name!r}; it needs a structure and files")
    patterns = found["files"]
    if not isinstance(patterns, list) or not patterns or not all(isinstance(p, str) and p for p in patterns):
        raise ConfigError(
            f'{path}: {where}: files = {patterns!r}: give a list of patterns, such as ["actin/*.tif"]'
        )
    for pattern in patterns:
        if Path(pattern).is_absolute():
            raise ConfigError(f"{path}: {where}: {pattern!r}: give it relative to the folder of the corpus")
    texts = {name: _text(path, where, name, found[name]) for name in TEXTS if name in found}
    texts.setdefault("name", patterns[0])
    source = Source(
        structure=_text(path, where, "structure", found["structure"]),
        files=tuple(patterns),
        weight=_positive(path, f"{where}: weight", found.get("weight", 1)),
        **texts,
    )
    _check_choices(path, where, source)
    return source


def _check_choices(path: Path, where: str, source: Source) -> None:
    if source.augmentation and source.augmentation not in AUGMENTATIONS:
        raise ConfigError(
            f"{path}: {where}: augmentation {source.augmentation!r}: choose one of {', '.join(AUGMENTATIONS)}"
        )
    try:
        re.compile(source.parent)
    except re.error as error:
        raise ConfigError(
            f"{path}: {where}: parent {source.parent!r}: not a regular expression ({error})"
        ) from error


def _structures(path: Path, found: Any, known: Collection[str]) -> dict[str, float]:
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: structures = {found!r}: give the share of each, such as nuclei = 3")
    for name in found:
        if name not in known:
            raise ConfigError(f"{path}: structures: no source shows {name!r}; check how it is spelled")
    return {name: _positive(path, f"structures: {name}", share) for name, share in found.items()}


def _check_known(path: Path, where: str, found: Mapping[str, Any], known: Collection[str]) -> None:
    for name in found:
        if name not in known:
            raise ConfigError(f"{path}: {where}: unknown {name!r}; known are {', '.join(known)}")


def _text(path: Path, where: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{path}: {where}: {name} = {value!r}: must be a text, and not empty")
    return value


def _positive(path: Path, where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{path}: {where} = {value!r}: must be a number above 0, and finite")
    return float(value)
