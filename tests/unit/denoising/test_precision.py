"""The engine and the precision that are taken where they are left to choose."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.precision import AUTO_PRECISION, MOST_LOSS, Taken, take
from baikal_deploy.diffusion.samplers import sampler_class, sampler_names
from baikal_deploy.engines import FASTEST, FASTEST_PAIRS, engine_class, engine_names
from baikal_deploy.errors import ConfigError, EngineUnavailable
from baikal_deploy.models.losses import Loss, LossAtLevel
from baikal_deploy.models.manifest import Precision, read_manifest, shipped_models
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.models.record import ModelRecord
from tests.made_up_bf16 import bf16_everywhere

Here = Callable[..., None]
SHIPPED = shipped_models()["nuclei"]
MANIFEST = read_manifest(SHIPPED)


def losses(**lost: float) -> ModelRecord:
    """A record of a model, with what precisions lose, in dB."""
    return ModelRecord(
        "0" * 64,
        losses=tuple(
            Loss(precision, "some", "1", "a CPU", "auto", 4, "made up",  # type: ignore[arg-type]
                 (LossAtLevel(0.1, 30, 0.0, 0, 0), LossAtLevel(0.3, 25, -loss, -2 * loss, 0)))
            for precision, loss in lost.items()
        ),
    )  # fmt: skip


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Let no engines compute here but those that are named, each in the precisions that it is given."""

    def here(**engines: str) -> None:
        for name in engine_names():
            allowed = engines.get(name.replace("-", "_"), "").split()
            monkeypatch.setattr(engine_class(name), "check", classmethod(check(name, allowed)))

    def check(name: str, allowed: list[str]) -> Callable[..., None]:
        def check(cls: Any, precision: Precision = "fp32") -> None:
            if precision not in allowed:
                raise EngineUnavailable(f"engine {name}: no {precision} here", "buy some")

        return check

    return here


CPU = {"onnx_cpu": "fp32 int8", "openvino": "fp32 bf16 int8"}


def test_a_precision_that_loses_little_is_taken(here: Here) -> None:
    here(**CPU)
    taken = take(MANIFEST, losses(bf16=0.02), "auto", AUTO_PRECISION)
    assert (taken.engine, taken.precision) == ("openvino", "bf16")
    assert taken.reason == "loses at most 0.020 dB for this model"
    assert set(taken.passed_over) == {"tensorrt", "tensorrt-rtx", "onnx-tensorrt", "onnx-cuda"}
    gained = take(MANIFEST, losses(bf16=-0.01), "auto", AUTO_PRECISION)
    assert gained.reason == "loses at most 0.000 dB for this model"


@pytest.mark.parametrize(
    ("record", "few", "reason"),
    [
        (losses(bf16=0.021), True, "bf16 loses 0.021 dB for this model"),
        (losses(fp32=0), True, "what bf16 loses is not in the model's record"),
        (losses(), True, "there is no record of what others lose for this model"),
        (losses(bf16=0), False, "the sampler evaluates the network many times"),
    ],
)
def test_fp32_is_taken_with_a_reason(here: Here, record: ModelRecord, few: bool, reason: str) -> None:
    here(**CPU)
    taken = take(MANIFEST, record, "auto", AUTO_PRECISION, few=few)
    assert (taken.engine, taken.precision, taken.reason) == ("onnx-cpu", "fp32", reason)


def test_the_worst_engine_of_the_record_counts() -> None:
    good, bad = losses(bf16=0.0), losses(bf16=0.5)
    assert ModelRecord("", losses=good.losses + bad.losses).loss("bf16") == 0.5
    assert good.loss("int8") is None


def test_a_machine_without_bf16_stays_at_fp32_and_says_why(here: Here) -> None:
    here(onnx_cpu="fp32", openvino="fp32")
    taken = take(MANIFEST, losses(bf16=0), "auto", AUTO_PRECISION)
    assert (taken.engine, taken.precision, taken.reason) == ("onnx-cpu", "fp32", "no bf16 here")
    assert set(taken.passed_over) == {"tensorrt", "tensorrt-rtx", "onnx-tensorrt", "onnx-cuda"}


