"""Denoising beside an acquisition of Pycro-Manager. Nothing here raises into the acquisition, or waits in it.

>>> from pycromanager import Acquisition, multi_d_acquisition_events
>>> from baikal_deploy.live import LiveDenoiser
>>> from baikal_deploy.live.pycromanager import attach
>>> events = multi_d_acquisition_events(num_time_points=10, channel_group="Channel", channels=["DAPI"])
>>> with LiveDenoiser("nuclei") as live, attach(events, live, sink="denoised.ome.zarr") as attached:
...     with Acquisition("raw", "cells", image_process_fn=attached) as acquisition:
...         acquisition.acquire(events)

Pycro-Manager hands images to functions of its user, given when the acquisition is made; so nothing of
it is imported here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.host.locks import locked
from baikal_deploy.live.beside import Beside, check_holds_nobody_up
from baikal_deploy.live.denoiser import LiveDenoiser
from baikal_deploy.live.frame import LiveResult
from baikal_deploy.live.sink import FrameSink, stream_info
from baikal_deploy.live.waiting import FrameDropped
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.naming import renamed
from baikal_deploy.volumes.paths import check_output

Event = Mapping[str, Any]
"""An acquisition event: "axes" and what else Pycro-Manager takes."""
Place = str | int
"""Position on an axis: a number, or a name, as channels have."""

AXES = {"time": "t", "channel": "c", "z": "z"}
"""Axes of Pycro-Manager that an image has, and their names there; each place on others has its own image."""
NUMBERED = ("time", "z")
"""Axes whose places are numbers that count from 0."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Grid:
    """The places that the events of an acquisition name.

    Attributes:
        places: on each axis, in the order in which they come; numbers of ``NUMBERED`` from 0 on.
        steps: of time in seconds and of z in micrometres, where they are known.
    """

    places: Mapping[str, Sequence[Place]]
    steps: Mapping[str, float]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """The places of some events.

        Args:
            events: such as ``multi_d_acquisition_events`` makes.
        """
        listed = list(events)
        found: dict[str, dict[Place, None]] = {}
        for event in listed:
            for axis, place in event.get("axes", {}).items():
                found.setdefault(axis, {})[place] = None
        places: dict[str, Sequence[Place]] = {axis: list(own) for axis, own in found.items()}
        places |= {axis: range(1 + max(map(int, places[axis]))) for axis in NUMBERED if axis in places}
        steps = {
            AXES[axis]: _step(listed, axis, key) for axis, key in (("time", "min_start_time"), ("z", "z"))
        }
        return cls(places, {axis: step for axis, step in steps.items() if step})

    def info(self, path: Path, pixel_size: float) -> VolumeInfo:
        """What is known of an image of it before the first frame.

        Args:
            path: of the image.
            pixel_size: in micrometres; 0 if it is not known.
        """
        sizes = {AXES[axis]: len(places) for axis, places in self.places.items() if axis in AXES}
        scale = dict(self.steps) | ({"y": pixel_size, "x": pixel_size} if pixel_size else {})
        return stream_info(path, sizes, scale, [str(name) for name in self.places.get("channel", ())])

    def position(self, axes: Mapping[str, Place]) -> dict[str, int]:
        """Place of a frame in its image, by axis.

        Args:
            axes: as the frame's metadata has them.

        Raises:
            VolumeError: no event names that place.
        """
        return {AXES[axis]: self._number(axis, place) for axis, place in axes.items() if axis in AXES}

    def suffix(self, axes: Mapping[str, Place]) -> str:
        """What the name of a frame's image has beside that of the sink, such as "_position1".

        Args:
            axes: as the frame's metadata has them.

        Raises:
            VolumeError: no event names that place.
        """
        others = (axis for axis in axes if axis not in AXES and len(self.places.get(axis, ())) != 1)
        return "".join(f"_{axis}{self._number(axis, axes[axis])}" for axis in others)

    def _number(self, axis: str, place: Place) -> int:
        if axis not in self.places and isinstance(place, int) and place >= 0:
            return place  # as of cameras, which no event names
        try:
            return self.places[axis].index(place)
        except (KeyError, ValueError):
            raise VolumeError(
                f"a frame at {axis} {place}, which none of the events names that were attached; it is not "
                "written"
            ) from None


