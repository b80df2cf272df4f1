"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._cuda.stream import OwnStream
from baikal_deploy.engines._onnxruntime.gpu import OnnxRuntimeGpuEngine, cuda_options
from baikal_deploy.engines._onnxruntime.session import check_installed, check_provider, open_session
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.host.extras import install
from baikal_deploy.models.manifest import ModelManifest, Precision

PROVIDER = "CUDAExecutionProvider"


class OnnxCuda(OnnxRuntimeGpuEngine):
    """ONNX Runtime's CUDA execution provider. fp32 is fp32: TF32 is a precision of its own."""

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {
        "fp32": ("fp32", "tf32"), "fp16": ("fp16",)
    }  # fmt: skip

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        check_installed(cls.name, "onnxruntime-gpu", "cuda")
        _cuda.check(cls.name, "cuda")
        _cupy.check(cls.name, "cuda")
        check_provider(cls.name, PROVIDER, install("cuda"), convolves=True)

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        cls.check(options.precision)
        with OwnStream.made() as stream:
            settings = cuda_options(stream.handle, tf32=options.precision == "tf32")
            session = open_session(cls.name, path, options, [(PROVIDER, settings)])
            engine = cls(session, manifest, options, stream)
            stream.keep()
        return engine
