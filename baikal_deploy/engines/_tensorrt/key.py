"""Everything that an engine file depends on."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.models.onnx_file import model_sha256

SCHEMA = 1
"""Version of the format of keys and sidecars."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that must be the same for an engine file to be the right one.

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
        """The key as JSON gives it back."""
        data = asdict(self) | {"profile": str(self.profile)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EngineKey:
        """The key in a record, as ``as_dict`` makes it.

        Raises:
            ValueError, LookupError, TypeError, ConfigError: the record does not hold a key.
        """
        values: dict[str, Any] = {name: _frozen(value) for name, value in data.items()}
        values["profile"] = Profile.parse(values["profile"])
        return cls(**values)

    @property
    def digest(self) -> str:
        """Name of the engine file, without its suffix."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def serves(self, wanted: EngineKey) -> bool:
        """True if a file with this key can stand in for one with the other: it serves its shapes and GPUs."""
        same = replace(self, profile=wanted.profile, compute_capabilities=wanted.compute_capabilities)
        return (
            same == wanted
            and self.profile.covers(wanted.profile.min)
            and self.profile.covers(wanted.profile.max)
            and set(wanted.compute_capabilities) <= set(self.compute_capabilities)
        )


def _frozen(value: Any) -> Any:
    """The value with tuples for lists: JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value
