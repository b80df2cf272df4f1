"""The dock widget in napari itself: preview, run, stop, and what goes wrong."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import napari
import numpy as np
import psutil
import pytest
import zarr

from baikal_deploy import denoise as denoise_array
from baikal_deploy.engines import ON_ANY_MACHINE
from baikal_deploy.host.extras import install
from baikal_deploy.run.items import Work
from baikal_napari import sample
from baikal_napari.preview import Previewer, Wish
from baikal_napari.runs import STOPPED
from baikal_napari.shown import AT_WORK
from tests.plugin.conftest import SECONDS, noisy, wait_until

if TYPE_CHECKING:
    from baikal_napari.widget import Denoise

PLACE: dict[str, Any] = {"scale": (2.0, 0.5, 0.5), "translate": (4.0, 30.0, 20.0), "units": ("um",) * 3}
LOOK: dict[str, Any] = {"colormap": "magenta", "contrast_limits": (80, 600)}
MANY = 1000


class Held:
    """Holds up a run before each plane, until that may pass."""

    def __init__(self) -> None:
        self.passes, self.planes = threading.Semaphore(0), 0

    def __call__(self, of_run: Callable[..., Any]) -> Callable[..., Any]:
        def denoise(*words: Any) -> Any:
            self.planes += 1
            assert self.passes.acquire(timeout=SECONDS)
            return of_run(*words)

        return denoise


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    gate = Held()
    monkeypatch.setattr(Work, "_denoise", gate(Work._denoise))
    yield gate
    gate.passes.release(MANY)


def layer_of(viewer: napari.Viewer, name: str) -> Any:
    return next((layer for layer in viewer.layers if layer.name == name), None)


def part_of(pixels: np.ndarray, shown: Any, z: int) -> np.ndarray:
    """The part of a volume that a preview says it is of, which is to be of this plane."""
    start = np.rint(shown.translate / shown.scale).astype(int)
    assert start[0] == z
    found: np.ndarray = pixels[
        tuple(slice(at, at + size) for at, size in zip(start, shown.data.shape, strict=True))
    ]
    return found


def test_the_sample_is_previewed(
    viewer: napari.Viewer, denoise: Denoise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "SHAPE", (3, 64, 64))
    (source,) = viewer.open_sample("baikal-deploy", "nuclei")
    assert (denoise.layer, denoise.form.axes.text()) == (source, "zyx")
    denoise.form.preview.setChecked(True)
    wait_until(lambda: denoise.noise.text())
    shown = layer_of(viewer, "nuclei preview")
    expected = denoise_array(source.data, "zyx", model="nuclei", budget="preview")
    assert np.array_equal(shown.data, part_of(expected, shown, z=viewer.dims.current_step[0]))
    assert shown.data.size > 64 * 32  # what the canvas shows of it
    assert np.array_equal(shown.scale, source.scale)
    assert viewer.layers.selection.active is source
    assert "grey values in dark parts" in denoise.noise.text()
    assert denoise.plot.isVisibleTo(denoise)
    viewer.dims.set_current_step(0, 0)
    wait_until(lambda: shown.translate[0] == 0)
    assert np.array_equal(shown.data, part_of(expected, shown, z=0))
    assert len(viewer.layers) == 2
    denoise.form.preview.setChecked(False)
    assert viewer.layers == [source]


def test_a_run_ends_in_layers_like_the_source(
    viewer: napari.Viewer, denoise: Denoise, tmp_path: Path
) -> None:
    pixels = noisy((2, 48, 64))
    viewer.add_image(pixels, name="cells", **PLACE, **LOOK)
    for box in (denoise.form.with_uncertainty, denoise.form.with_mask):
        box.setChecked(True)
    denoise.form.output.setText(str(tmp_path / "clean.ome.zarr"))
    denoise.start()
    wait_until(lambda: len(viewer.layers) == 4)
    result, std, mask = (layer_of(viewer, f"cells {name}") for name in ("denoised", "std", "suspect"))
    expected = denoise_array(pixels, "zyx", model="nuclei", budget="preview")
    assert np.array_equal(np.asarray(result.data), expected)
    for layer in (result, std, mask):
        assert np.array_equal(layer.scale, PLACE["scale"])
        assert np.array_equal(layer.translate, PLACE["translate"])
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
        assert layer.data.shape == pixels.shape
    assert (result.colormap.name, tuple(result.contrast_limits)) == ("magenta", (80, 600))
    assert (std.colormap.name, tuple(std.contrast_limits)) == ("magenta", (0, 52))
    assert type(mask).__name__ == "Labels"
    assert (result.visible, std.visible, mask.visible) == (True, False, True)
    assert viewer.layers.selection.active == result
    assert denoise.message.text().startswith(f"{tmp_path / 'clean.ome.zarr'}: written")
    block: Any = zarr.open_group(tmp_path / "clean_std.ome.zarr", mode="r").attrs["ome"]
    assert block["multiscales"][0]["axes"][0] == {"name": "z", "type": "space", "unit": "micrometer"}


def test_a_run_leaves_the_window_alone_is_stopped_and_continues(
    viewer: napari.Viewer, denoise: Denoise, tmp_path: Path, held: Held
) -> None:
    viewer.add_image(noisy((4, 32, 32)), name="cells")
    denoise.form.output.setText(str(tmp_path / "clean.ome.zarr"))
    denoise.start()
    wait_until(lambda: held.planes == 1)  # the network is at work, and the window too
    assert (denoise.run_button.isEnabled(), denoise.stop_button.isEnabled()) == (False, True)
    held.passes.release(1)
    wait_until(lambda: denoise.progress.value() == 1)
    assert denoise.message.text() == "1 of 4 passes of planes through the network"
    denoise.stop_button.click()
    held.passes.release(1)
    wait_until(lambda: not denoise.running.is_busy)
    assert denoise.message.text() == STOPPED
    assert len(viewer.layers) == 1
    held.passes.release(MANY)
    before = held.planes
    denoise.start()
    wait_until(lambda: len(viewer.layers) == 2)
    assert held.planes - before == 3  # the first plane was kept


def test_the_newest_preview_wins(
    viewer: napari.Viewer, denoise: Denoise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of previews that are asked for while one is made, only the last one is."""
    made: list[str] = []
    gate, denoised = threading.Semaphore(0), Previewer.denoised

    def waiting(previewer: Previewer, wish: Wish, check: Callable[[], None]) -> Any:
        assert gate.acquire(timeout=SECONDS)
        found = denoised(previewer, wish, check)
        made.append(wish.budget)
        return found

    monkeypatch.setattr(Previewer, "denoised", waiting)
    viewer.add_image(noisy((32, 32)), name="cells")
    denoise.form.preview.setChecked(True)
    wait_until(lambda: denoise.message.text() == AT_WORK)
    for budget in ("best", "balanced"):
        denoise.form.budgets.setCurrentIndex(denoise.form.budgets.findData(budget))
    gate.release(MANY)
    wait_until(lambda: made)
    wait_until(lambda: layer_of(viewer, "cells preview"))
    assert made == ["balanced"]


