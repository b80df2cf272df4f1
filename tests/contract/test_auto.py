"""How the engine "auto" chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.engines import (
    FASTEST,
    FASTEST_IN_INT8,
    engine_class,
    engine_names,
    fastest_engine,
    open_engine,
)
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError, EngineUnavailable
from baikal_deploy.models.manifest import ModelManifest, Precision, Stored, read_manifest
from tests.models import exported

Only = Callable[..., None]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    """Let no engines work here but those that are named."""

    def only(*names: str) -> None:
        for name in engine_names():
            monkeypatch.setattr(engine_class(name), "check", classmethod(check(name in names, name)))

    def check(works: bool, name: str) -> Callable[..., None]:
        def check(cls: Any, precision: Precision = "fp32") -> None:
            if not works:
                raise EngineUnavailable(f"engine {name}: not here", "buy one")

        return check

    return only


def manifest(stored: Stored = "fp32") -> ModelManifest:
    return replace(read_manifest(exported()), precision=stored)


def test_every_engine_that_computes_networks_is_tried() -> None:
    assert sorted(FASTEST) == sorted(set(engine_names()) - {"analytic", "openvino-gpu"})
    assert sorted(FASTEST) == sorted(FASTEST_IN_INT8)


@pytest.mark.parametrize("name", FASTEST)
def test_the_first_that_works_is_taken(name: str, only: Only) -> None:
    faster, slower = FASTEST[: FASTEST.index(name)], FASTEST[FASTEST.index(name) + 1 :]
    only(name, *slower)
    chosen, passed_over = fastest_engine(manifest(), "fp32")
    assert chosen == name
    assert passed_over == {other: f"engine {other}: not here; buy one" for other in faster}


def test_engines_that_do_not_offer_the_precision_are_passed_over(only: Only) -> None:
    only("onnx-cuda", "onnx-cpu", "openvino")
    chosen, passed_over = fastest_engine(manifest(), "bf16")
    assert chosen == "openvino"
    assert passed_over["onnx-cpu"] == (
        "engine onnx-cpu: not in bf16; model tiny, stored in fp32, can be computed there in fp32 "
        "(--precision fp32)"
    )


def test_the_precision_is_part_of_what_has_to_work(monkeypatch: pytest.MonkeyPatch, only: Only) -> None:
    def check(cls: Any, precision: Precision = "fp32") -> None:
        if precision == "bf16":
            raise EngineUnavailable("engine openvino: not in bf16 here", "")

    only()
    monkeypatch.setattr(engine_class("openvino"), "check", classmethod(check))
    assert fastest_engine(manifest(), "fp32")[0] == "openvino"
    with pytest.raises(EngineUnavailable, match="not in bf16 here"):
        fastest_engine(manifest(), "bf16")


@pytest.mark.parametrize(
    ("stored", "chosen"), [("fp32", "onnx-cpu"), ("fp16", "onnx-cpu"), ("int8", "openvino")]
)
def test_on_a_cpu_it_takes_what_measured_fastest(stored: Stored, chosen: str, only: Only) -> None:
    only("onnx-cpu", "openvino")
    assert fastest_engine(manifest(stored), stored)[0] == chosen


def test_all_reasons_are_told_when_none_works(only: Only) -> None:
    only()
    with pytest.raises(EngineUnavailable) as caught:
        fastest_engine(manifest(), "fp32")
    assert all(f"engine {name}: not here" in caught.value.reason for name in FASTEST)
    assert caught.value.fix == "run baikal-doctor"


def test_a_precision_that_no_engine_offers_is_an_option_that_makes_no_sense(only: Only) -> None:
    only(*engine_names())
    with pytest.raises(
        ConfigError, match="model tiny, stored in fp32, in int8; choose --precision fp32, or export it with"
    ):
        fastest_engine(manifest(), "int8")


@pytest.mark.parametrize("name", FASTEST)
def test_a_named_engine_is_never_replaced(name: str, only: Only) -> None:
    only(*(set(engine_names()) - {name}))
    with pytest.raises(EngineUnavailable, match=f"engine {name}: not here"):
        open_engine(name, exported(), manifest(), EngineOptions(1))
    with pytest.raises(EngineUnavailable, match=f"engine {name}: not here"):
        Denoiser.load(exported(), name)


def test_a_denoiser_says_what_was_passed_over() -> None:
    with Denoiser.load(exported(), threads=1) as denoiser:
        chosen, passed_over = fastest_engine(denoiser.manifest, "fp32")
        assert denoiser.predictor.engine.name == chosen
        assert denoiser.passed_over == passed_over
    with Denoiser.load(exported(), "onnx-cpu", threads=1) as denoiser:
        assert not denoiser.passed_over
