"""The contract of every engine in the folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from baikal_deploy.engines import engine_names, open_engine
from baikal_deploy.engines.base import Engine, EngineOptions, Planes
from baikal_deploy.errors import ConfigError, EngineError, EngineUnavailable, ModelError
from baikal_deploy.manifest import read_manifest
from baikal_deploy.schedule import ScheduleSpec
from tests.models import exported

MODELS = [("velocity", "fixed_small"), ("eps", "learned_range")]
NETWORKS = [name for name in engine_names() if name != "analytic"]
"""Engines that read the model's file; the analytic oracle has none."""


@pytest.fixture(params=MODELS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Path:
    return exported(*request.param)


@pytest.fixture(params=engine_names())
def engine(request: pytest.FixtureRequest, model: Path) -> Iterator[Engine]:
    with opened(request.param, model) as engine:
        yield engine


def opened(name: str, path: Path) -> Engine:
    try:
        return open_engine(name, path, read_manifest(path), EngineOptions(threads=1))
    except EngineUnavailable as error:
        pytest.skip(str(error))


def planes(*shape: int, seed: int = 0) -> Planes:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    "shape", [(1, 1, 4, 4), (1, 1, 8, 12), (2, 1, 64, 4), (3, 1, 20, 16), (7, 1, 12, 36)], ids=str
)
def test_any_batch_and_any_multiple_of_the_downsampling_is_taken(
    engine: Engine, shape: tuple[int, ...]
) -> None:
    eps, v = engine.predict(planes(*shape), 300.0)
    for output in (eps, v):
        if output is not None:
            assert output.shape == shape
            assert output.dtype == np.float32
            assert np.isfinite(output).all()


def test_v_is_returned_only_for_learned_range(engine: Engine) -> None:
    _, v = engine.predict(planes(1, 1, 8, 8), 300.0)
    if engine.manifest.variance != "learned_range":
        assert v is None


@pytest.mark.parametrize("name", NETWORKS)
def test_v_is_the_second_output_of_the_network(name: str) -> None:
    with opened(name, exported("eps", "learned_range")) as engine:
        eps, v = engine.predict(planes(1, 1, 8, 8), 300.0)
    assert v is not None
    assert not np.allclose(eps, v, atol=0.01)


def test_result_does_not_depend_on_the_batch(engine: Engine) -> None:
    x = planes(5, 1, 16, 24)
    together, _ = engine.predict(x, 420.0)
    alone = np.concatenate([engine.predict(x[i : i + 1], 420.0)[0] for i in range(5)])
    reordered, _ = engine.predict(x[::-1], 420.0)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, reordered[::-1], atol=1e-5)


def test_same_call_gives_the_same_bits(engine: Engine) -> None:
    x = planes(2, 1, 16, 16)
    first, _ = engine.predict(x, 77.0)
    engine.predict(planes(1, 1, 32, 8), 5.0)
    np.testing.assert_array_equal(first, engine.predict(x, 77.0)[0])


def test_input_is_left_alone(engine: Engine) -> None:
    x = planes(2, 1, 8, 8)
    before = x.copy()
    engine.predict(x, 77.0)
    np.testing.assert_array_equal(x, before)


def test_views_are_taken_as_what_they_show(engine: Engine) -> None:
    wide = planes(2, 1, 16, 32)
    for view in (wide[..., ::2], wide[..., 4:20], wide.swapaxes(2, 3)):
        expected, _ = engine.predict(view.copy(), 300.0)
        np.testing.assert_allclose(engine.predict(view, 300.0)[0], expected, atol=1e-6)


@pytest.mark.parametrize("t", [0.0, 250.0, 998.0])
def test_fractional_timesteps_continue_whole_ones(engine: Engine, t: float) -> None:
    x = planes(1, 1, 16, 16)
    here, near, halfway, following = (engine.predict(x, t + step)[0] for step in (0, 1e-3, 0.5, 1))
    np.testing.assert_allclose(near, here, atol=2e-3)
    assert np.abs(halfway - here).max() > 1e-5
    assert np.abs(halfway - following).max() > 1e-5