class Endless:
    """More planes than fit into memory, which are made when they are asked for."""

    ndim, dtype = 3, np.dtype(np.uint16)

    def __init__(self, count: int, side: int) -> None:
        self.plane, self.shape, self.read = noisy((side, side)), (count, side, side), 0

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        if not isinstance(index[0], slice):
            self.read += 1
            found: np.ndarray = self.plane[index[1:]]
            return found
        planes = range(*index[0].indices(self.shape[0]))
        self.read += len(planes)
        return np.repeat(self.plane[None], len(planes), 0)[:, *index[1:]]


def test_a_multiscale_layer_larger_than_memory(
    viewer: napari.Viewer, denoise: Denoise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.measurement.sample.SAMPLE_PIXELS", 2**16)
    count = int(1.1 * psutil.virtual_memory().total / 2**19)
    levels = [Endless(count, 512), Endless(count, 256)]
    lazy = [
        da.from_array(one, chunks=(2**10, *one.shape[1:]), meta=np.zeros((0,) * 3, "u2")) for one in levels
    ]
    viewer.add_image(lazy, multiscale=True, name="long", contrast_limits=(0, 600))
    denoise.form.output.setText(str(tmp_path / "clean.ome.zarr"))
    before, levels[0].read = psutil.Process().memory_info().rss, 0
    denoise.start()
    wait_until(lambda: denoise.progress.value() > 0 or not denoise.running.is_busy)
    assert denoise.running.is_busy, denoise.message.text()
    denoise.stop()
    wait_until(lambda: not denoise.running.is_busy)
    assert denoise.message.text() == STOPPED
    assert psutil.Process().memory_info().rss - before < 2**30
    assert 0 < levels[0].read < 2**11 < count


@pytest.mark.parametrize("kind", ["labels", "points"])
def test_a_layer_of_the_wrong_kind(viewer: napari.Viewer, denoise: Denoise, kind: str) -> None:
    made = viewer.add_labels(np.zeros((8, 8), int)) if kind == "labels" else viewer.add_points([[1, 2]])
    assert denoise.layer is None
    assert f"is a {kind} layer; choose an image layer" in denoise.message.text()
    denoise.start()
    assert denoise.message.text().startswith("Open an image")
    assert viewer.layers == [made]


def test_colours_are_refused(viewer: napari.Viewer, denoise: Denoise) -> None:
    viewer.add_image(np.zeros((8, 8, 3), np.uint8), rgb=True, name="photo")
    assert denoise.message.text().startswith("photo: holds colours (RGB)")
    denoise.form.output.setText("/nowhere/clean.ome.zarr")
    denoise.start()
    assert denoise.message.text().startswith("photo: holds colours (RGB)")


def test_without_an_engine(
    viewer: napari.Viewer, denoise: Denoise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, _ in ON_ANY_MACHINE.values():
        monkeypatch.setitem(sys.modules, package, None)
    viewer.add_image(noisy((32, 32)), name="cells")
    denoise.form.models.setCurrentIndex(denoise.form.models.findData("tribolium"))  # not loaded before
    words = f"no engine that works here is installed; {install('cpu')}"
    denoise.form.preview.setChecked(True)
    wait_until(lambda: denoise.message.text() == words)
    denoise.form.preview.setChecked(False)
    denoise.message.setText("")
    denoise.form.output.setText(str(tmp_path / "clean.ome.zarr"))
    denoise.start()
    wait_until(lambda: denoise.message.text() == words)
    assert len(viewer.layers) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "Say where to write the result"),
        ("clean.tif", "clean.tif: results are written as OME-Zarr"),
        ("/proc/clean.ome.zarr", "/proc/clean.ome.zarr: "),
    ],
)
def test_outputs_that_cannot_be(viewer: napari.Viewer, denoise: Denoise, output: str, words: str) -> None:
    viewer.add_image(noisy((32, 32)), name="cells")
    denoise.form.output.setText(output)
    denoise.start()
    wait_until(lambda: denoise.message.text().startswith(words) and not denoise.running.is_busy)
    assert "\n" not in denoise.message.text()


def test_a_window_is_closed_in_the_middle_of_a_run(plugin: None, tmp_path: Path, held: Held) -> None:
    """The run ends after the plane that is at work, and nothing is told to widgets that are gone."""
    viewer = napari.Viewer(show=False)
    _, widget = viewer.window.add_plugin_dock_widget("baikal-deploy", "Denoise")
    viewer.add_image(noisy((4, 32, 32)), name="cells")
    widget.form.output.setText(str(tmp_path / "clean.ome.zarr"))
    widget.start()
    running = widget.running
    wait_until(lambda: held.planes == 1)
    del widget
    viewer.close()
    for _ in range(3):
        wait_until(lambda: True)
    held.passes.release(MANY)
    assert running.wait(SECONDS)
    assert held.planes == 1
