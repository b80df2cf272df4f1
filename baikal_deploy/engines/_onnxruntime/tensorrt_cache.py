"""The engine files that ONNX Runtime's TensorRT provider keeps, checked as our own are."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from baikal_deploy.engines import _kept_files as files
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.engines._tensorrt.key import EngineKey
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.models.manifest import ModelManifest

_log = logging.getLogger(__name__)


@contextmanager
def folder(
    family: compat.Family, onnxruntime: str, path: Path, manifest: ModelManifest, profile: Profile
) -> Iterator[Path]:
    """A folder of its own for a model, a range of shapes, and this machine with its software.

    The provider loads whatever file it finds there. So whatever has changed since it was written is deleted
    before, with a line in the log, and what the provider has written gets a sidecar afterwards.

    Args:
        onnxruntime: its version; the other arguments are those of ``EngineKey.of``.

    Raises:
        EngineError: the cache cannot be written, is not safe, or is locked for too long.
        ModelError: not an ONNX file, or one whose weights are missing.
    """
    gpu = _cuda.gpu()
    built = EngineKey.of(family, path, manifest, profile, (gpu.compute_capability,), gpu.name)
    key = built.as_dict() | {"flags": ["no TF32"], "onnxruntime": onnxruntime}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    with files.locked():
        own = files.engine_folder() / f"{digest}.{family.name}"
        own.mkdir(mode=0o700, exist_ok=True)
        _clear(own, key)
        yield own
        for file in _engine_files(own):
            if not files.sidecar_path(file).exists():
                files.write(file, file.read_bytes(), key)


def _clear(own: Path, key: dict[str, Any]) -> None:
    for file in _engine_files(own):
        try:
            files.read(file, key)
        except files.Refused as refused:
            _log.warning("engine file %s %s; it is deleted and built again", file, refused)
            files.discard(file)


def _engine_files(own: Path) -> list[Path]:
    return [file for file in own.iterdir() if file.suffix != ".json"]
