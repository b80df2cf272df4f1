"""LiveDenoiser: every frame has an outcome, whatever comes and however fast."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.errors import ConfigError, EngineError
from baikal_deploy.live import FrameDropped, LiveDenoiser, LiveResult, LiveStatistics
from baikal_deploy.live.budget import Budget
from baikal_deploy.live.memory import FrameMemory
from baikal_deploy.live.priority import NICENESS, give_way
from baikal_deploy.live.settling import FRAMES
from baikal_deploy.live.statistics import Counts
from baikal_deploy.live.timed import TimedEngine
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.pixels.arrays import Planes
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.gate import WAIT, Gate
from tests.made_up_bf16 import bf16_everywhere

TASKS = Path("/proc/self/task")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(12, 64, 80) uint16."""
    return Camera().expose(simulate_nuclei((12, 64, 80), seed=5), seed=5)


def live(**options: Any) -> LiveDenoiser:
    return LiveDenoiser(**{"engine": "analytic", **options})


def accounted(found: LiveStatistics) -> bool:
    return found.submitted == found.done + found.dropped + found.failed + found.waiting


def test_results_come_in_order_with_their_metadata(frames: np.ndarray) -> None:
    seen: list[LiveResult] = []
    with live(queue=20, on_result=seen.append) as denoiser:
        results = denoiser.results()
        futures = [denoiser.submit(frame, {"t": number}) for number, frame in enumerate(frames)]
    from_futures = [future.result() for future in futures]
    assert [result.number for result in seen] == list(range(len(frames)))
    assert list(results) == seen == from_futures
    assert [result.metadata["t"] for result in seen] == list(range(len(frames)))
    assert all(one.image.shape == (64, 80) and one.image.dtype == np.uint16 for one in seen)
    found = denoiser.statistics
    assert (found.done, found.dropped, found.failed, found.waiting) == (len(frames), 0, 0, 0)
    assert found.latency_ms[0] <= found.latency_ms[1] <= found.latency_ms[2]
    assert 0 < found.engine_share < 1


def test_a_frame_is_neither_changed_nor_needed_after_submit(frames: np.ndarray, gate: Gate) -> None:
    frame = frames[0].copy()
    with live() as denoiser:
        future = denoiser.submit(frame)
        assert (frame == frames[0]).all()
        frame[:] = 0  # as a camera's buffer is used again
        gate.open_for_all()
        assert future.result(WAIT).image.any()


def test_it_settles_on_the_first_frames_and_then_denoises_as_a_volume_is(frames: np.ndarray) -> None:
    with live(queue=20) as denoiser:
        for frame in frames[:FRAMES]:
            denoiser.submit(frame).result(WAIT)
        deadline = time.monotonic() + WAIT
        while not denoiser.statistics.settled:
            assert time.monotonic() < deadline
            last = denoiser.submit(frames[-1]).result(WAIT)
        last = denoiser.submit(frames[-1]).result(WAIT)
    with Denoiser.load(engine="analytic") as reference:
        sampler = make_sampler("matched", {}, {})
        measurement = reference.measure(list(frames[:FRAMES]), sampler)
        recipe = reference.recipe(sampler, measurement, 0)
        expected = reference.run(recipe, Stack(frames[-1:], [0])).planes
    np.testing.assert_array_equal(last.image, expected[0])


