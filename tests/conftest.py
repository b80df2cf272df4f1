"""Fixtures for all tests."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.live.timed import TimedEngine
from baikal_deploy.pixels.arrays import Planes
from baikal_deploy.volumes.base import Axis, VolumeInfo
from tests.gate import Gate

MakeInfo = Callable[..., VolumeInfo]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # As a shell leaves it in the background; the commands that are interrupted here would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A test of a window may leave a Qt application; its loop does not run, and pymmcore-plus' events would wait.
os.environ["PYMM_SIGNALS_BACKEND"] = "psygnal"


@pytest.fixture(autouse=True)
def root_level() -> None:
    """The root logger's level as Python has it: importing pymmcore-plus sets it to DEBUG for everybody."""
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real volumes of other programs; they lie beside the project, not in it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the sample data is not here: {folder}")
    return folder


@pytest.fixture
def make_info(tmp_path: Path) -> MakeInfo:
    """A VolumeInfo from axis names, a shape, and what else matters to the test."""

    def make(names: str, shape: tuple[int, ...], dtype: Any = "u2", **more: Any) -> VolumeInfo:
        values: dict[str, Any] = {"scale": (1.0,) * len(shape), "translation": (0.0,) * len(shape)}
        values.update(more)
        path = values.pop("path", tmp_path / "in.zarr")
        return VolumeInfo(path, tuple(Axis(name) for name in names), shape, np.dtype(dtype), **values)

    return make


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, predict = Gate(), TimedEngine._predict

    def gated(engine: TimedEngine, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        gate()
        return predict(engine, x_t, t)

    monkeypatch.setattr(TimedEngine, "_predict", gated)
    yield gate
    gate.open_for_all()
