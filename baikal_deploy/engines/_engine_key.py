"""What an engine file depends on."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from baikal_deploy.engines import _trt_compat as compat
from baikal_deploy.engines._trt_profile import Profile
from baikal_deploy.errors import ModelError
from baikal_deploy.manifest import ModelManifest, Precision
from baikal_deploy.protobuf import NotProtobuf, fields

SCHEMA = 1
"""Of keys and sidecars."""


@dataclass(frozen=True)
class EngineKey:
    """What must be the same for an engine file to be the right one.

    Attributes:
        model: SHA-256 of the .onnx file and of the files with weights that it refers to.
        family: see ``Family.name``.
        version: of the family, in full.
        cuda: major version of the CUDA that it was built for, if known.
        profile: shapes that the file serves.
        precision: of the model.
        flags: of the builder.
        system: operating system and architecture.
        gpu: name of the GPU that it was built on; empty for a portable family.
        compute_capabilities: of that GPU, or of all that a portable family built for.
    """

    model: str
    family: str
    version: str
    cuda: int | None
    profile: Profile
    precision: Precision
    flags: tuple[str, ...]
    system: str
    gpu: str
    compute_capabilities: tuple[int, ...]
    schema: int = SCHEMA

    @classmethod
    def of(
        cls,
        family: compat.Family,
        path: Path,
        manifest: ModelManifest,
        profile: Profile,
        compute_capabilities: tuple[int, ...],
        gpu: str = "",
    ) -> EngineKey:
        """The key of a model on this machine; arguments as ``build_engine``, and the name of the GPU.

        Raises:
            EngineUnavailable: the family is not installed.
            ModelError: not an ONNX file, or one whose weights are missing.
        """
        return cls(
            model=model_sha256(path),
            family=family.name,
            version=compat.version(compat.load(family)),
            cuda=compat.cuda_major(family),
            profile=profile,
            precision=manifest.precision,
            flags=compat.FLAGS,
            system=f"{platform.system()} {platform.machine()}",
            gpu=gpu,
            compute_capabilities=tuple(sorted(set(compute_capabilities))),
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON gives it back."""
        data = asdict(self) | {"profile": str(self.profile)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EngineKey:
        """Raises ValueError, LookupError, TypeError or ConfigError for what is no key."""
        values: dict[str, Any] = {name: _frozen(value) for name, value in data.items()}
        values["profile"] = Profile.parse(values["profile"])
        return cls(**values)

    @property
    def digest(self) -> str:
        """Names the engine file."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def serves(self, wanted: EngineKey) -> bool:
        """Whether a file with this key can stand in for one with the other: it may serve more shapes, and
        more GPUs."""
        same = replace(self, profile=wanted.profile, compute_capabilities=wanted.compute_capabilities)
        return (
            same == wanted
            and self.profile.covers(wanted.profile.min)
            and self.profile.covers(wanted.profile.max)
            and set(wanted.compute_capabilities) <= set(self.compute_capabilities)
        )


def _frozen(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def model_sha256(path: Path) -> str:
    """SHA-256 of an .onnx file followed by the files that hold weights for it.

    Raises:
        ModelError: not an ONNX file, or one of them cannot be read.
    """
    try:
        data = path.read_bytes()
        if not any(number == _GRAPH for number, _ in fields(data)):
            raise NotProtobuf
        hashes = hashlib.sha256(data)
        for name in sorted(set(_locations(data, "model"))):
            hashes.update((path.parent / name).read_bytes())
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except (IndexError, ValueError, NotProtobuf) as error:
        raise ModelError(f"{path}: not an ONNX file, or a damaged one; get or export it again") from error
    return hashes.hexdigest()


# Field numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto on the way to a tensor's data.
_GRAPH = 7
_INSIDE: dict[str, dict[int, str]] = {
    "model": {_GRAPH: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}


def _locations(data: bytes | memoryview, kind: str) -> Iterator[str]:
    """Names of the files that hold the data of tensors, beside the .onnx file."""
    for number, value in fields(data):
        inside = _INSIDE[kind].get(number)
        if inside is None or not isinstance(value, memoryview):
            continue
        if inside != "external":
            yield from _locations(value, inside)
            continue
        entry = {key: bytes(text).decode() for key, text in fields(value) if isinstance(text, memoryview)}
        if entry.get(1) == "location":
            yield entry.get(2, "")
