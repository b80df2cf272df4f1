"""The contract of every engine in the folder, in every precision that it offers: what it computes.

What this machine cannot run is skipped, with its reason, by one test; all others run over the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.engines import engine_class, engine_names, open_engine
from baikal_deploy.engines.base import Engine
from baikal_deploy.errors import EngineError, EngineUnavailable
from baikal_deploy.host import machine
from baikal_deploy.models.manifest import Precision, read_manifest
from tests.contract.cases import (
    CASES,
    MODELS,
    NETWORKS,
    TOLERANCE,
    Case,
    error,
    planes,
    predict,
    refused,
    tolerance,
)
from tests.models import eps_network, exported, tiny_checkpoint


@pytest.fixture(scope="module", params=CASES, ids=str)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with request.param.open() as engine:
        yield engine


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


def test_engines_say_what_they_compute_in_and_with(engine: Engine) -> None:
    assert engine.precision in engine.COMPUTES[engine.manifest.precision]
    assert engine.device
    assert any(character.isdigit() for character in engine.version())


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
