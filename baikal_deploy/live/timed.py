"""An engine around another one, with a clock for each thread."""

from __future__ import annotations

import time
from threading import local

from baikal_deploy.engines.base import Engine
from baikal_deploy.pixels.arrays import Planes


class TimedEngine(Engine):
    """An engine around another one, which it times: evaluates and downloads as that does.

    Attributes:
        engine: the other one.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.manifest = engine, engine.manifest
        self.precision, self.device = engine.precision, engine.device
        self._clock = local()

    @property
    def seconds(self) -> float:
        """Seconds spent in calls of the engine by this thread."""
        return float(getattr(self._clock, "seconds", 0.0))

    def upload(self, planes: Planes) -> Planes:
        return self.engine.upload(planes)

    def download(self, planes: Planes) -> Planes:
        started = time.perf_counter()  # a device may still be computing until then
        result = self.engine.download(planes)
        self._clock.seconds = self.seconds + time.perf_counter() - started
        return result

    def free_bytes(self) -> int | None:
        return self.engine.free_bytes()

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        started = time.perf_counter()
        result = self.engine.predict(x_t, t)
        self._clock.seconds = self.seconds + time.perf_counter() - started
        return result

    def close(self) -> None:
        self.engine.close()
