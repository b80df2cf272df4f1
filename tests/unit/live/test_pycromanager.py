"""Denoising beside Pycro-Manager, whose image processor is called here as it calls it."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.live import LiveDenoiser
from baikal_deploy.live.pycromanager import Attachment, Grid, attach
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

FRAME = Camera().expose(simulate_nuclei((1, 48, 64), seed=5), seed=5)[0]


def events(positions: bool = False) -> list[dict[str, Any]]:
    """As ``multi_d_acquisition_events`` makes them: two times, two channels, three planes."""
    return [
        {
            "axes": ({"position": where} if positions else {}) | {"time": t, "channel": name, "z": z},
            "min_start_time": np.float64(0.5 * t),
            "config_group": ["Channel", name],
            "z": np.int64(2 * z),
        }
        for where in ("A1", "../B2")
        if positions or where == "A1"
        for t in range(2)
        for name in ("DAPI", "FITC")
        for z in range(3)
    ]


def live(**options: Any) -> LiveDenoiser:
    return LiveDenoiser(**{"engine": "analytic", "queue": 64, **options})


def acquire(attached: Attachment, acquired: list[dict[str, Any]]) -> None:
    """Call the image processor for each event."""
    for number, event in enumerate(acquired):
        metadata = {"Axes": dict(event["axes"]), "PixelSize_um": 0.25, "Camera": "Camera"}
        frame = FRAME + np.uint16(number)
        image, same = attached(frame, metadata)
        assert image is frame
        assert same is metadata


def test_the_denoised_stream_is_an_image_of_its_own(tmp_path: Path) -> None:
    sink = tmp_path / "denoised.ome.zarr"
    with live() as denoiser, attach(events(), denoiser, sink) as attached:
        assert len(signature(attached).parameters) == 2, "Pycro-Manager counts them"
        acquire(attached, events())
        assert attached.wait(60)
    assert not attached.errors
    assert attached.outputs == [sink]
    image = zarr.open_group(sink, mode="r")
    pixels: Any = image["0"]
    assert pixels.shape == (2, 2, 3, 48, 64)
    assert (pixels[:].std(axis=(-2, -1)) > 0).all()
    ome: Any = image.attrs["ome"]
    transform = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    assert transform["scale"] == [0.5, 1, 2, 0.25, 0.25]
    assert [one["label"] for one in ome["omero"]["channels"]] == ["DAPI", "FITC"]
    for channel, one in enumerate(ome["omero"]["channels"]):
        low, high = np.percentile(pixels[:, channel], [1, 99.8])
        assert (one["window"]["start"], one["window"]["end"]) == pytest.approx((low, high), abs=1)


def test_positions_have_images_of_their_own_whatever_they_are_called(tmp_path: Path) -> None:
    sink = tmp_path / "denoised.ome.zarr"
    with live() as denoiser, attach(events(positions=True), denoiser, sink) as attached:
        acquire(attached, events(positions=True))
    assert not attached.errors
    names = {path.name for path in attached.outputs}
    assert names == {"denoised_position0.ome.zarr", "denoised_position1.ome.zarr"}


def test_nothing_reaches_the_acquisition(tmp_path: Path) -> None:
    with live() as denoiser:
        attached = attach(events(), denoiser, tmp_path / "denoised.ome.zarr")
        attached(FRAME, {})  # no axes
        attached(FRAME, {"Axes": {"time": 9, "channel": "DAPI", "z": 0}})
        attached(FRAME[0], {"Axes": {"time": 0, "channel": "DAPI", "z": 0}})
        attached.wait()
        assert "none of the events names" in str(attached.errors[-1]) + str(attached.errors[0])
    attached(FRAME, events()[0])  # the denoiser is closed
    attached.close()
    assert len(attached.errors) == 3
    assert isinstance(attached.errors[-1], ConfigError)


def test_frames_that_are_dropped_are_listed(tmp_path: Path) -> None:
    sink = tmp_path / "denoised.ome.zarr"
    with live(queue=1) as denoiser, attach(events(), denoiser, sink) as attached:
        acquire(attached, events())
        attached.wait()
        found = denoiser.statistics
    assert len(attached.dropped) == found.dropped
    assert found.done + found.dropped == found.submitted == len(events())
    record: Any = zarr.open_group(sink, mode="r").attrs["baikal"]
    assert record["frames"] == {"written": found.done, "dropped": attached.dropped}


def test_what_cannot_be_attached(tmp_path: Path) -> None:
    with live(when_full="block") as denoiser, pytest.raises(ConfigError, match="hold up the acquisition"):
        attach(events(), denoiser)
    with live() as denoiser:
        with pytest.raises(ConfigError, match="no event has axes"):
            attach([{"exposure": 3}], denoiser)
        sink = tmp_path / "denoised.ome.zarr"
        with attach(events()[0], denoiser, sink), pytest.raises(VolumeError, match="another run"):
            attach(events(), denoiser, sink)
        sink.mkdir()
        with pytest.raises(VolumeError, match="exists already"):
            attach(events(), denoiser, sink)


def test_a_camera_that_no_event_names_has_an_image_of_its_own() -> None:
    grid = Grid.of(events())
    axes: dict[str, str | int] = {"time": 1, "channel": "FITC", "z": 2, "camera": 1}
    assert grid.suffix(axes) == "_camera1"
    assert grid.position(axes) == {"t": 1, "c": 1, "z": 2}
