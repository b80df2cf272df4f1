"""TensorRT inside ONNX Runtime, on an NVIDIA GPU."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Self

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._cuda.stream import OwnStream
from baikal_deploy.engines._onnxruntime import tensorrt_cache as cache
from baikal_deploy.engines._onnxruntime.gpu import OnnxRuntimeGpuEngine, cuda_options
from baikal_deploy.engines._onnxruntime.session import (
    Providers,
    check_installed,
    check_provider,
    open_session,
)
from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.host.extras import install
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.pixels.arrays import Planes

PROVIDER = "TensorrtExecutionProvider"
EXTRA = "onnx-tensorrt"
FAMILY = replace(compat.TENSORRT, name=EXTRA, extra=EXTRA, below=11)
"""TensorRT 10, to whose libraries ONNX Runtime's provider is linked."""


class OnnxTensorRt(OnnxRuntimeGpuEngine):
    """ONNX Runtime's TensorRT execution provider, and its CUDA provider for what TensorRT leaves over.

    Attributes:
        profile: shapes that it takes; TensorRT builds an engine for them when a model is first opened.
    """

    profile: Profile

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        check_installed(cls.name, "onnxruntime-gpu", EXTRA)
        _cuda.check(cls.name, EXTRA)
        _cupy.check(cls.name, EXTRA)
        compat.load(FAMILY)  # loads the libraries too, which ONNX Runtime would not find
        check_provider(cls.name, PROVIDER, install(EXTRA))

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        # The provider has no option for it (microsoft/onnxruntime#26029), and once anything of NVIDIA's is
        # loaded, it is too late. With TF32 fp32 would not be fp32.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        cls.check(options.precision)
        profile = Profile.default(options, manifest)
        with (
            OwnStream.made() as stream,
            cache.folder(FAMILY, cls.version(), path, manifest, profile) as folder,
        ):
            settings = provider_options(profile, options.precision, folder)
            settings["user_compute_stream"] = str(stream.handle)
            providers: Providers = [
                (PROVIDER, settings),
                ("CUDAExecutionProvider", cuda_options(stream.handle)),
            ]
            session = open_session(cls.name, path, options, providers)
            engine = cls(session, manifest, options, stream)
            stream.keep()
        engine.profile = profile
        return engine

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        self.profile.check_shape(self.name, x_t.shape)
        return super()._predict(x_t, t)


def provider_options(profile: Profile, precision: Precision, folder: Path) -> dict[str, str]:
    """Options of the provider: its shapes, its precision, and the folder of its engine files."""
    shapes = {"min": profile.min, "opt": profile.opt, "max": profile.max}
    return {
        f"trt_profile_{name}_shapes": f"x_t:{batch}x1x{height}x{width},timesteps:{batch}"
        for name, (batch, height, width) in shapes.items()
    } | {
        "trt_fp16_enable": str(precision == "fp16"),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
    }
