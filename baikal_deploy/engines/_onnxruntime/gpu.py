"""Base of ONNX Runtime's engines on an NVIDIA GPU: planes stay there from one evaluation to the next."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda.staging import Copies
from baikal_deploy.engines._cuda.stream import OwnStream
from baikal_deploy.engines._onnxruntime.session import OnnxRuntimeEngine, first_line, without_waiting
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import EngineError
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.pixels.arrays import Planes

_DEVICE = ("cuda", 0)


def cuda_options(stream: int, *, tf32: bool = False) -> dict[str, Any]:
    """Options of the CUDA provider.

    Without TF32 fp32 is fp32. cuDNN's algorithms are chosen by rule: by default ONNX Runtime times them all
    when a shape first comes, and another winner next time would give other pixels.

    Args:
        stream: handle of the stream that it computes on.
        tf32: whether products are of TF32.
    """
    return {"use_tf32": int(tf32), "cudnn_conv_algo_search": "HEURISTIC", "user_compute_stream": str(stream)}


class OnnxRuntimeGpuEngine(OnnxRuntimeEngine):
    """A session that reads its inputs from CuPy arrays and writes its outputs to some, by I/O binding.

    It computes on a stream of its own. ``predict`` returns before the result is there: CuPy's current stream
    waits for it, and so does everything that the calling thread does with it afterwards. Threads share the
    engine under a lock, which they hold while they hand work to the GPU.
    """

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {"fp32": ("fp32",), "fp16": ("fp16",)}
    device: str = "NVIDIA GPU"

    def __init__(
        self,
        session: Any,
        manifest: ModelManifest,
        options: EngineOptions,
        stream: OwnStream,
    ) -> None:
        super().__init__(session, manifest, options)
        self._stream, self._lock = stream, threading.Lock()
        self._binding = session.io_binding()
        self._outputs = [one.name for one in session.get_outputs()]
        self._options = without_waiting()
        self._copies = Copies()

    def upload(self, planes: Planes) -> Planes:
        self.session  # noqa: B018  # which raises after ``close``
        return self._copies.upload(planes)

    def download(self, planes: Planes) -> Planes:
        self.session  # noqa: B018  # which raises after ``close``
        return self._copies.download(planes)

    def free_bytes(self) -> int | None:
        return _cupy.free_bytes()

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        inputs = {"x_t": _cupy.contiguous(x_t), "timesteps": _cupy.full(x_t.shape[0], t)}
        with self._lock:
            session = self.session
            outputs = {name: _cupy.empty(x_t.shape) for name in self._outputs}
            with self._stream.within(_cupy.current_stream()):
                self._run(session, inputs, outputs)
        return outputs["eps"], outputs.get("v")

    def _run(self, session: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        binding = self._binding
        try:
            for name, array in inputs.items():
                binding.bind_input(name, *_DEVICE, np.float32, array.shape, _cupy.pointer(array))
            for name, array in outputs.items():
                binding.bind_output(name, *_DEVICE, np.float32, array.shape, _cupy.pointer(array))
            session.run_with_iobinding(binding, self._options)
        except Exception as error:  # ONNX Runtime has no common base for what it raises here
            raise EngineError(f"engine {self.name}: evaluation failed ({first_line(error)})") from error

    def close(self) -> None:
        with self._lock:
            if self._session is None:
                return
            self._stream.finish()
            self._binding = None
            super().close()
            self._copies.close()
            self._stream.close()
