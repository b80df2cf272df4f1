"""Engines, precisions and models that the contract holds for, as far as this machine can run them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.engines import engine_class, engine_names, open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineUnavailable
from baikal_deploy.host import machine
from baikal_deploy.models.manifest import Precision, Stored, read_manifest
from baikal_deploy.pixels.arrays import Planes
from baikal_training.losses import Prediction
from tests.contract.stored import stored

MODELS: list[tuple[Prediction, Variance]] = [("velocity", "fixed_small"), ("eps", "learned_range")]
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 2e-2, "int8": 8e-2}
"""Largest relative error (L2) of what was stored or computed in a precision."""
OPTIONS = EngineOptions(threads=1, batch=7, side=64)
"""Engines that are built for a range of shapes take those of these tests."""


@dataclass(frozen=True)
class Case:
    """An engine, how the model is stored, what it is computed in, and the model."""

    engine: str
    stored: Stored
    precision: Precision
    model: tuple[Prediction, Variance]

    def __str__(self) -> str:
        return "-".join([self.engine, self.stored, self.precision, *self.model])

    @property
    def path(self) -> Path:
        return stored(self.stored, *self.model)

    def open(self, threads: int = 1) -> Engine:
        return open_engine(self.engine, self.path, read_manifest(self.path), self.options(threads))

    def options(self, threads: int = 1) -> EngineOptions:
        return replace(OPTIONS, threads=threads, precision=self.precision)


def works(name: str, precision: Precision) -> bool:
    try:
        engine_class(name).check(precision)
    except EngineUnavailable:
        return False
    return True


def cases() -> Iterator[Case]:
    """All that this machine can run; the model without v only as it is stored by default."""
    for name in engine_names():
        for kind, offered in engine_class(name).COMPUTES.items():
            if name == "analytic" and kind != "fp32":
                continue  # it does not read the file
            for precision in offered:
                if works(name, precision):
                    models = MODELS if kind == "fp32" else MODELS[1:]
                    yield from (Case(name, kind, precision, model) for model in models)


CASES = list(cases())
NETWORKS = [case for case in CASES if case.engine != "analytic"]
"""Engines that read the model's file; the analytic oracle does not."""
FIRST = list({(case.engine, case.precision): case for case in NETWORKS}.values())
"""One for each engine and precision."""
LOADERS = sorted({case.engine for case in NETWORKS})


def planes(*shape: int, seed: int = 0) -> Planes:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def predict(engine: Engine, x: Planes, t: float) -> tuple[Planes, Planes | None]:
    """One evaluation of NumPy planes, by way of the engine's device."""
    eps, v = engine.predict(engine.upload(x), t)
    return engine.download(eps), None if v is None else engine.download(v)


def refused(engine: Engine, shape: tuple[int, ...]) -> bool:
    """Whether OpenVINO would compute the planes wrongly: narrow ones by AMX (docs/engines.md)."""
    features = machine.cpu().features
    amx = features is None or features["AMX"]
    return amx and engine.name == "openvino" and engine.precision != "fp32" and shape[3] < 8


def tolerance(engine: Engine) -> float:
    return max(TOLERANCE[engine.precision], TOLERANCE[engine.manifest.precision])


def error(found: Planes | None, expected: Planes | None) -> float:
    assert found is not None
    assert expected is not None
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
