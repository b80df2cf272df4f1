"""Make the picture of docs/napari.md: the sample in napari, half of it as it was and half as previewed.

It needs the extra napari, and a display:
xvfb-run -a python examples/make_napari_screenshot.py [OUTPUT [THEME]]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication

from baikal_napari.sample import noisy_nuclei
from baikal_napari.widget import Denoise

DEFAULT = Path(__file__).parents[1] / "docs" / "images" / "napari.png"
SIZE = (1280, 800)
SECONDS = 600
HALF = 128
"""Column at which the noisy half begins."""


def make_screenshot(path: Path, theme: str) -> None:
    """Open the sample, preview it, and save a picture of the window.

    Args:
        path: of a PNG file.
        theme: "dark" or "light".
    """
    get_settings().appearance.theme = theme
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    ((pixels, about, _),) = noisy_nuclei()
    source = viewer.add_image(pixels, **about, contrast_limits=(150, 900))
    dock = Denoise(viewer)
    viewer.window.add_dock_widget(dock, name="Denoise", area="right")
    dock.form.output.setText("nuclei_denoised.ome.zarr")
    dock.form.preview.setChecked(True)
    _wait(lambda: bool(dock.noise.text()))
    viewer.layers[1].data = viewer.layers[1].data[..., :HALF]
    viewer.layers.selection.active = source
    _wait(lambda: False, 1)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()


def _wait(happened: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    make_screenshot(
        Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT, sys.argv[2] if len(sys.argv) > 2 else "dark"
    )
