"""The parts of a smoke run: what its steps measure, and how what they find is judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.doctor.examine import examine, examine_engine
from baikal_deploy.doctor.smoke import large, quality, smoke, steps
from baikal_deploy.doctor.smoke.bench import Bench, evaluate, relative_error, worst
from baikal_deploy.doctor.smoke.findings import GROWTH_BYTES, problems, read, write
from baikal_deploy.doctor.smoke.measure import measure
from baikal_deploy.doctor.smoke.quality import denoised, nuclei, psnr
from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import ConfigError, EngineError, ShapeOutsideProfile
from baikal_deploy.models.manifest import read_manifest
from baikal_deploy.pixels.arrays import Planes
from tests.fakes import install
from tests.models import exported

GOOD = {
    "engine": "tensorrt",
    "precision": "fp32",
    "state": "ended",
    "exit_code": 0,
    "steps": {
        "agreement": {"relative_error": 3e-6},
        "repeated": {"same_bits": True, "relative_error": 0.0},
        "many calls": {"grown_bytes": 0},
        "denoised": {"lost_db": -0.02},
    },
}


class Wrapped(Engine):
    """A real engine whose outputs a test spoils; no engine on this machine does that by itself."""

    COMPUTES = {}  # noqa: RUF012  # nobody asks
    engine: Engine

    @classmethod
    def around(cls, engine: Engine) -> Wrapped:
        wrapped = cls()
        wrapped.engine, wrapped.manifest, wrapped.precision = engine, engine.manifest, engine.precision
        return wrapped

    @classmethod
    def check(cls, *args: Any) -> None: ...

    @classmethod
    def version(cls) -> str:
        return "wrapped"

    @classmethod
    def open(cls, *args: Any) -> Any: ...

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        return self.engine.predict(x_t, t)


@pytest.fixture
def bench() -> Bench:
    """onnx-cpu against itself."""
    path, options = exported(), EngineOptions(threads=1, batch=2)
    engine, reference = (open_engine("onnx-cpu", path, read_manifest(path), options) for _ in range(2))
    return Bench(path, options, engine, reference)


def spoiled(found: str, **changes: Any) -> dict[str, Any]:
    return GOOD | {"steps": GOOD["steps"] | {found: GOOD["steps"].get(found, {}) | changes}}


def test_engine_that_does_what_it_should_has_no_problems() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (spoiled("agreement", relative_error=2e-3), "agreement: relative error 0.002; at most 0.0001"),
        (spoiled("threads", relative_error=None), "threads: NaN or infinite"),
        (spoiled("repeated", same_bits=False), "not give the same bits"),
        (spoiled("denoised", lost_db=0.3), "0.3 dB worse"),
        (spoiled("many calls", grown_bytes=GROWTH_BYTES + 2**20), "grew by 33 MiB"),
        (spoiled("timing", error="EngineError: out of memory"), "timing: EngineError: out of memory"),
        (GOOD | {"exit_code": -11}, "SIGSEGV; the last step that it finished was: denoised"),
        (GOOD | {"exit_code": 1}, "exit code 1"),
        (GOOD | {"exit_code": 3221225477, "steps": {}}, "exit code 3221225477; the last step that it"),
        (GOOD | {"state": "timed out", "exit_code": -9}, "did not finish in time"),
    ],
)
def test_each_problem_is_a_line(run: dict[str, Any], words: str) -> None:
    (problem,) = problems(run)
    assert words in problem


def test_lower_precision_may_differ_more() -> None:
    run = spoiled("agreement", relative_error=6e-3)
    assert problems(run)
    assert not problems(run | {"precision": "bf16"})


def test_file_is_whole_after_every_write(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    for data in ({"a": 1}, {"a": {"b": [1.5, None]}}):
        write(path, data)
        assert read(path) == data
    with pytest.raises(ValueError, match="JSON compliant"):
        write(path, {"a": float("nan")})
    assert read(path) == data
    with pytest.raises(ConfigError, match="cannot be written"):
        write(tmp_path / "no" / "out.json", {})


def test_relative_error_is_that_of_the_norm() -> None:
    expected = np.full((2, 1, 4, 4), 2, np.float32)
    assert relative_error(expected * 1.5, expected) == pytest.approx(0.5)
    assert relative_error(np.where(expected > 0, np.nan, 0), expected) is None
    with pytest.raises(EngineError, match="shape"):
        relative_error(expected[:1], expected)


def test_worst_error_is_that_of_what_is_not_finite() -> None:
    assert worst([0.1, 0.3, 0.2]) == 0.3
    assert worst([0.1, None, 0.2]) is None


def test_engine_agrees_with_itself(bench: Bench) -> None:
    found = steps.agreement(bench)
    assert found["relative_error"] < 1e-6
    assert len(found["table"]) == len(steps.SHAPES) * len(steps.TIMESTEPS)
    assert {row["t"] for row in found["table"]} >= {0.0, 999.0}


def test_other_network_is_noticed(bench: Bench) -> None:
    """The analytic engine stands for one that computes something else."""
    other = open_engine("analytic", bench.path, bench.engine.manifest)
    assert steps.agreement(replace(bench, engine=other))["relative_error"] > 0.1


def test_v_is_compared_as_well() -> None:
    path = exported("eps", "learned_range")
    with open_engine("onnx-cpu", path, read_manifest(path)) as engine:
        assert evaluate(engine, np.zeros((3, 1, 8, 8), np.float32), 5.0).shape == (6, 1, 8, 8)


def test_engine_that_changes_its_mind_is_noticed(bench: Bench) -> None:
    class Fickle(Wrapped):
        calls = 0

        def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
            self.calls += 1
            return self.engine.predict(x_t, t)[0] * np.float32(1 + 1e-6 * self.calls), None

    assert steps.repeated(bench)["same_bits"]
    assert not steps.repeated(replace(bench, engine=Fickle.around(bench.engine)))["same_bits"]


def test_buffer_that_threads_share_is_noticed(bench: Bench) -> None:
    class Shared(Wrapped):
        buffer: Planes

        def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
            self.buffer = x_t
            eps = self.engine.predict(x_t, t)[0]
            return (eps if self.buffer is x_t else -eps), None

    assert steps.threads(bench)["relative_error"] < 1e-5
    assert steps.threads(replace(bench, engine=Shared.around(bench.engine)))["relative_error"] > 0.1


def test_refusal_of_other_shapes_is_no_error(bench: Bench) -> None:
    class Built(Wrapped):
        def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
            if len(x_t) > bench.options.batch or max(x_t.shape) > bench.options.side:
                raise ShapeOutsideProfile("built for less")
            return self.engine.predict(x_t, t)

    found = steps.beyond(replace(bench, engine=Built.around(bench.engine)))
    assert found == {"refused": ["built for less"] * len(steps.BEYOND), "relative_error": 0.0}
    assert steps.beyond(bench)["refused"] == []


def test_calls_that_leave_memory_behind_are_noticed(bench: Bench) -> None:
    class Leaking(Wrapped):
        left: list[Planes] = []  # noqa: RUF012  # it leaks

        def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
            self.left.append(np.ones(2**17, np.float32))
            return self.engine.predict(x_t, t)

    found = steps.many_calls(replace(bench, engine=Leaking.around(bench.engine)))
    if found["grown_bytes"] is None:
        pytest.skip("this system does not tell the memory of a process")
    assert found["grown_bytes"] > GROWTH_BYTES
    Leaking.left.clear()


def test_engine_is_closed_and_opened_again(bench: Bench) -> None:
    assert steps.reopened(bench)["relative_error"] < 1e-6
    with pytest.raises(EngineError, match="after close"):
        evaluate(bench.engine, bench.planes(steps.SMALL), 1.0)


def test_sides_suit_the_network(bench: Bench) -> None:
    coarse = replace(bench.engine.manifest, downsampling=48)
    bench.engine.manifest = coarse
    assert bench.planes((1, 64, 512)).shape == (1, 1, 96, 528)


def test_noisy_plane_is_noisy() -> None:
    clean, noisy = nuclei()
    assert clean.shape == noisy.shape
    assert psnr(noisy, clean) == pytest.approx(12, abs=0.1)


def test_denoised_planes_are_compared(bench: Bench) -> None:
    """A tiny network with random weights takes noise for something else than the analytic engine does."""
    same = denoised(bench.path, bench.engine, bench.reference, 2)
    assert same["between_db"] is None
    assert same["lost_db"] == 0
    other = open_engine("analytic", bench.path, bench.engine.manifest)
    found = denoised(bench.path, other, bench.reference, 2)
    assert found["between_db"] < 40
    assert found["reference_clean_db"] == same["clean_db"]
    assert found["lost_db"] == found["reference_clean_db"] - found["clean_db"] != 0


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_all_steps_suit_an_engine_whose_planes_are_on_a_gpu(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the fake GPU, which refuses what a real one would garble."""
    path = exported("eps", "learned_range")
    device = install(monkeypatch, tmp_path)
    monkeypatch.setattr(steps, "SHAPES", steps.SHAPES[:2])
    monkeypatch.setattr(steps, "TIMED", [steps.SMALL])
    monkeypatch.setattr(quality, "SIDE", 96)
    monkeypatch.setattr(large, "LARGE", ((1, 128, 128), (2, 64, 64)))
    monkeypatch.setattr(large, "FRAME", 128)
    monkeypatch.setattr(large, "FRAMES", 2)
    found: dict[str, Any] = {}
    measure(name, "fp32", path, found.__setitem__)
    assert list(found) == ["open", *steps.STEPS]
    assert problems(GOOD | {"steps": found}) == []
    assert "NVIDIA" in found["open"]["device"]
    assert len(found["beyond"]["refused"]) == len(steps.BEYOND)
    assert device.calls["build"] == 1  # the second time, it was in the cache
    assert device.misuses == []