@pytest.mark.parametrize("shape", [(1, 1, 6, 8), (1, 1, 8, 7), (2, 1, 5, 5), (1, 1, 2, 4)], ids=str)
def test_odd_sizes_are_refused_with_what_is_needed(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError) as caught:
        engine.predict(planes(*shape), 10.0)
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
        engine.predict(x, 10.0)
    assert str(x.dtype) in str(caught.value)


@pytest.mark.parametrize("name", engine_names())
def test_is_a_context_manager_and_may_be_closed_twice(name: str) -> None:
    engine = opened(name, exported())
    with engine as entered:
        assert entered is engine
    engine.close()


@pytest.mark.parametrize("name", NETWORKS)
def test_use_after_close_is_an_error(name: str) -> None:
    with opened(name, exported()) as engine:
        engine.predict(planes(1, 1, 4, 4), 1.0)
    with pytest.raises(EngineError, match="used after close"):
        engine.predict(planes(1, 1, 4, 4), 1.0)


@pytest.mark.parametrize("name", engine_names())
def test_two_engines_live_side_by_side(name: str) -> None:
    x = planes(2, 1, 16, 16)
    with opened(name, exported("velocity")) as first:
        before, _ = first.predict(x, 300.0)
        path = exported("eps", "learned_range")
        cosine = replace(read_manifest(path), schedule=ScheduleSpec("cosine"))
        with open_engine(name, path, cosine, EngineOptions(threads=1)) as second:
            other, _ = second.predict(x, 300.0)
            np.testing.assert_array_equal(first.predict(x, 300.0)[0], before)
            first.close()
            np.testing.assert_array_equal(second.predict(x, 300.0)[0], other)
    assert np.abs(before - other).max() > 0.01


def test_several_threads_may_call_one_engine(engine: Engine) -> None:
    calls = [(planes(1 + i % 3, 1, 16, 8 + 4 * (i % 4), seed=i), 30.0 * i) for i in range(24)]
    expected = [engine.predict(*call)[0] for call in calls]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda call: engine.predict(*call)[0], calls))
    for eps, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(eps, wanted, atol=1e-6)


def test_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown engine 'abacus'") as caught:
        open_engine("abacus", exported(), read_manifest(exported()))
    assert all(name in str(caught.value) for name in engine_names())


def test_missing_onnxruntime_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(exported())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'baikal-deploy\[cpu\]'"):
        open_engine("onnx-cpu", exported(), manifest)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "random"])
def test_damaged_model_file_is_named(name: str, damage: str, tmp_path: Path) -> None:
    whole, path = exported().read_bytes(), tmp_path / "damaged.onnx"
    contents = {"empty": b"", "truncated": whole[: len(whole) // 2], "random": planes(1000).tobytes()}
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(ModelError) as caught:
        open_engine(name, path, read_manifest(exported()))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_graph_of_another_contract_fails_as_an_engine_error(name: str, tmp_path: Path) -> None:
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Neg", ["image"], ["result"])
    graph = onnx.helper.make_graph([node], "foreign", [image], [result])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "foreign.onnx")
    manifest = read_manifest(exported())
    with (
        open_engine(name, tmp_path / "foreign.onnx", manifest) as engine,
        pytest.raises(EngineError, match="evaluation failed"),
    ):
        engine.predict(planes(1, 1, 4, 4), 1.0)


@pytest.mark.parametrize("t", [0, 40, 700, 999])
def test_analytic_eps_is_that_of_the_bayes_estimate(t: int) -> None:
    """E[x_0 | x_t] of a Gaussian pixel is the precision-weighted mean of prior and observation."""
    mean, std = -0.5, 0.5
    level = read_manifest(exported()).schedule.build().alphas_cumprod[t]
    x = planes(1, 1, 8, 8)
    observed, precision = x / np.sqrt(level), level / (1 - level)
    x0 = (observed * precision + mean / std**2) / (precision + 1 / std**2)
    with opened("analytic", exported()) as engine:
        eps, _ = engine.predict(x, float(t))
    np.testing.assert_allclose(eps, (x - np.sqrt(level) * x0) / np.sqrt(1 - level), rtol=1e-4, atol=1e-5)
