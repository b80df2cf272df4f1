"""Frames that are fused with those before them, as they come."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import ConfigError
from baikal_deploy.live.denoiser import LiveDenoiser
from baikal_deploy.live.settling import FRAMES
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.gate import WAIT

LATER = 10


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A scene that stays, seen in 18 frames: (18, 64, 80) uint16."""
    scene = np.repeat(simulate_nuclei((1, 64, 80), seed=5), FRAMES + LATER, axis=0)
    return Camera().expose(scene, seed=5)


def settled(frames: np.ndarray, **options: Any) -> LiveDenoiser:
    """A live denoiser that has seen enough of a stream."""
    denoiser = LiveDenoiser(engine="analytic", queue=64, **options)
    for frame in frames[:FRAMES]:
        denoiser.submit(frame).result(WAIT)
    deadline = time.monotonic() + WAIT
    while not denoiser.statistics.settled and time.monotonic() < deadline:
        denoiser.submit(frames[0]).result(WAIT)
        time.sleep(0.05)
    assert denoiser.statistics.settled
    return denoiser


def later(frames: np.ndarray, denoiser: LiveDenoiser) -> np.ndarray:
    return np.stack([denoiser.submit(frame).result(WAIT).image for frame in frames]).astype(float)


def test_what_stays_flickers_less_and_what_comes_is_there_at_once(frames: np.ndarray) -> None:
    with settled(frames) as denoiser:
        plain = later(frames[FRAMES:], denoiser)
        other = later(frames[:1, ::-1, ::-1], denoiser)
    with settled(frames, fuse=True) as denoiser:
        assert denoiser.provenance()["fuse"] is True
        found = later(frames[FRAMES:], denoiser)
        cut = later(frames[:1, ::-1, ::-1], denoiser)
        assert len(denoiser._model.past) == 1
    assert np.diff(found[3:], axis=0).std() < 0.5 * np.diff(plain[3:], axis=0).std()
    assert found.dtype == plain.dtype
    bright = np.abs(other[0] - plain[-1]) > 0.3 * np.ptp(other)
    assert bright.any()
    kept = (cut[0] - other[0])[bright] / (found[-1] - other[0])[bright]
    assert abs(np.median(kept)) < 0.1


def test_another_size_begins_anew_and_channels_have_a_past_each(frames: np.ndarray) -> None:
    with settled(frames, fuse=True) as denoiser:
        small = frames[0, :48, :56]
        first = denoiser.submit(small).result(WAIT).image
        assert first.shape == small.shape
        assert denoiser.submit(frames[1]).result(WAIT).image.shape == frames[1].shape
        denoiser.submit(frames[0], channel="red").result(WAIT)
        assert len(denoiser._model.past) == 1  # the other is not measured yet
        denoiser.forget(None, frames.dtype)
        assert not denoiser._model.past


def test_another_exposure_begins_anew(frames: np.ndarray) -> None:
    with settled(frames, fuse=True) as denoiser:
        told = [{"exposure_ms": 10}, {"exposure_ms": 10.0}, {"meta": {"Exposure-ms": 20}}, {"meta": {}}, {}]
        counted = [denoiser.submit(frames[0], metadata).result(WAIT).frames for metadata in told]
        assert [count == 1 for count in counted] == [True, False, True, True, False]


def test_samplers_that_draw_are_refused() -> None:
    with pytest.raises(ConfigError, match="draws at random"):
        LiveDenoiser(engine="analytic", sampler="posterior", fuse=True)
