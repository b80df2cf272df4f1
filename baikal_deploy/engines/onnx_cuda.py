"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._onnxruntime.gpu import OnnxRuntimeGpuEngine
from baikal_deploy.engines._onnxruntime.session import check_installed, check_provider, open_session
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import ModelManifest, Precision

PROVIDER = "CUDAExecutionProvider"


class OnnxCuda(OnnxRuntimeGpuEngine):
    """ONNX Runtime's CUDA execution provider, without TF32: fp32 is fp32."""

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        check_installed(cls.name, "onnxruntime-gpu", "cuda")
        _cupy.check(cls.name, "cuda")
        check_provider(cls.name, PROVIDER, "pip install 'baikal-deploy[cuda]'")

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        cls.check(options.precision)
        session = open_session(cls.name, path, options, [(PROVIDER, {"use_tf32": 0})])
        return cls(session, manifest, options)
