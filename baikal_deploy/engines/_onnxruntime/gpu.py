"""Base of ONNX Runtime's engines on an NVIDIA GPU: planes stay there from one evaluation to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._onnxruntime.session import OnnxRuntimeEngine, first_line
from baikal_deploy.errors import EngineError
from baikal_deploy.models.manifest import Precision
from baikal_deploy.pixels.arrays import Planes

_DEVICE = ("cuda", 0)


class OnnxRuntimeGpuEngine(OnnxRuntimeEngine):
    """A session that reads its inputs from CuPy arrays and writes its outputs to some, by I/O binding."""

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {"fp32": ("fp32",), "fp16": ("fp16",)}
    device: str = "NVIDIA GPU"

    def upload(self, planes: Planes) -> Planes:
        return _cupy.upload(planes)

    def download(self, planes: Planes) -> Planes:
        return _cupy.download(planes)

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        session = self.session
        inputs = {"x_t": _cupy.contiguous(x_t), "timesteps": _cupy.full(x_t.shape[0], t)}
        outputs = {one.name: _cupy.empty(x_t.shape) for one in session.get_outputs()}
        binding = session.io_binding()
        try:
            for name, array in inputs.items():
                binding.bind_input(name, *_DEVICE, np.float32, array.shape, _cupy.pointer(array))
            for name, array in outputs.items():
                binding.bind_output(name, *_DEVICE, np.float32, array.shape, _cupy.pointer(array))
            # ONNX Runtime has a stream of its own, and waits for it before it returns.
            _cupy.finish()
            session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime has no common base for what it raises here
            raise EngineError(f"engine {self.name}: evaluation failed ({first_line(error)})") from error
        return outputs["eps"], outputs.get("v")
