"""OpenVINO on the CPU."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from baikal_deploy import machine
from baikal_deploy.engines import _openvino as compiler
from baikal_deploy.engines.base import Engine, EngineOptions, Planes
from baikal_deploy.errors import EngineError
from baikal_deploy.manifest import ModelManifest, Precision

if TYPE_CHECKING:
    import openvino

MOST_SHAPES = 4
"""Compiled models that are kept; a run has windows of one shape, and measures with those of another."""
TRIES = 3
"""Times that a model is compiled for planes that it gives something else than numbers for."""

_log = logging.getLogger(__name__)


class OpenVino(Engine):
    """OpenVINO's CPU plug-in, with the model compiled for each shape of planes when they first come.

    Compiled for a fixed shape it computes faster than for any (docs/engines.md). Calls of several
    threads wait for each other, as they would inside OpenVINO.
    """

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {
        "fp32": ("fp32", "bf16"),
        "fp16": ("fp32", "bf16"),  # asked for fp16, OpenVINO computes in one of these
        "bf16": ("bf16",),
        "int8": ("int8",),
    }

    def __init__(self, model: compiler.Model, manifest: ModelManifest, options: EngineOptions) -> None:
        self.manifest, self.precision = manifest, options.precision
        self._model: compiler.Model | None = model
        self._requests: OrderedDict[compiler.Shape, openvino.InferRequest] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        compiler.check(cls.name, precision)

    @classmethod
    def caution(cls, precision: Precision) -> str:
        if precision != "bf16" or not (machine.cpu().features or {}).get("AMX"):
            return ""
        return (
            "on CPUs with AMX a few evaluations have given NaN (docs/engines.md); all are checked, and those "
            "are repeated"
        )

    @classmethod
    def version(cls) -> str:
        return f"openvino {compiler.version().partition('-')[0]}"

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        cls.check(options.precision)
        return cls(compiler.Model(path, manifest, options), manifest, options)

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        feed = {"x_t": np.ascontiguousarray(x_t), "timesteps": np.full(len(x_t), t, dtype=np.float32)}
        with self._lock:
            if self._model is None:
                raise EngineError(f"engine {self.name}: used after close")
            try:
                outputs = self._outputs(self._model, feed)
            except (EngineError, RuntimeError) as error:
                raise EngineError(
                    f"engine {self.name}: evaluation failed ({compiler.reason(error)})"
                ) from error
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    def _outputs(self, model: compiler.Model, feed: Mapping[str, Planes]) -> list[Planes]:
        """One evaluation, and another where planes of numbers became something else.

        In bf16 on CPUs with AMX that happens now and then. What does it lies in the memory of the compiled
        model, so that another one is compiled.
        """
        x_t = feed["x_t"]
        for _ in range(TRIES):
            results = self._request(model, x_t.shape).infer(feed)  # copies
            outputs = [results[place] for place in range(model.outputs)]
            if not _lost(x_t, outputs):
                return outputs
            self._requests.clear()
            _log.warning(
                "engine %s: %s evaluation of planes %s gave NaN (docs/engines.md); it is repeated",
                self.name, self.precision, x_t.shape,
            )  # fmt: skip
        raise EngineError(
            f"the network, compiled {TRIES} times, gave NaN for planes of numbers; try another --precision "
            "or --engine: if they do the same, the model is broken"
        )

    def _request(self, model: compiler.Model, shape: compiler.Shape) -> openvino.InferRequest:
        """That of a shape; the one that was not used for longest makes room for a new one."""
        shape = compiler.ANY if model.any_shape else shape
        if shape not in self._requests:
            if len(self._requests) == MOST_SHAPES:
                self._requests.popitem(last=False)
            self._requests[shape] = model.compile(shape)
        self._requests.move_to_end(shape)
        return self._requests[shape]

    def close(self) -> None:
        with self._lock:
            self._requests.clear()
            self._model = None


def _lost(x_t: Planes, outputs: Sequence[Planes]) -> bool:
    """Whether any plane that held finite numbers only has become one that does not."""
    finite, *kept = (np.isfinite(planes).all(axis=(1, 2, 3)) for planes in (x_t, *outputs))
    return any((finite & ~one).any() for one in kept)
