"""Denoising beside real acquisitions: MMCore with its demo camera."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import useq
import yaozarrs
import zarr
from pymmcore_plus import CMMCorePlus

from baikal_deploy.errors import ConfigError, EngineError, VolumeError
from baikal_deploy.live import LiveDenoiser, LiveResult
from baikal_deploy.live.pymmcore import attach
from baikal_deploy.live.sink import FrameSink, stream_info
from baikal_deploy.live.timed import TimedEngine
from baikal_deploy.pixels.arrays import Planes

WAIT = 120.0
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def core() -> Iterator[CMMCorePlus]:
    core = CMMCorePlus()
    core.loadSystemConfiguration()  # the demo one
    core.setProperty("Camera", "OnCameraCCDXSize", 64)
    core.setProperty("Camera", "OnCameraCCDYSize", 48)
    yield core
    core.unloadAllDevices()


def sequence(loops: int = 3, **more: Any) -> useq.MDASequence:
    """Two channels of three planes, over time."""
    return useq.MDASequence(
        channels=["DAPI", "FITC"],
        z_plan={"range": 4, "step": 2},
        time_plan={"interval": 0, "loops": loops},
        **more,
    )


def live(**options: Any) -> LiveDenoiser:
    return LiveDenoiser(**{"engine": "analytic", "queue": 64, **options})


def position(result: LiveResult) -> tuple[int, ...]:
    return tuple(result.metadata["index"][axis] for axis in "tcz")


def test_the_denoised_stream_is_an_image_of_its_own(core: CMMCorePlus, tmp_path: Path) -> None:
    seen: dict[tuple[int, ...], np.ndarray] = {}
    raw: list[np.ndarray] = []
    core.mda.events.frameReady.connect(lambda frame, *_: raw.append(frame.copy()))
    sink = tmp_path / "denoised.ome.zarr"
    with (
        live(on_result=lambda result: seen.update({position(result): result.image})) as denoiser,
        attach(core, denoiser, sink) as attached,
    ):
        core.mda.run(sequence())
        assert attached.wait(WAIT)
        assert (attached.errors, attached.outputs) == ([], [sink])
    group = zarr.open_group(sink, mode="r")
    pixels = np.asarray(group["0"])
    assert pixels.shape == (3, 2, 3, 48, 64)
    assert pixels.dtype == raw[0].dtype
    assert len(seen) == len(raw) == 18
    for place, image in seen.items():
        np.testing.assert_array_equal(pixels[place], image)
    attributes = group.attrs.asdict()
    scale = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [1.0, 1.0, 2.0, core.getPixelSizeUm(), core.getPixelSizeUm()]
    assert [channel["label"] for channel in attributes["ome"]["omero"]["channels"]] == ["DAPI", "FITC"]
    assert attributes["baikal"]["complete"] is True
    assert attributes["baikal"]["engine"]["name"] == "analytic"
    assert attributes["baikal"]["frames"] == {"written": 18, "dropped": []}
    yaozarrs.validate_zarr_store(str(sink))


def test_frames_that_are_dropped_are_counted_and_listed(
    core: CMMCorePlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 0.05)
    sink = tmp_path / "denoised.ome.zarr"
    with live(queue=2) as denoiser, attach(core, denoiser, sink) as attached:
        core.mda.run(sequence(6))
        assert attached.wait(WAIT)
        found = denoiser.statistics
    assert found.dropped > 0
    assert found.submitted == found.done + found.dropped == 36
    group = zarr.open_group(sink, mode="r")
    frames = group.attrs.asdict()["baikal"]["frames"]
    assert (frames["written"], len(frames["dropped"])) == (found.done, found.dropped)
    for index in frames["dropped"]:
        assert not np.asarray(group["0"][index["t"], index["c"], index["z"]]).any()


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A network that takes its time without a core."""
    predict = TimedEngine._predict

    def slowly(engine: TimedEngine, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        time.sleep(seconds)
        return predict(engine, x_t, t)

    monkeypatch.setattr(TimedEngine, "_predict", slowly)


def test_a_denoiser_that_fails_leaves_the_acquisition_running(
    core: CMMCorePlus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(engine: TimedEngine, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        raise EngineError("the device is lost")

    monkeypatch.setattr(TimedEngine, "_predict", fails)
    frames = count_frames(core)
    with live() as denoiser, attach(core, denoiser) as attached:
        core.mda.run(sequence())
        assert attached.wait(WAIT)
    assert len(frames) == 18
    assert denoiser.statistics.failed == len(attached.errors) == 18
    assert "the device is lost" in caplog.text


def test_a_denoiser_that_is_closed_in_the_run(core: CMMCorePlus) -> None:
    frames = count_frames(core)
    denoiser = live()
    attached = attach(core, denoiser)
    stop = threading.Event()

    def close_at_the_fifth(*_: Any) -> None:
        if len(frames) == 5:
            denoiser.close()
            stop.set()

    core.mda.events.frameReady.connect(close_at_the_fifth)
    core.mda.run(sequence())
    core.mda.events.frameReady.disconnect(close_at_the_fifth)
    assert stop.is_set()
    assert len(frames) == 18
    assert attached.wait(WAIT)
    assert {type(error) for error in attached.errors} == {ConfigError}
    attached.detach()


def count_frames(core: CMMCorePlus) -> list[int]:
    frames: list[int] = []
    core.mda.events.frameReady.connect(lambda *_: frames.append(len(frames)))
    return frames


FULL_DISK = """
import sys
from pathlib import Path
from pymmcore_plus import CMMCorePlus
from baikal_deploy.live import LiveDenoiser
from baikal_deploy.live.pymmcore import attach
from tests.e2e.test_live_mda import WAIT, count_frames, sequence

core = CMMCorePlus()
core.loadSystemConfiguration()
frames = count_frames(core)
with LiveDenoiser(engine="analytic", queue=64) as live, attach(core, live, Path(sys.argv[1])) as attached:
    core.mda.run(sequence())
    assert attached.wait(WAIT)
print(len(frames), live.statistics.done, len(attached.errors), sep="\\n")
print(attached.errors[0])
core.unloadAllDevices()
"""


@pytest.mark.slow  # half a minute
def test_a_full_disk_under_the_sink(tmp_path: Path) -> None:
    """A small disk of its own, which only Linux lets a user make."""
    own_disk = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=256k tmpfs '{tmp_path}'"
    if shutil.which("unshare") is None or subprocess.run([*own_disk, mount], capture_output=True).returncode:
        pytest.skip("no user may mount a disk here")
    run = f"{mount} && exec '{sys.executable}' -c \"$1\" '{tmp_path}/denoised.ome.zarr'"
    found = subprocess.run([*own_disk, run, "sh", FULL_DISK], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    frames, done, failed, message = found.stdout.splitlines()
    assert (frames, done) == ("18", "18")
    assert 0 < int(failed) < 18
    assert re.match(r".*denoised\.ome\.zarr: .*No space left on device", message)


def test_an_acquisition_that_is_stopped(core: CMMCorePlus, tmp_path: Path) -> None:
    frames = count_frames(core)

    def stop(*_: Any) -> None:
        if len(frames) == 5:
            core.mda.cancel()

    core.mda.events.frameReady.connect(stop)
    sink = tmp_path / "denoised.ome.zarr"
    with live() as denoiser, attach(core, denoiser, sink) as attached:
        core.mda.run(sequence())
        core.mda.events.frameReady.disconnect(stop)
        assert attached.wait(WAIT)
    assert attached.outputs == [sink]
    frames_record = zarr.open_group(sink, mode="r").attrs.asdict()["baikal"]["frames"]
    assert frames_record["written"] == len(frames) < 18


def test_every_acquisition_and_position_has_an_image(core: CMMCorePlus, tmp_path: Path) -> None:
    several = sequence(1, stage_positions=[(0, 0, 0), (10, 10, 0)])
    with live() as denoiser, attach(core, denoiser, tmp_path / "denoised.ome.zarr") as attached:
        core.mda.run(sequence(1))
        core.mda.run(several)
        assert attached.wait(WAIT)
        assert attached.errors == []
    assert [path.name for path in attached.outputs] == [
        "denoised.ome.zarr", "denoised_2_p0.ome.zarr", "denoised_2_p1.ome.zarr"
    ]  # fmt: skip
    assert all(
        np.asarray(zarr.open_group(path, mode="r")["0"]).any((-1, -2)).all() for path in attached.outputs
    )


def test_a_position_with_planes_of_its_own(core: CMMCorePlus, tmp_path: Path) -> None:
    own = useq.Position(x=10, y=10, sequence=useq.MDASequence(z_plan={"range": 2, "step": 0.5}))
    positions = useq.MDASequence(channels=["DAPI"], stage_positions=[(0, 0, 0), own])
    with live() as denoiser, attach(core, denoiser, tmp_path / "denoised.ome.zarr") as attached:
        core.mda.run(positions)
        assert attached.wait(WAIT)
    assert attached.errors == []
    first, second = (zarr.open_group(path, mode="r") for path in attached.outputs)
    assert [group["0"].shape for group in (first, second)] == [(1, 48, 64), (1, 5, 48, 64)]
    assert np.asarray(second["0"]).any((-1, -2)).all()
    scale = second.attrs.asdict()["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    assert scale["scale"][:2] == [1.0, 0.5]


def test_single_events_are_denoised_and_not_written(core: CMMCorePlus, tmp_path: Path) -> None:
    events = [useq.MDAEvent(index={"t": t}) for t in range(3)]
    with live() as denoiser, attach(core, denoiser, tmp_path / "denoised.ome.zarr") as attached:
        core.mda.run(events)
        assert attached.wait(WAIT)
    assert denoiser.statistics.done == 3
    assert attached.outputs == []
    assert [str(error) for error in attached.errors] == [
        f"{tmp_path / 'denoised.ome.zarr'}: single events do not say how large the image will be; run a "
        "useq.MDASequence, or write the results yourself (on_result of the denoiser)"
    ]


def test_each_of_two_cameras_has_an_image(tmp_path: Path) -> None:
    core = CMMCorePlus()
    core.loadSystemConfiguration()
    core.loadDevice("Camera2", "DemoCamera", "DCam")
    core.loadDevice("Multi", "Utilities", "Multi Camera")
    for device in ("Camera2", "Multi"):
        core.initializeDevice(device)
    core.setProperty("Camera2", "PixelType", core.getProperty("Camera", "PixelType"))
    core.setProperty("Multi", "Physical Camera 1", "Camera")
    core.setProperty("Multi", "Physical Camera 2", "Camera2")
    core.setCameraDevice("Multi")
    with live() as denoiser, attach(core, denoiser, tmp_path / "denoised.ome.zarr") as attached:
        core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 2}))
        assert attached.wait(WAIT)
    core.unloadAllDevices()
    assert attached.errors == []
    assert [path.name for path in attached.outputs] == ["denoised_cam0.ome.zarr", "denoised_cam1.ome.zarr"]
    assert all(
        np.asarray(zarr.open_group(path, mode="r")["0"]).any((-1, -2)).all() for path in attached.outputs
    )


def test_a_sink_refuses_what_it_has_no_place_for(tmp_path: Path) -> None:
    sink = FrameSink(tmp_path / "a.ome.zarr", stream_info(tmp_path / "a.ome.zarr", {"t": 2}, {}, []))
    frame = np.ones((4, 4), np.uint16)
    sink.write({"t": 1}, frame)
    with pytest.raises(VolumeError, match=r"has a frame at \{'t': 1\} already"):
        sink.write({"t": 1}, frame)
    for position in ({"t": 2}, {"t": -1}, {"t": 0, "z": 1}):
        with pytest.raises(VolumeError, match="has no place for a frame at"):
            sink.write(position, frame)
    with pytest.raises(VolumeError, match="does not fit the first one's"):
        sink.write({"t": 0}, frame[:2])
    assert sink.written == {1}


def test_refused_attachments(core: CMMCorePlus, tmp_path: Path) -> None:
    sink = tmp_path / "denoised.ome.zarr"
    with live(when_full="block") as blocking, pytest.raises(ConfigError, match="would hold up"):
        attach(core, blocking)
    busy = pytest.raises(VolumeError, match="another run is writing it now")
    with live() as denoiser, attach(core, denoiser, sink), busy:
        attach(core, denoiser, sink)
    sink.mkdir()
    with live() as denoiser, pytest.raises(VolumeError, match="exists already"):
        attach(core, denoiser, sink)


def test_two_attachments_with_sinks_of_their_own(core: CMMCorePlus, tmp_path: Path) -> None:
    with (
        live() as one,
        live() as other,
        attach(core, one, tmp_path / "a.ome.zarr") as first,
        attach(core, other, tmp_path / "b.ome.zarr") as second,
    ):
        core.mda.run(sequence(1))
        assert first.wait(WAIT)
        assert second.wait(WAIT)
    images = [
        np.asarray(zarr.open_group(tmp_path / name, mode="r")["0"]) for name in ("a.ome.zarr", "b.ome.zarr")
    ]
    assert all(image.any((-1, -2)).all() for image in images)


@pytest.mark.slow
@pytest.mark.parametrize(("model_on_cpu", "most"), [(False, 1.05), (True, 1.08)])
def test_an_overloaded_denoiser_does_not_delay_the_camera(
    core: CMMCorePlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_on_cpu: bool, most: float
) -> None:
    """200 frames of 512², faster than the network can: one that waits, as for a GPU, or takes all cores.

    With two cores that it takes both, the camera's thread is a few per cent slower even so.
    """
    core.setProperty("Camera", "OnCameraCCDXSize", 512)
    core.setProperty("Camera", "OnCameraCCDYSize", 512)
    core.setExposure(20)
    if not model_on_cpu:
        slow(monkeypatch, 0.2)
    plan = useq.MDASequence(
        channels=[{"config": "DAPI", "exposure": 20}, {"config": "FITC", "exposure": 20}],
        z_plan={"range": 8, "step": 2},
        time_plan={"interval": 0, "loops": 20},
    )
    ratios = []
    for round_ in range(3):
        without = duration(core, plan)
        sink = tmp_path / f"denoised{round_}.ome.zarr"
        made = LiveDenoiser("nuclei") if model_on_cpu else live(queue=8)
        with made as denoiser, attach(core, denoiser, sink) as attached:
            ratios.append(duration(core, plan) / without)
            assert attached.wait(WAIT)
            found = denoiser.statistics
        assert found.submitted == found.done + found.dropped == 200
        assert found.dropped > 100
        assert attached.errors == []
    print("time of 200 frames with the denoiser over that without:", [f"{ratio:.3f}" for ratio in ratios])
    assert np.median(ratios) < most


def duration(core: CMMCorePlus, plan: useq.MDASequence) -> float:
    """Seconds from the first frame to the last."""
    times: list[float] = []

    def note(*_: Any) -> None:
        times.append(time.perf_counter())

    core.mda.events.frameReady.connect(note)
    core.mda.run(plan)
    core.mda.events.frameReady.disconnect(note)
    assert len(times) == 200
    return times[-1] - times[0]


def test_the_example(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "pymmcore_live.py", tmp_path / "denoised.ome.zarr", "--engine=analytic"],
        capture_output=True, text=True, timeout=WAIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "of them denoised" in done.stdout
    assert zarr.open_group(tmp_path / "denoised.ome.zarr", mode="r").attrs.asdict()["baikal"]["complete"]
