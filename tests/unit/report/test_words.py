"""Words of the plan and the report."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from baikal_deploy.host import machine
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.report import words


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the NVIDIA driver knows, to be filled."""
    there: list[Any] = []
    monkeypatch.setattr(machine, "nvidia_gpus", lambda: (there, ""))
    words._nvidia.cache_clear()
    yield there
    words._nvidia.cache_clear()


def test_counts_have_their_noun() -> None:
    told = [words.counted(1, "plane"), words.counted(2, "plane"), words.counted(0, "pass", "passes")]
    assert told == ["1 plane", "2 planes", "0 passes"]


def test_engines_for_nvidia_are_no_news_without_a_gpu(gpus: list[Any]) -> None:
    assert words.describe_passed_over({"tensorrt": "no GPU"}) == "the fastest here"


def test_engines_for_nvidia_are_named_with_one(gpus: list[Any]) -> None:
    gpus.append(machine.Gpu("H200", "580", None, None))
    told = words.describe_passed_over({"tensorrt": "old driver", "onnx-cuda": "not there"})
    assert told == "the fastest here (baikal-doctor says why not tensorrt, onnx-cuda)"


@pytest.mark.parametrize(
    ("noise", "told"),
    [
        (
            NoiseModel(gain=4.0, intercept=-300.0, floor=1.0, level=20.0),
            "noise of 10 grey values in dark parts to 30 in bright ones (a photon counts for about 4), "
            "independent between pixels",
        ),
        (
            NoiseModel(gain=0.0, intercept=49.0, floor=1.0, level=7.0),
            "noise of 7 grey values everywhere, independent between pixels",
        ),
    ],
)
def test_noise_in_grey_values_and_photons(noise: NoiseModel, told: str) -> None:
    measurement = SimpleNamespace(noise=noise, intensity=SimpleNamespace(low=100.0, high=300.0))
    assert words.describe_noise(cast(Measurement, measurement)) == told