def test_a_stream_that_could_not_be_measured_is_measured_again(
    frames: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measure, failures = Denoiser.measure, iter([False, True])

    def fails_at_times(*args: Any) -> Measurement:
        if next(failures, False):
            raise EngineError("the device is busy")
        return measure(*args)

    monkeypatch.setattr(Denoiser, "measure", fails_at_times)
    with live(when_full="block") as denoiser:
        deadline = time.monotonic() + WAIT
        while not denoiser.statistics.settled:
            assert time.monotonic() < deadline
            denoiser.submit(frames[0]).result(WAIT)
    assert denoiser.statistics.failed == 0
    assert caplog.text.count("the device is busy") == 1


def test_what_is_measured_keeps_no_whole_frame(frames: np.ndarray) -> None:
    large = np.tile(frames[0], (9, 9)).copy()
    with live() as denoiser:
        denoiser.submit(large, copy=False).result(WAIT)
        kept = weakref.ref(large)
        del large
        denoiser.submit(frames[0]).result(WAIT)  # the latest one is held
        deadline = time.monotonic() + WAIT
        while kept() is not None:
            assert time.monotonic() < deadline, "the crop that was measured holds the frame"
            time.sleep(0.01)


def test_the_frame_rate_is_that_of_the_last_seconds() -> None:
    counts, now = Counts(None), time.perf_counter()
    for ago in (3600.0, *np.arange(8, 0, -0.1)):
        counts.add_done(now - ago, 0.01, 0.01, 0.01, 1)
    assert counts.statistics(True).frames_per_second == pytest.approx(10, rel=0.05)
    stopped = Counts(None)
    for ago in (60.1, 60.0):
        stopped.add_done(now - ago, 0.01, 0.01, 0.01, 1)
    assert stopped.statistics(True).frames_per_second == 0


@pytest.mark.parametrize(("when_full", "lost"), [("drop-oldest", [1, 2]), ("drop-newest", [3, 4])])
def test_what_is_dropped(when_full: Any, lost: list[int], frames: np.ndarray, gate: Gate) -> None:
    with live(queue=2, when_full=when_full) as denoiser:
        futures = [denoiser.submit(frames[0])]
        assert gate.entered.acquire(timeout=WAIT)  # the first is being denoised: the queue is empty
        futures += [denoiser.submit(frame) for frame in frames[1:5]]
        assert denoiser.statistics.dropped == 2
        assert accounted(denoiser.statistics)
        gate.open_for_all()
    for number, future in enumerate(futures):
        if number in lost:
            with pytest.raises(FrameDropped, match=f"frame {number}: dropped"):
                future.result()
        else:
            assert future.result().number == number
    assert (denoiser.statistics.done, denoiser.statistics.dropped) == (3, 2)


def test_block_holds_up_who_submits(frames: np.ndarray, gate: Gate) -> None:
    with live(queue=1, when_full="block") as denoiser:
        denoiser.submit(frames[0])
        assert gate.entered.acquire(timeout=WAIT)
        denoiser.submit(frames[1])
        waiting = threading.Thread(target=denoiser.submit, args=(frames[2],))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        gate.open_for_all()
        waiting.join(WAIT)
        assert not waiting.is_alive()
    assert (denoiser.statistics.done, denoiser.statistics.dropped) == (3, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
def test_its_threads_and_those_of_the_engine_give_way(frames: np.ndarray) -> None:
    def niceness() -> dict[str, int]:
        found = {}
        for task in TASKS.iterdir():
            with suppress(ProcessLookupError):  # a thread of another test that has ended
                found[task.name] = os.getpriority(os.PRIO_PROCESS, int(task.name))
        return found

    before = niceness()
    with LiveDenoiser("nuclei", engine="onnx-cpu") as denoiser:
        denoiser.submit(frames[0]).result(WAIT)
        now = niceness()
        own = [now[thread] for thread in now.keys() - before.keys()]
    lasting = now.keys() & before.keys()
    assert {thread: now[thread] for thread in lasting} == {thread: before[thread] for thread in lasting}
    assert len(own) > 2 or os.cpu_count() == 1, "the engine has threads"
    assert set(own) == {NICENESS}


def test_close_without_draining_drops_what_waits(frames: np.ndarray, gate: Gate) -> None:
    denoiser = live(queue=8)
    futures = [denoiser.submit(frame) for frame in frames[:4]]
    assert gate.entered.acquire(timeout=WAIT)
    threading.Timer(0.1, gate.open_for_all).start()
    denoiser.close(drain=False)
    assert futures[0].result().number == 0
    assert [type(future.exception()) for future in futures[1:]] == [FrameDropped] * 3
    with pytest.raises(ConfigError, match="closed"):
        denoiser.submit(frames[0])
    assert list(denoiser.results()) == []


@pytest.mark.parametrize(
    "frame",
    [np.zeros((0, 5)), np.zeros((2, 3, 4)), np.zeros((8, 8), complex), np.zeros((8, 8), bool), np.float32(3)],
)
def test_what_is_no_image_fails_alone(frame: Any, frames: np.ndarray) -> None:
    with live() as denoiser:
        with pytest.raises(ConfigError, match=r"frame 0: .* needed are real numbers \(H, W\)"):
            denoiser.submit(frame).result(WAIT)
        assert denoiser.submit(frames[0]).result(WAIT).number == 1
    assert (denoiser.statistics.failed, denoiser.statistics.done) == (1, 1)


def test_a_frame_that_is_handed_over_may_be_any_sequence() -> None:
    with live() as denoiser:
        assert denoiser.submit([[1, 2], [3, 4]], copy=False).result(WAIT).image.shape == (2, 2)  # type: ignore[arg-type]


def test_a_refused_option_leaves_no_engine_open(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(Denoiser, "close", lambda self: closed.append(True))
    with pytest.raises(ConfigError, match="latency_ms"):
        live(latency_ms=-1)
    assert closed == [True]


def test_frames_that_change_size_and_type_in_mid_stream(frames: np.ndarray) -> None:
    first = frames[0]
    changing = [first, first[:40, :33], first.astype(np.float32) / 7, (first >> 4).astype(np.uint8), first]
    with live(queue=9) as denoiser:
        results = [denoiser.submit(frame).result(WAIT).image for frame in changing]
    for frame, result in zip(changing, results, strict=True):
        assert (result.shape, result.dtype) == (frame.shape, frame.dtype)
        # Each type has its own mapping: none comes out dark, or cut off.
        assert result.mean() == pytest.approx(frame.mean(), rel=0.2)


def test_nan_pixels_stay_and_the_others_are_denoised(frames: np.ndarray) -> None:
    frame = frames[0].astype(np.float32)
    frame[3, 4] = np.nan
    with live() as denoiser:
        result = denoiser.submit(frame).result(WAIT).image
    assert np.isnan(result[3, 4])
    assert np.isfinite(result).sum() == frame.size - 1


def test_a_dark_frame_is_copied_and_does_not_count(frames: np.ndarray) -> None:
    dark = np.full((64, 80), 100, np.uint16)
    with live() as denoiser:
        assert (denoiser.submit(dark).result(WAIT).image == dark).all()
        assert np.isnan(denoiser.submit(np.full((8, 8), np.nan)).result(WAIT).image).all()
        assert denoiser.submit(frames[0]).result(WAIT).evaluations == 1


def test_a_consumer_that_raises(frames: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    def raises(result: LiveResult) -> None:
        raise RuntimeError("the consumer's own")

    with live(queue=20, on_result=raises) as denoiser:
        futures = [denoiser.submit(frame) for frame in frames]
    assert all(future.result().image.any() for future in futures)
    assert denoiser.statistics.consumer_errors == len(frames)
    assert "the consumer's own" in caplog.text


def test_a_consumer_that_closes(frames: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    with live(on_result=lambda result: denoiser.close()) as denoiser:
        assert denoiser.submit(frames[0]).result(WAIT).image.any()
        assert denoiser.submit(frames[1]).result(WAIT).image.any()
    denoiser.close()  # again
    assert denoiser.statistics.consumer_errors == 2
    assert "a callback cannot close" in caplog.text


def test_a_consumer_that_never_reads(frames: np.ndarray) -> None:
    with live(queue=4) as denoiser:
        results = denoiser.results()
        for frame in frames:
            denoiser.submit(frame).result(WAIT)
    assert denoiser.statistics.unread == len(frames) - 4
    assert [result.number for result in results] == list(range(len(frames)))[-4:]


def test_a_consumer_that_ends_early(frames: np.ndarray) -> None:
    with live() as denoiser:
        results = denoiser.results()
        denoiser.submit(frames[0]).result(WAIT)
        assert next(results).number == 0
        results.close()
        denoiser.submit(frames[1]).result(WAIT)
        assert list(results) == []
    assert denoiser.statistics.unread == 0


def test_a_network_that_fails(frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = TimedEngine._predict
    failures = [EngineError("out of memory"), ZeroDivisionError("a bug")]

    def failing(engine: TimedEngine, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        if threading.current_thread().name == "baikal-live" and failures:
            raise failures.pop(0)
        return predict(engine, x_t, t)

    monkeypatch.setattr(TimedEngine, "_predict", failing)
    with live() as denoiser:
        futures = [denoiser.submit(frame) for frame in frames[:3]]
    assert [type(future.exception()) for future in futures] == [EngineError, ZeroDivisionError, type(None)]
    assert (denoiser.statistics.failed, denoiser.statistics.done) == (2, 1)


def test_a_future_that_is_cancelled_is_a_dropped_frame(frames: np.ndarray, gate: Gate) -> None:
    with live() as denoiser:
        denoiser.submit(frames[0])
        assert gate.entered.acquire(timeout=WAIT)
        assert denoiser.submit(frames[1]).cancel()
        gate.open_for_all()
    assert (denoiser.statistics.done, denoiser.statistics.dropped) == (1, 1)


def test_a_future_that_is_cancelled_leaves_the_queue_at_once(frames: np.ndarray, gate: Gate) -> None:
    with live(queue=1, when_full="drop-newest") as denoiser:
        denoiser.submit(frames[0])
        assert gate.entered.acquire(timeout=WAIT)
        assert denoiser.submit(frames[1]).cancel()
        assert denoiser.statistics.dropped == 1
        last = denoiser.submit(frames[2])
        gate.open_for_all()
        assert last.result(WAIT).number == 2
    assert accounted(denoiser.statistics)


def test_a_channel_that_is_forgotten_settles_anew(frames: np.ndarray) -> None:
    with live() as denoiser:
        first = denoiser.submit(frames[0], channel="a").result(WAIT)
        for frame in frames:
            denoiser.submit(frame * np.uint16(8), channel="a").result(WAIT)
        denoiser.forget("a", frames.dtype)
        denoiser.forget("b", frames.dtype)  # that there is not
        again = denoiser.submit(frames[0], channel="a").result(WAIT)
    np.testing.assert_array_equal(again.image, first.image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": 0}, "queue 0"),
        ({"latency_ms": 0}, "latency_ms 0"),
        ({"latency_ms": 30, "sampler": "repaint"}, "fixed number of evaluations"),
        ({"when_full": "wait"}, "when_full wait"),
        ({"symmetries": 3}, "symmetries 3"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        live(**options)


def test_the_latency_decides_the_evaluations() -> None:
    sampler = make_sampler("matched", {}, {})
    budget = Budget.of(sampler, 100)
    assert budget.fitting(sampler, 0, 0).symmetries == 1  # type: ignore[attr-defined]
    budget.learn(2, 0.020)
    waited = [(0.0, 0), (0.0, 1), (0.05, 0), (0.09, 0), (0.2, 5)]
    found = [budget.fitting(sampler, *one).symmetries for one in waited]  # type: ignore[attr-defined]
    assert found == [8, 4, 4, 1, 1]


def test_a_stream_reports_the_evaluations_that_it_chose(frames: np.ndarray) -> None:
    with live(latency_ms=1e6) as denoiser:
        found = [denoiser.submit(frame).result(WAIT).evaluations for frame in frames[:3]]
    assert found == [1, 8, 8]
    assert denoiser.statistics.evaluations == 8
    assert denoiser.statistics.late == 0


def test_precision_tile_and_batch_reach_the_engine(
    monkeypatch: pytest.MonkeyPatch, frames: np.ndarray
) -> None:
    opened = bf16_everywhere(monkeypatch)
    shapes: list[tuple[int, ...]] = []
    predict = Analytic._predict
    monkeypatch.setattr(Analytic, "_predict", lambda *given: shapes.append(given[1].shape) or predict(*given))
    with LiveDenoiser("nuclei", tile=64, batch=2) as denoiser:
        assert denoiser.provenance()["engine"]["precision"] == "bf16"
        denoiser.submit(frames[0]).result(WAIT)
    assert (2, 1, 64, 64) in shapes  # both windows; the crops that tell what a channel shows come one by one
    assert max(max(shape[2:]) for shape in shapes) <= 64
    LiveDenoiser("nuclei", precision="fp32").close()
    LiveDenoiser("nuclei", "repaint").close()
    assert opened == ["openvino bf16", "onnx-cpu fp32", "onnx-cpu fp32"]


def test_a_frame_that_needs_more_memory_than_it_may_is_refused(frames: np.ndarray) -> None:
    large = np.zeros((4096, 4096), np.uint16)
    with live() as denoiser:
        base = FrameMemory.of("100%", denoiser._model.predictor, 8)
    assert base is not None
    with live(memory=base.base + 10**8) as denoiser:
        assert denoiser.submit(frames[0]).result(WAIT).image.any()
        with pytest.raises(ConfigError, match=r"frame 1: a frame of 4096 x 4096 pixels takes .*\(--memory\)"):
            denoiser.submit(large).result(WAIT)
        assert accounted(denoiser.statistics)
        assert denoiser.statistics.failed == 1
    with pytest.raises(ConfigError, match="the model and its engine alone take"):
        live(memory="1MB")


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are of threads on Linux alone")
def test_a_priority_that_is_lower_already_stays() -> None:
    """To raise it takes a privilege: under nice -n 15 live denoising did not begin."""
    found: list[int] = []

    def work() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS + 5)
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [NICENESS + 5]
