"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from baikal_deploy.engines.base import Engine, Planes
from baikal_deploy.errors import EngineError, EngineUnavailable, ModelError
from baikal_deploy.manifest import ModelManifest

if TYPE_CHECKING:
    import onnxruntime


class OnnxCpu(Engine):
    """ONNX Runtime's CPU execution provider with all graph optimisations."""

    def __init__(self, session: onnxruntime.InferenceSession, manifest: ModelManifest) -> None:
        self.manifest = manifest
        self._session: onnxruntime.InferenceSession | None = session

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, threads: int | None) -> Self:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable(
                "engine onnx-cpu: ONNX Runtime is not installed; pip install 'baikal-deploy[cpu]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or _usable_cores()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no common base for what it raises here
            raise ModelError(f"{path}: ONNX Runtime cannot load it ({_first_line(error)})") from error
        return cls(session, manifest)

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        if self._session is None:
            raise EngineError("engine onnx-cpu: used after close")
        feed = {"x_t": np.ascontiguousarray(x_t), "timesteps": np.full(len(x_t), t, dtype=np.float32)}
        try:
            outputs = self._session.run(None, feed)
        except Exception as error:  # as above
            raise EngineError(f"engine onnx-cpu: evaluation failed ({_first_line(error)})") from error
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    def close(self) -> None:
        self._session = None


def _usable_cores() -> int:
    """Cores that this process may use, which on a shared machine are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