def test_step_that_fails_is_told_and_the_next_one_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(bench: Bench) -> dict[str, Any]:
        raise EngineError("out of memory\nreally")

    monkeypatch.setattr(
        "baikal_deploy.doctor.smoke.measure.STEPS", {"bad": failing, "good": lambda bench: {}}
    )
    found: dict[str, Any] = {}
    measure("onnx-cpu", "fp32", exported(), found.__setitem__)
    assert list(found) == ["open", "bad", "good"]
    assert found["bad"]["error"] == "EngineError: out of memory really"
    assert "in failing" in found["bad"]["traceback"]


def test_engine_that_cannot_be_opened_is_told() -> None:
    found: dict[str, Any] = {}
    measure("onnx-cpu", "bf16", exported(), found.__setitem__)
    assert list(found) == ["open"]
    assert "not in bf16" in found["open"]["error"]


def test_model_that_the_reference_cannot_compute_is_refused(tmp_path: Path) -> None:
    engine, examination = examine_engine("analytic"), examine("nuclei")
    bf16 = replace(examination, model=replace(examination.model, precision="bf16"), engines=[engine])
    with pytest.raises(ConfigError, match="engine onnx-cpu: model nuclei, stored in bf16, cannot"):
        smoke(tmp_path / "out.json", "nuclei", bf16, ["analytic"], lambda line: None)


def test_findings_can_be_written(bench: Bench, tmp_path: Path) -> None:
    for step in (steps.agreement, steps.beyond, steps.many_calls):
        write(tmp_path / "out.json", step(bench))
    assert json.loads((tmp_path / "out.json").read_text())["calls"] == steps.MANY