def attach(events: Iterable[Event], live: LiveDenoiser, sink: str | Path | None = None) -> Attachment:
    """Have every image of an acquisition denoised whose ``image_process_fn`` is what this returns.

    Args:
        events: all that will be acquired; they say how large the image is, and are not changed.
        live: gets a copy of each frame; each channel has a mapping of intensities of its own.
        sink: OME-Zarr to write the denoised stream to, with the axes of the events and the camera's pixel
            size. Positions have images of their own, _position0 and so on. Frames that were dropped are 0
            there, and listed in its attribute "baikal". None: nothing is written.

    Raises:
        ConfigError: a denoiser that would hold up the acquisition when its queue is full; no events.
        VolumeError: the sink exists, or another attachment writes it.
    """
    check_holds_nobody_up(live)
    grid = Grid.of([events] if isinstance(events, Mapping) else events)
    if not grid.places:
        raise ConfigError("attach: no event has axes; give the events that will be acquired")
    return Attachment(grid, live, None if sink is None else Path(sink))


class Attachment:
    """An ``image_process_fn`` that hands each image on unchanged, made by ``attach``. Close it.

    Attributes:
        live: the denoiser.
        errors: what went wrong beside the acquisition, in order: frames that could not be denoised or
            written.
        outputs: images that were written completely, when it is closed.
        dropped: axes of the frames that were dropped.
    """

    def __init__(self, grid: Grid, live: LiveDenoiser, sink: Path | None) -> None:
        self.live, self._beside, self.outputs = live, Beside(log), list[Path]()
        self.errors = self._beside.errors
        self.dropped = list[dict[str, Place]]()
        self._grid, self._sink = grid, sink
        self._images = dict[Path, FrameSink]()
        self._lock = None if sink is None else locked(check_output(sink, overwrite=False))
        if self._lock is not None:
            self._lock.__enter__()

    def __call__(self, image: Raw, metadata: dict[str, Any]) -> tuple[Raw, dict[str, Any]]:
        """Put a copy of an image into the queue, and hand it on.

        Args:
            image: (H, W), which Pycro-Manager stores.
            metadata: of the image, with its "Axes".
        """
        axes = dict(metadata.get("Axes", {}))
        try:
            self._beside.begin()
            future = self.live.submit(image, {"axes": axes}, channel=self._channel(axes))
        except Exception as error:
            self._beside.report(f"frame {axes}", error)
            self._beside.end()
        else:
            size = float(metadata.get("PixelSize_um") or 0)
            future.add_done_callback(lambda done: self._denoised(axes, size, done))
        return image, metadata

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the frames that came are denoised, and written if they are to be.

        Args:
            timeout: in seconds.

        Returns:
            False if the time was not enough.
        """
        return self._beside.wait(timeout)

    def close(self) -> None:
        """Wait for the frames that came, and complete the images."""
        self.wait()
        provenance = self.live.provenance()
        for path, image in self._images.items():
            try:
                image.finish(
                    {**provenance, "frames": {"written": len(image.written), "dropped": self.dropped}}
                )
                self.outputs += [path] if image.written else []
            except Exception as error:
                self._beside.report(f"the end of {path}", error)
        self._images.clear()
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _channel(self, axes: Mapping[str, Place]) -> str:
        """Name of what has a mapping of intensities: the channel, and the camera where there are several."""
        return ", ".join(str(axes[axis]) for axis in ("channel", "camera") if axis in axes)

    def _denoised(self, axes: dict[str, Place], pixel_size: float, done: Future[LiveResult]) -> None:
        """Write a result; called in the denoising thread, or where the frame was dropped."""
        try:
            self._write(axes, pixel_size, done.result().image)
        except FrameDropped:
            self.dropped.append(axes)
        except Exception as error:
            self._beside.report(f"frame {axes}", error)
        self._beside.end()

    def _write(self, axes: Mapping[str, Place], pixel_size: float, frame: Raw) -> None:
        if self._sink is None:
            return
        path = renamed(self._sink, self._grid.suffix(axes))
        if path not in self._images:
            self._images[path] = FrameSink(path, self._grid.info(path, pixel_size))
        self._images[path].write(self._grid.position(axes), frame)


def _step(events: Sequence[Event], axis: str, key: str) -> float:
    """Distance of the first two places of an axis that events name a value for; 0 where it is not known."""
    values: dict[Place, float] = {}
    for event in events:
        if key in event and axis in event.get("axes", {}):
            values.setdefault(event["axes"][axis], float(event[key]))
    return abs(values[1] - values[0]) if {0, 1} <= values.keys() else 0.0
