"""OpenVINO on the CPU."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from baikal_deploy.engines import _openvino as compiler
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError
from baikal_deploy.host import machine
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.pixels.arrays import Planes

if TYPE_CHECKING:
    import openvino

MOST_SHAPES = 4
"""Compiled models that are kept; a run has windows of one shape, and measures with those of another."""


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
        if precision == "fp32" or not _may_use_amx():
            return ""
        return "planes as narrow as the network's grid are refused: on CPUs with AMX they come out wrong"

    @classmethod
    def version(cls) -> str:
        return f"openvino {compiler.version().partition('-')[0]}"

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        cls.check(options.precision)
        return cls(compiler.Model(path, manifest, options), manifest, options)

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
        """Refuse planes whose smallest feature maps are one pixel wide, where OpenVINO would use AMX.

        Its convolutions of such maps read memory that nobody wrote (docs/engines.md).
        """
        least = 2 * self.manifest.downsampling
        if self.precision != "fp32" and width < least and _may_use_amx():
            raise EngineError(
                f"engine {self.name}: computes planes {width} pixels wide wrongly in {self.precision} on "
                f"CPUs with AMX; give it planes at least {least} wide, or take another --precision or engine"
            )

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


def _may_use_amx() -> bool:
    """True if this CPU has AMX, or nothing is known of it."""
    features = machine.cpu().features
    return features is None or features["AMX"]


def _lost(x_t: Planes, outputs: Sequence[Planes]) -> bool:
    """True if any plane that held finite numbers only has become one that does not."""
    finite, *kept = (np.isfinite(planes).all(axis=(1, 2, 3)) for planes in (x_t, *outputs))
    return any((finite & ~one).any() for one in kept)
