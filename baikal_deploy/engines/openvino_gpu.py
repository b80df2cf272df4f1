"""OpenVINO on the GPU of an Intel processor, or on an Intel graphics card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from baikal_deploy.engines import _openvino as compiler
from baikal_deploy.engines._openvino_engine import OpenVinoEngine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import ModelManifest, Precision


class OpenVinoGpu(OpenVinoEngine):
    """OpenVINO's GPU plug-in, which ``auto`` never takes: nobody has measured it.

    It computes in fp32 alone. By itself it would take fp16, in which the phases of the timesteps' embedding
    are off by up to a quarter of a radian (docs/engines.md).
    """

    DEVICE = compiler.GPU
    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {"fp32": ("fp32",), "fp16": ("fp32",)}
    device: str = "Intel GPU"

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        compiler.check(cls.name, precision)
        compiler.check_gpu(cls.name)

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        engine = super().open(path, manifest, options)
        engine.device = compiler.gpu_name()
        return engine
