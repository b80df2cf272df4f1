"""The cache of engine files: built once for a model, a range of shapes and a GPU, and only ever here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from baikal_deploy.engines import _kept_files as files
from baikal_deploy.engines._tensorrt.key import EngineKey
from baikal_deploy.errors import ConfigError

__all__ = ["CachedEngine", "EngineKey", "find_or_build", "remove"]

_log = logging.getLogger(__name__)
_MACHINE = ("version", "cuda", "flags", "system", "gpu", "compute_capabilities", "schema")
"""The parts of a key that change with the machine and its software, and not with what is asked for."""


@dataclass(frozen=True)
class CachedEngine:
    """An engine file.

    Attributes:
        path: the file.
        data: its contents, checked.
        key: its own, which may serve more than was asked for.
        built: whether it had to be built.
    """

    path: Path
    data: bytes
    key: EngineKey
    built: bool


def find_or_build(key: EngineKey, build: Callable[[], bytes], exact: bool = False) -> CachedEngine:
    """The engine file of this key, or one that serves all that it would; built if there is none.

    One process builds at a time: others that want the same file then find it, and TensorRT's timing
    is not disturbed. A file that fails a check is deleted and built again, with a line in the log.

    Args:
        exact: do without what merely serves, which may be tuned for other shapes.

    Raises:
        EngineError: the cache cannot be written, is not safe, or is locked for too long.
        Exception: whatever ``build`` raises.
    """
    files.check_folder()
    if found := _find(key, exact, lambda path, reason: None):
        return found
    with files.locked():
        if found := _find(key, exact, _discard):  # another process may have built it, or was still writing
            return found
        _say_what_is_there(key)
        path, data = _path(key), build()
        files.write(path, data, key.as_dict())
        return CachedEngine(path, data, key, built=True)


def remove(path: Path) -> None:
    """Delete an engine file that turned out to be useless.

    Raises:
        EngineError: the cache cannot be written, is not safe, or is locked for too long.
    """
    with files.locked():
        files.discard(path)


def _path(key: EngineKey) -> Path:
    return files.engine_folder() / f"{key.digest}.engine"


def _find(key: EngineKey, exact: bool, refuse: Callable[[Path, str], None]) -> CachedEngine | None:
    """The file of this key, or else any that serves it; ``refuse`` learns of each that fails a check."""
    for path, its_key in [(_path(key), key), *([] if exact else _serving(key))]:
        if not path.exists() and not files.sidecar_path(path).exists():
            continue
        try:
            return CachedEngine(path, files.read(path, its_key.as_dict()), its_key, built=False)
        except files.Refused as error:
            refuse(path, str(error))
    return None


def _serving(key: EngineKey) -> list[tuple[Path, EngineKey]]:
    """Other files that serve this key, the least general first."""
    found = [(path, other) for path, other in _kept() if other.serves(key) and other != key]
    return sorted(found, key=lambda one: (one[1].profile.max, len(one[1].compute_capabilities), one[0]))


def _kept() -> Iterator[tuple[Path, EngineKey]]:
    """All files whose sidecars can be read."""
    for sidecar in files.engine_folder().glob("*.engine.json"):
        path = sidecar.with_suffix("")
        try:
            yield path, EngineKey.from_dict(files.sidecar(path)["key"])
        except (files.Refused, ConfigError, LookupError, TypeError, ValueError, AttributeError):
            continue  # it is judged when its own key is asked for


def _discard(path: Path, reason: str) -> None:
    _log.warning("engine file %s %s; it is deleted and built again", path, reason)
    files.discard(path)


def _say_what_is_there(key: EngineKey) -> None:
    """Tell why another engine file of this model, of another version or for another GPU, does not do."""
    wanted = key.as_dict()
    asked = {name: value for name, value in wanted.items() if name not in _MACHINE}
    kept = ((path, other.as_dict()) for path, other in _kept())
    others = [(path, found) for path, found in kept if asked.items() <= found.items()]
    if others:
        path, found = min(others, key=lambda one: sum(one[1][name] != wanted[name] for name in wanted))
        why = files.differences(found, wanted)
        _log.warning("engine file %s does not serve here: %s; building another", path, why)
