"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from baikal_deploy.engines._onnxruntime.session import OnnxRuntimeEngine, check_installed, open_session
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import ModelManifest, Precision


class OnnxCpu(OnnxRuntimeEngine):
    """ONNX Runtime's CPU execution provider with all graph optimisations."""

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {
        "fp32": ("fp32",),
        "fp16": ("fp16",),
        "int8": ("int8",),
    }

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        check_installed(cls.name, "onnxruntime", "cpu")

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        cls.check(options.precision)
        session = open_session(cls.name, path, options, ["CPUExecutionProvider"])
        return cls(session, manifest, options)
