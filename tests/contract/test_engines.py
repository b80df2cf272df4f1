"""The contract of every engine in the folder, in every precision that it offers.

What this machine cannot run is skipped, with its reason, by one test; all others run over the rest.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch

from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.engines import engine_class, engine_names, open_engine
from baikal_deploy.engines._tensorrt.runtime import TensorRtEngine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import ConfigError, EngineBuildError, EngineError, EngineUnavailable, ModelError
from baikal_deploy.host import machine
from baikal_deploy.models.manifest import Precision, read_manifest
from baikal_deploy.pixels.arrays import Planes
from baikal_training.losses import Prediction
from tests.contract.stored import stored
from tests.models import eps_network, exported, tiny_checkpoint

MODELS: list[tuple[Prediction, Variance]] = [("velocity", "fixed_small"), ("eps", "learned_range")]
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 2e-2, "int8": 8e-2}
"""Largest relative error (L2) of what was stored or computed in a precision."""
OPTIONS = EngineOptions(threads=1, batch=7, side=64)
"""Engines that are built for a range of shapes take those of these tests."""
MOST_GROWTH = 4 << 20
"""Bytes that the process may grow by in 2,000 calls, whose results have twice as many."""


@dataclass(frozen=True)
class Case:
    """An engine, how the model is stored, what it is computed in, and the model."""

    engine: str
    stored: Precision
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


@pytest.fixture(scope="module", params=CASES, ids=str)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with request.param.open() as engine:
        yield engine


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


@functools.cache
def torch_network(variance: Variance) -> torch.nn.Module:
    return eps_network(tiny_checkpoint(*next(model for model in MODELS if model[1] == variance)))


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        (name, precision)
        for name in engine_names()
        for precision in dict.fromkeys(p for offered in engine_class(name).COMPUTES.values() for p in offered)
    ],
)
def test_every_engine_runs_here_or_says_what_is_missing(name: str, precision: Precision) -> None:
    if any((case.engine, case.precision) == (name, precision) for case in CASES):
        return
    with pytest.raises(EngineUnavailable, match=f"^engine {name}: ") as caught:
        engine_class(name).check(precision)
    assert caught.value.fix
    pytest.skip(str(caught.value))


def test_engines_of_the_development_environment_are_not_skipped() -> None:
    ran = {(case.engine, case.stored, case.precision) for case in CASES}
    assert {("onnx-cpu", "fp32", "fp32"), ("onnx-cpu", "fp16", "fp16"), ("onnx-cpu", "int8", "int8")} <= ran
    assert {("openvino", "fp32", "fp32"), ("openvino", "fp16", "fp32"), ("openvino", "int8", "int8")} <= ran
    features = machine.cpu().features
    if features is None:
        pytest.skip("what this CPU has cannot be told without OpenVINO")
    assert (("openvino", "fp32", "bf16") in ran) is features["BF16"]
    assert (("openvino", "bf16", "bf16") in ran) is features["BF16"]


@pytest.mark.parametrize("t", [17.0, 300.0, 905.5])
def test_results_are_those_of_torch(engine: Engine, t: float) -> None:
    if engine.name == "analytic":
        pytest.skip("the oracle has no network")
    x = planes(2, 1, 32, 24)
    with torch.no_grad():
        expected = torch_network(engine.manifest.variance)(torch.from_numpy(x), torch.full((2,), t))
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = [one for one in predict(engine, x, t) if one is not None]
    for got, wanted in zip(found, expected, strict=True):
        assert error(got, wanted.numpy()) < tolerance(engine)


@pytest.mark.parametrize(
    "shape", [(1, 1, 4, 4), (1, 1, 8, 12), (2, 1, 64, 4), (3, 1, 20, 16), (7, 1, 12, 36)], ids=str
)
def test_any_batch_and_any_multiple_of_the_downsampling_is_taken(
    engine: Engine, shape: tuple[int, ...]
) -> None:
    if refused(engine, shape):
        with pytest.raises(EngineError, match=r"pixels wide wrongly .* on CPUs with AMX"):
            predict(engine, planes(*shape), 300.0)
        return
    eps, v = predict(engine, planes(*shape), 300.0)
    for output in (eps, v):
        if output is not None:
            assert output.shape == shape
            assert output.dtype == np.float32
            assert np.isfinite(output).all()


def test_v_is_returned_only_for_learned_range(engine: Engine) -> None:
    _, v = predict(engine, planes(1, 1, 8, 8), 300.0)
    if engine.manifest.variance != "learned_range":
        assert v is None


@pytest.mark.parametrize("case", [case for case in NETWORKS if case.model == MODELS[1]], ids=str)
def test_v_is_the_second_output_of_the_network(case: Case) -> None:
    with case.open() as engine:
        eps, v = predict(engine, planes(1, 1, 8, 8), 300.0)
    assert error(v, eps) > 0.1


def test_result_does_not_depend_on_the_batch(engine: Engine) -> None:
    x = planes(5, 1, 16, 24)
    together, _ = predict(engine, x, 420.0)
    alone = np.concatenate([predict(engine, x[i : i + 1], 420.0)[0] for i in range(5)])
    reordered, _ = predict(engine, x[::-1], 420.0)
    assert error(together, alone) < TOLERANCE[engine.precision]
    assert error(together, reordered[::-1]) < TOLERANCE[engine.precision]


def test_same_call_gives_the_same_bits(engine: Engine) -> None:
    x = planes(2, 1, 16, 16)
    first, _ = predict(engine, x, 77.0)
    predict(engine, planes(1, 1, 32, 8), 5.0)
    np.testing.assert_array_equal(first, predict(engine, x, 77.0)[0])


def test_a_result_is_not_written_to_by_later_calls(engine: Engine) -> None:
    results = [predict(engine, planes(1, 1, 16, 16, seed=seed), 300.0) for seed in range(3)]
    copies = [eps.copy() for eps, _ in results]
    predict(engine, planes(1, 1, 16, 16, seed=3), 300.0)
    for (eps, v), copy in zip(results, copies, strict=True):
        np.testing.assert_array_equal(eps, copy)
        assert v is None or not np.shares_memory(eps, v)
    assert error(copies[0], copies[1]) > 0.1


def test_input_is_left_alone(engine: Engine) -> None:
    x = planes(2, 1, 8, 8)
    before = x.copy()
    predict(engine, x, 77.0)
    np.testing.assert_array_equal(x, before)


def test_views_are_taken_as_what_they_show(engine: Engine) -> None:
    wide = planes(2, 1, 16, 32)
    for view in (wide[..., ::2], wide[..., 4:20], wide.swapaxes(2, 3)):
        expected, _ = predict(engine, view.copy(), 300.0)
        assert error(predict(engine, view, 300.0)[0], expected) < 1e-6


def test_planes_go_to_the_device_and_back(engine: Engine) -> None:
    x = planes(2, 1, 8, 12)
    there = engine.upload(x)
    np.testing.assert_array_equal(engine.download(there), x)
    eps = engine.download(engine.predict(there, 300.0)[0])
    assert isinstance(eps, np.ndarray)
    assert eps.shape == x.shape


@pytest.mark.parametrize("t", [0.0, 250.0, 998.0])
def test_fractional_timesteps_continue_whole_ones(engine: Engine, t: float) -> None:
    x = planes(1, 1, 16, 16)
    here, near, halfway, following = (predict(engine, x, t + step)[0] for step in (0, 1e-3, 0.5, 1))
    assert error(near, here) < max(2e-3, tolerance(engine))
    assert np.abs(halfway - here).max() > 1e-5
    assert np.abs(halfway - following).max() > 1e-5


@pytest.mark.parametrize("shape", [(1, 1, 6, 8), (1, 1, 8, 7), (2, 1, 5, 5), (1, 1, 2, 4)], ids=str)
def test_odd_sizes_are_refused_with_what_is_needed(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError) as caught:
        predict(engine, planes(*shape), 10.0)
    message = str(caught.value)
    assert str(shape) in message
    assert "float32 (N, 1, H, W) with H and W multiples of 4" in message


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 1, 8, 8)),
        np.zeros((1, 1, 8, 8), np.float16),
        np.zeros((1, 1, 8, 8), np.uint16),
        np.zeros((1, 8, 8), np.float32),
        np.zeros((1, 2, 8, 8), np.float32),
        np.zeros((0, 1, 8, 8), np.float32),
        np.zeros((1, 1, 0, 8), np.float32),
    ],
    ids=lambda x: f"{x.dtype}-{x.shape}",
)
def test_other_dtypes_and_dimensions_are_refused(engine: Engine, x: np.ndarray) -> None:
    with pytest.raises(EngineError, match=r"needed are float32 \(N, 1, H, W\)") as caught:
        predict(engine, x, 10.0)
    assert str(x.dtype) in str(caught.value)


def test_several_threads_may_call_one_engine(engine: Engine) -> None:
    calls = [(planes(1 + i % 3, 1, 16, 16, seed=i), 30.0 * i) for i in range(24)]
    expected = [predict(engine, *call)[0] for call in calls]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda call: predict(engine, *call)[0], calls))
    for eps, wanted in zip(found, expected, strict=True):
        assert error(eps, wanted) < 1e-6


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_results_do_not_depend_on_the_number_of_threads(case: Case) -> None:
    x = planes(1, 1, 64, 64)
    with case.open(threads=1) as one, case.open(threads=2) as two:
        assert error(predict(two, x, 300.0)[0], predict(one, x, 300.0)[0]) < TOLERANCE[case.precision]


@pytest.mark.skipif(machine.resident_bytes() is None, reason="this system does not tell")
@pytest.mark.parametrize("case", FIRST, ids=str)
def test_memory_does_not_grow_over_2000_calls(case: Case) -> None:
    x = planes(1, 1, 32, 32)
    with case.open() as engine:
        for _ in range(200):
            predict(engine, x, 300.0)
        before = machine.resident_bytes() or 0
        for _ in range(2000):
            predict(engine, x, 300.0)
        after = machine.resident_bytes() or 0
    assert after - before < MOST_GROWTH


@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_a_context_manager_and_may_be_closed_twice(case: Case) -> None:
    engine = case.open()
    with engine as entered:
        assert entered is engine
    engine.close()


@pytest.mark.parametrize("case", NETWORKS, ids=str)
def test_use_after_close_is_an_error(case: Case) -> None:
    with case.open() as engine:
        predict(engine, planes(1, 1, 4, 4), 1.0)
    with pytest.raises(EngineError, match=f"engine {case.engine}: used after close"):
        predict(engine, planes(1, 1, 4, 4), 1.0)


@pytest.mark.parametrize("case", [case for case in CASES if case.model == MODELS[0]], ids=str)
def test_two_engines_live_side_by_side(case: Case) -> None:
    x = planes(2, 1, 16, 16)
    other_case = replace(case, model=MODELS[1])
    cosine = replace(read_manifest(other_case.path), schedule=ScheduleSpec("cosine"))
    with (
        case.open() as first,
        open_engine(case.engine, other_case.path, cosine, case.options()) as second,
    ):
        before, other = predict(first, x, 300.0)[0], predict(second, x, 300.0)[0]
        np.testing.assert_array_equal(predict(first, x, 300.0)[0], before)
        first.close()
        np.testing.assert_array_equal(predict(second, x, 300.0)[0], other)
    assert error(other, before) > 0.01


def test_engines_say_what_they_compute_in_and_with(engine: Engine) -> None:
    assert engine.precision in engine.COMPUTES[engine.manifest.precision]
    assert engine.device
    assert any(character.isdigit() for character in engine.version())


@pytest.mark.parametrize("name", engine_names())
def test_a_precision_that_an_engine_does_not_offer_is_refused_with_those_it_does(name: str) -> None:
    for kind in get_args(Precision):
        manifest = replace(read_manifest(exported()), precision=kind)
        offered = engine_class(name).COMPUTES.get(kind, ())
        for precision in set(get_args(Precision)) - set(offered):
            with pytest.raises(ConfigError) as caught:
                open_engine(name, exported(), manifest, EngineOptions(precision=precision))
            message = str(caught.value)
            assert f"engine {name}: " in message
            assert f"stored in {kind}" in message
            assert all(one in message for one in offered)


def test_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown engine 'abacus'") as caught:
        open_engine("abacus", exported(), read_manifest(exported()))
    assert all(name in str(caught.value) for name in engine_names())


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("onnx-cpu", "onnxruntime", "cpu"), ("openvino", "openvino", "openvino")]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(exported())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineUnavailable, match=f"engine {name}: .* is not installed") as caught:
        open_engine(name, exported(), manifest)
    assert caught.value.fix == f"pip install 'baikal-deploy[{extra}]'"


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "random"])
def test_damaged_model_file_is_named(
    name: str, damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, path = exported().read_bytes(), tmp_path / "damaged.onnx"
    contents = {"empty": b"", "truncated": whole[: len(whole) // 2], "random": planes(1000).tobytes()}
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(ModelError) as caught:
        open_engine(name, path, read_manifest(exported()))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("name", LOADERS)
def test_graph_of_another_contract_fails_as_an_engine_error(name: str, tmp_path: Path) -> None:
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Neg", ["image"], ["result"])
    graph = onnx.helper.make_graph([node], "foreign", [image], [result])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "foreign.onnx")
    manifest, path = read_manifest(exported()), tmp_path / "foreign.onnx"
    if issubclass(engine_class(name), TensorRtEngine):  # it looks at the graph before it builds anything
        with pytest.raises(EngineBuildError, match="its inputs are image, not x_t, timesteps") as caught:
            open_engine(name, path, manifest)
    else:
        with (
            open_engine(name, path, manifest) as engine,
            pytest.raises(EngineError, match="evaluation failed") as caught,
        ):
            predict(engine, planes(1, 1, 4, 4), 1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("t", [0, 40, 700, 999])
def test_analytic_eps_is_that_of_the_bayes_estimate(t: int) -> None:
    """E[x_0 | x_t] of a Gaussian pixel is the precision-weighted mean of prior and observation."""
    mean, std = -0.5, 0.5
    level = read_manifest(exported()).schedule.build().alphas_cumprod[t]
    x = planes(1, 1, 8, 8)
    observed, precision = x / np.sqrt(level), level / (1 - level)
    x0 = (observed * precision + mean / std**2) / (precision + 1 / std**2)
    with open_engine("analytic", exported(), read_manifest(exported())) as engine:
        eps, _ = predict(engine, x, float(t))
    np.testing.assert_allclose(eps, (x - np.sqrt(level) * x0) / np.sqrt(1 - level), rtol=1e-4, atol=1e-5)
