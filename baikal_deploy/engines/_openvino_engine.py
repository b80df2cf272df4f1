"""What the engines of OpenVINO share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from baikal_deploy.engines import _openvino as compiler
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

if TYPE_CHECKING:
    import openvino

MOST_SHAPES = 4
"""Compiled models that are kept; a run has windows of one shape, and measures with those of another."""


class OpenVinoEngine(Engine):
    """A device of OpenVINO, with the model compiled for each shape of planes when they first come.

    Compiled for a fixed shape it computes faster than for any (docs/engines.md). Calls of several
    threads wait for each other, as they would inside OpenVINO.

    Attributes:
        DEVICE: as OpenVINO calls it.
    """

    DEVICE: ClassVar[str]

    def __init__(self, model: compiler.Model, manifest: ModelManifest, options: EngineOptions) -> None:
        self.manifest, self.precision = manifest, options.precision
        self._model: compiler.Model | None = model
        self._requests: OrderedDict[compiler.Shape, openvino.InferRequest] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def version(cls) -> str:
        return f"openvino {compiler.version().partition('-')[0]}"

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        cls.check(options.precision)
        return cls(compiler.Model(path, manifest, options, cls.DEVICE), manifest, options)

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        self._check_width(x_t.shape[3])
        feed = {"x_t": np.ascontiguousarray(x_t), "timesteps": np.full(len(x_t), t, dtype=np.float32)}
        with self._lock:
            if self._model is None:
                raise EngineError(f"engine {self.name}: used after close")
            try:
                request = self._request(self._model, x_t.shape)
                results = request.infer(feed)  # copies
                outputs = [results[place] for place in range(self._model.outputs)]
            except (EngineError, RuntimeError) as error:
                raise EngineError(
                    f"engine {self.name}: evaluation failed ({compiler.reason(error)})"
                ) from error
        if _lost(x_t, outputs):
            raise EngineError(
                f"engine {self.name}: gave NaN for planes of numbers, in {self.precision}; try another "
                "--precision or --engine: if they do the same, the model is broken"
            )
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    def _check_width(self, width: int) -> None:
        """Raise EngineError for planes that the device would compute wrongly."""

    def _request(self, model: compiler.Model, shape: compiler.Shape) -> openvino.InferRequest:
        """The request for a shape; the one that was not used for longest makes room for a new one."""
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
    """True if any plane that held finite numbers only has become one that does not."""
    finite, *kept = (np.isfinite(planes).all(axis=(1, 2, 3)) for planes in (x_t, *outputs))
    return any((finite & ~one).any() for one in kept)