def test_a_named_engine_is_kept(here: Here) -> None:
    here(**CPU)
    record = losses(bf16=0)
    assert take(MANIFEST, record, "onnx-cpu", AUTO_PRECISION) == Taken("onnx-cpu", "fp32")
    assert take(MANIFEST, record, "openvino", AUTO_PRECISION).precision == "bf16"
    assert take(MANIFEST, record, "analytic", AUTO_PRECISION) == Taken("analytic", "fp32")
    here(onnx_cpu="fp32")
    assert take(MANIFEST, record, "openvino", AUTO_PRECISION) == Taken("openvino", "fp32")  # opening it fails


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_by_name_is_what_it_says(here: Here, precision: Precision) -> None:
    here(**CPU)
    taken = take(MANIFEST, losses(bf16=9), "auto", precision)
    assert (taken.precision, taken.reason) == (precision, "")


def test_a_gpu_comes_first(here: Here) -> None:
    here(**CPU, onnx_cuda="fp32 fp16")
    taken = take(MANIFEST, losses(bf16=0), "auto", AUTO_PRECISION)
    assert (taken.engine, taken.precision) == ("onnx-cuda", "fp32")
    here(**CPU, onnx_cuda="fp32 tf32")
    assert (
        take(MANIFEST, losses(tf32=0.3), "auto", AUTO_PRECISION).reason
        == "tf32 loses 0.300 dB for this model"
    )
    assert take(MANIFEST, losses(tf32=0.001), "auto", AUTO_PRECISION).precision == "tf32"
    here(**CPU, onnx_cuda="fp32 fp16")
    halves = replace(MANIFEST, precision="fp16")
    assert take(halves, losses(fp16=0), "auto", AUTO_PRECISION).precision == "fp16"


def test_int8_joins_if_its_record_allows(here: Here) -> None:
    here(**CPU)
    stored = replace(MANIFEST, precision="int8")
    assert take(stored, losses(int8=0.02), "auto", AUTO_PRECISION).engine == "openvino"
    with pytest.raises(ConfigError, match="stored in int8, in fp32; choose --precision int8"):
        take(stored, losses(int8=0.03), "auto", AUTO_PRECISION)


def test_where_nothing_works_all_reasons_are_told(here: Here) -> None:
    here()
    with pytest.raises(EngineUnavailable, match="none computes model nuclei in fp32 here"):
        take(MANIFEST, losses(bf16=0), "auto", AUTO_PRECISION)


def test_every_engine_and_all_that_it_computes_is_tried() -> None:
    for name in FASTEST:
        offered = {one for own in engine_class(name).COMPUTES.values() for one in own}
        assert offered <= {precision for other, precision in FASTEST_PAIRS if other == name}


def test_shipped_models_that_may_be_computed_in_bf16() -> None:
    """``general`` and ``membranes`` lose 0.025 dB at the lowest level of their records (docs/export.md)."""
    losses = {
        name: ModelRecord.beside(path, file_sha256(path)).loss("bf16")
        for name, path in shipped_models().items()
    }
    assert all(loss is not None and loss >= 0 for loss in losses.values())
    allowed = {name for name, loss in losses.items() if loss is not None and loss <= MOST_LOSS}
    assert allowed == {"nuclei", "tribolium"}


def test_samplers_of_few_evaluations_are_those_of_the_record() -> None:
    few = {name for name in sampler_names() if sampler_class(name).FEW_EVALUATIONS}
    assert few == {"auto", "matched"}


def test_denoise_computes_samplers_of_many_evaluations_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = bf16_everywhere(monkeypatch)
    plane = np.random.default_rng(0).poisson(30, (32, 32)).astype(np.uint16)
    with Denoiser.load("nuclei") as denoiser:
        assert (denoiser.predictor.engine.name, denoiser.predictor.engine.precision) == ("openvino", "bf16")
        denoiser.denoise(plane, "matched")
        assert opened == ["openvino bf16"]
        for _ in range(2):
            denoiser.denoise(plane, "repaint", steps="walk2", repeats=1)
        assert opened == ["openvino bf16", "onnx-cpu fp32"]
    with Denoiser.load("nuclei", sampler="repaint") as denoiser:
        assert denoiser.predictor.engine.precision == "fp32"
    with Denoiser.load("nuclei", precision="bf16") as denoiser:
        assert math.isclose(
            denoiser.denoise(plane, "repaint", steps="walk2", repeats=1).mean(), 30, rel_tol=1
        )
        assert opened[-1] == "openvino bf16"
