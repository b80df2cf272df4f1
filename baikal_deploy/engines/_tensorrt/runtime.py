"""Base of the engines of TensorRT and of TensorRT for RTX."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ClassVar, Self

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._cuda.staging import Copies
from baikal_deploy.engines._cuda.stream import OwnStream
from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.engines._tensorrt.build import Profile, build_engine
from baikal_deploy.engines._tensorrt.cache import CachedEngine, EngineKey, find_or_build, remove
from baikal_deploy.engines._tensorrt.evaluation import Evaluation, Network
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError, EngineUnavailable
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.pixels.arrays import Planes

_log = logging.getLogger(__name__)

MOST_SHAPES = 4
"""Shapes that are kept ready; a run has one for measuring the noise and one for all the rest."""


class TensorRtEngine(Engine):
    """An engine file on a GPU; built when it is first needed, and kept in the user's cache.

    Evaluations run one after the other, on a stream of the engine's own: one GPU gains nothing from
    several at a time. So threads share an engine under a lock, which they hold while they hand work to
    the GPU, not while it computes. ``predict`` returns before the result is there: CuPy's current
    stream waits for it, and so does everything that the calling thread does with it afterwards.

    Attributes:
        profile: (batch, height, width) that it takes.
    """

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {
        "fp32": ("fp32",), "bf16": ("bf16",), "fp16": ("fp16",), "int8": ("int8",)
    }  # fmt: skip
    FAMILY: ClassVar[compat.Family]
    device: str = "NVIDIA GPU"

    def __init__(
        self, manifest: ModelManifest, options: EngineOptions, profile: Profile, trt: Any, engine: Any
    ) -> None:
        self.manifest, self.precision, self.profile = manifest, options.precision, profile
        self.device = str(_cuda.gpu())
        self._lock = threading.Lock()
        self._evaluations: OrderedDict[tuple[int, ...], Evaluation] = OrderedDict()
        with ExitStack() as kept:
            self._own = kept.enter_context(closing(OwnStream()))
            self._copies = kept.enter_context(closing(Copies()))
            self._network: Network | None = Network(self.FAMILY, trt, engine, self._own.stream)
            self._own.follow(_cupy.current_stream())
            self._kept = kept.pop_all()

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        trt = compat.load(cls.FAMILY)
        _cuda.check(cls.name, cls.FAMILY.extra)
        _cupy.check(cls.name, cls.FAMILY.extra)
        gpu = _cuda.gpu()
        if cls.FAMILY.portable and gpu.compute_capability not in compat.target_names(trt):
            raise EngineUnavailable(
                f"engine {cls.name}: {cls.FAMILY.title} {compat.version(trt)} does not run on {gpu}",
                "use another engine",
            )

    @classmethod
    def version(cls) -> str:
        return f"{cls.FAMILY.title} {compat.version(compat.load(cls.FAMILY))}"

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        cls.check(options.precision)
        cached, engine = _load(cls.FAMILY, path, manifest, Profile.default(options, manifest))
        return cls(manifest, options, cached.key.profile, compat.load(cls.FAMILY), engine)

    def upload(self, planes: Planes) -> Planes:
        self._opened()
        return self._copies.upload(planes)

    def download(self, planes: Planes) -> Planes:
        self._opened()
        return self._copies.download(planes)

    def free_bytes(self) -> int | None:
        return _cupy.free_bytes()

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        x_t, shape = _cupy.contiguous(x_t), tuple(x_t.shape)
        self.profile.check_shape(self.name, shape)
        timesteps = _cupy.full(shape[0], t)
        with self._lock:
            outputs = {name: _cupy.empty(shape) for name in self._opened().outputs}
            evaluate = self._evaluation(shape)
            with self._own.within(_cupy.current_stream()):
                evaluate({"x_t": x_t, "timesteps": timesteps}, outputs)
        return outputs["eps"], outputs.get("v")

    def _opened(self) -> Network:
        """The open network. Raises EngineError after ``close``."""
        if self._network is None:
            raise EngineError(f"engine {self.name}: used after close")
        return self._network

    def _evaluation(self, shape: tuple[int, ...]) -> Evaluation:
        """The evaluation for a shape; the one that was not used for longest makes room for a new one."""
        if shape not in self._evaluations:
            if len(self._evaluations) == MOST_SHAPES:
                _cuda.finish(self._own.stream)
                self._evaluations.popitem(last=False)[1].close()
            self._evaluations[shape] = Evaluation(self._opened(), shape)
        self._evaluations.move_to_end(shape)
        return self._evaluations[shape]

    def close(self) -> None:
        with self._lock:
            if self._network is None:
                return
            _cuda.finish(self._own.stream)
            self._network.keep()
            for evaluation in self._evaluations.values():
                evaluation.close()
            self._evaluations.clear()
            self._network = None
            self._kept.close()


def _load(
    family: compat.Family, path: Path, manifest: ModelManifest, profile: Profile
) -> tuple[CachedEngine, Any]:
    """An engine file, and the vendor's engine that it becomes; one that becomes none is built again.

    Raises:
        EngineError: it cannot be built or kept, or one just built becomes none.
    """
    gpu = _cuda.gpu()
    targets = (gpu.compute_capability,)
    key = EngineKey.of(family, path, manifest, profile, targets, "" if family.portable else gpu.name)
    while True:
        cached = find_or_build(key, lambda: build_engine(family, path, manifest, profile, targets))
        try:
            return cached, deserialise(family, cached)
        except EngineError as error:
            remove(cached.path)
            if cached.built:
                raise
            _log.warning("%s; it is deleted and built again", error)


def deserialise(family: compat.Family, cached: CachedEngine) -> Any:
    """The vendor's engine of an engine file. Raises EngineError, with what the vendor logged."""
    trt = compat.load(family)
    compat.forget_errors(trt)
    engine = trt.Runtime(compat.logger(trt)).deserialize_cuda_engine(cached.data)
    if engine is None:
        raise EngineError(
            f"engine {family.name}: {family.title} {compat.version(trt)} cannot load engine file "
            f"{cached.path} ({compat.first_error(trt)})"
        )
    return engine
