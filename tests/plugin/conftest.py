"""napari on a display of its own, without the user's settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import napari

    from baikal_napari.widget import Denoise

FROM_PYDANTIC = "ignore::pydantic.warnings.PydanticDeprecatedSince20"
SECONDS = 300
"""Most that anything takes here, on a machine that does other things as well."""
LAST_WORDS = -300

os.environ["NAPARI_CONFIG"] = ""  # nothing is read from the user's settings, nor written there
collect_ignore_glob = [] if find_spec("napari") else ["test_*.py"]
if not collect_ignore_glob:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import napari.layers  # npe2 and napari declare their models in ways of pydantic 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """napari goes on importing such modules when a window is made."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(FROM_PYDANTIC))


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """A display without a screen, for Qt; OpenGL is computed by the processor."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed: no window can be shown")
    readable, writable = os.pipe()
    words = [program, "-displayfd", str(writable), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(words, pass_fds=[writable], stderr=subprocess.DEVNULL)
    os.close(writable)
    try:
        with os.fdopen(readable) as told:
            number = told.readline().strip()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISPLAY", f":{number}")
            patch.setenv("QT_QPA_PLATFORM", "xcb")
            patch.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
            _check_qt()
            yield
    finally:
        server.terminate()
        server.wait()


def _check_qt() -> None:
    """Qt ends the process where a library is missing, so that another one tries it."""
    script = "from qtpy.QtWidgets import QApplication; QApplication([])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Qt cannot show a window here: {done.stderr[LAST_WORDS:]}")


@pytest.fixture(scope="session")
def plugin(display: None) -> None:
    """The plug-in as its manifest describes it, also where the package was not installed again since."""
    import npe2

    manager = npe2.PluginManager.instance()
    manager.discover()
    if "baikal-deploy" not in manager:
        import baikal_napari

        file = Path(baikal_napari.__file__).with_name("napari.yaml")
        manager.register(npe2.PluginManifest.from_file(file))


@pytest.fixture(scope="module")
def viewer(plugin: None) -> Iterator[napari.Viewer]:
    import napari
    from qtpy.QtWidgets import QApplication

    made = napari.Viewer(show=True)
    yield made
    made.close()
    QApplication.processEvents()


@pytest.fixture(scope="module")
def dock(viewer: napari.Viewer) -> Denoise:
    _, widget = viewer.window.add_plugin_dock_widget("baikal-deploy", "Denoise")
    return widget  # type: ignore[no-any-return]


@pytest.fixture
def denoise(dock: Denoise, viewer: napari.Viewer) -> Iterator[Denoise]:
    """The dock widget without layers, with the fastest choices."""
    viewer.layers.clear()
    form = dock.form
    form.models.setCurrentIndex(form.models.findData("nuclei"))
    form.budgets.setCurrentIndex(form.budgets.findData("preview"))
    yield dock
    dock.stop()
    assert dock.running.wait(SECONDS)
    wait_until(lambda: not dock.running.is_busy)
    for box in (form.preview, form.with_uncertainty, form.with_mask, form.overwrite):
        box.setChecked(False)


def wait_until(happened: Callable[[], Any]) -> None:
    """Let Qt do what it has to, until something has happened."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        QApplication.processEvents()
        time.sleep(0.005)
    QApplication.processEvents()


def noisy(shape: tuple[int, ...]) -> np.ndarray:
    """Discs on a dark ground, with noise, in the last two axes; other planes are others."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    clean = 100.0 + 400 * (np.hypot(y % 32 - 16, x % 32 - 16) < 9)
    found = np.random.default_rng(0).normal(clean, 40, shape)
    return np.clip(found, 0, 65535).astype(np.uint16)
