"""The live page with a real demo-camera stream behind it, in a real browser."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import useq
from pymmcore_plus import CMMCorePlus

from baikal_deploy.live import LiveDenoiser
from baikal_deploy.live.pymmcore import attach
from baikal_deploy.serve import Address, serve_page
from tests.browser import Browser, chromium
from tests.e2e.test_serve_page import number, picture, roughness, text, until
from tests.gate import WAIT

HEIGHT, WIDTH = 480, 512
PROPERTIES = {
    "OnCameraCCDXSize": WIDTH, "OnCameraCCDYSize": HEIGHT, "Mode": "Fluorescent Beads", "BeadDensity": 60,
    "BeadSize": 6,
}  # fmt: skip


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "chromium") as driver:
        yield driver


@pytest.fixture
def core() -> Iterator[CMMCorePlus]:
    core = CMMCorePlus()
    core.loadSystemConfiguration()  # the demo one
    for name, value in PROPERTIES.items():
        core.setProperty("Camera", name, value)
    yield core
    core.unloadAllDevices()


def test_a_camera_is_seen_raw_and_denoised(driver: Browser, core: CMMCorePlus, tmp_path: Path) -> None:
    plan = useq.MDASequence(
        channels=[{"config": "DAPI", "exposure": 20}, {"config": "FITC", "exposure": 20}],
        time_plan={"interval": 0.1, "loops": 60},
    )
    taken: dict[int, np.ndarray] = {}
    core.mda.events.frameReady.connect(lambda frame, *_: taken.update({len(taken): frame.copy()}))
    sink = tmp_path / "denoised.ome.zarr"
    with (
        LiveDenoiser(engine="analytic", queue=4) as live,
        attach(core, live, sink) as attached,
        serve_page(live, Address(port=0)) as page,
    ):
        driver.get(page.url)
        until(driver, lambda: text(driver, "status") == "no frame yet")
        acquisition = threading.Thread(target=core.mda.run, args=(plan,))
        acquisition.start()
        until(driver, lambda: number(driver) > 20)
        driver.save_screenshot(str(tmp_path / "running.png"))
        assert acquisition.is_alive(), "it was seen only afterwards"
        assert float(text(driver, "rate")) > 0
        acquisition.join(WAIT)
        assert attached.wait(WAIT)
        found = live.statistics
        assert found.submitted == len(taken) == 120
        assert found.done + found.dropped == 120
        assert attached.errors == []
        until(driver, lambda: text(driver, "done") == str(found.done))
        until(driver, lambda: text(driver, "queue") == "0 of 5")
        assert text(driver, "dropped") == str(found.dropped)
        assert text(driver, "failed") == "0"
        latency = [float(one) for one in text(driver, "latency").split(" / ")]
        assert latency == pytest.approx(found.latency_ms[:2], abs=0.51)
        last = number(driver)
        channel = ("DAPI", "FITC")[last % 2]  # the last ones may have been dropped
        where = f"frame {last}, channel {channel}, {WIDTH} × {HEIGHT} {taken[last].dtype}, shown from "
        assert text(driver, "status").startswith(where)
        raw, denoised = picture(driver, "raw"), picture(driver, "denoised")
        assert raw.shape == denoised.shape == (HEIGHT, WIDTH)
        assert np.corrcoef(raw.ravel(), taken[last].astype(float).ravel())[0, 1] > 0.9
        assert raw.mean() == pytest.approx(denoised.mean(), rel=0.1), "the same greys on both sides"
        with urllib.request.urlopen(f"{page.url}/metrics") as answer:
            metrics = answer.read().decode().splitlines()
        assert f'baikal_frames_total{{outcome="done"}} {float(found.done)}' in metrics
        driver.save_screenshot(str(tmp_path / "beads.png"))

        # The beads have no noise; and a channel that has not settled on them.
        core.setProperty("Camera", "Mode", "Noise")
        core.mda.run(useq.MDASequence(channels=["Cy5"], time_plan={"interval": 0.1, "loops": 10}))
        until(driver, lambda: number(driver) == 129)
        raw, denoised = picture(driver, "raw"), picture(driver, "denoised")
        assert roughness(denoised) < 0.8 * roughness(raw)
        assert 50 < denoised.mean() < 200, "grey, though there is nothing in it but noise"
        assert np.mean((raw < 5) | (raw > 250)) < 0.2, "most of the noise is neither black nor white"
        driver.save_screenshot(str(tmp_path / "noise.png"))
        assert driver.get_log("browser") == []
