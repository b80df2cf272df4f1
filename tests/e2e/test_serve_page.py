"""The live page in a real browser, with a stream behind it."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from baikal_deploy.live import LiveDenoiser
from baikal_deploy.serve import Address, serve_page
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.browser import Browser, chromium
from tests.gate import WAIT, Gate
from tests.serving import infer, served


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(4, 480, 640) uint16."""
    return Camera().expose(simulate_nuclei((4, 480, 640), seed=5), seed=5)


@contextmanager
def streaming(send: Callable[[np.ndarray], object], frames: np.ndarray, pause: float) -> Iterator[None]:
    """A client that sends frames until the end."""
    stop = threading.Event()

    def run() -> None:
        number = 0
        while not stop.wait(pause):
            send(frames[number % len(frames)])
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join(WAIT)
    assert not thread.is_alive()


def text(driver: Browser, name: str) -> str:
    return driver.find_element(By.ID, name).text


def until(driver: Browser, condition: Callable[[], object]) -> None:
    WebDriverWait(driver, WAIT).until(lambda _: condition())


def number(driver: Browser) -> int:
    """Of the frame that is shown."""
    words = text(driver, "status").split()
    return int(words[1].strip(",")) if words[:1] == ["frame"] else -1


def picture(driver: Browser, name: str) -> np.ndarray:
    """The pixels of a picture that the browser has loaded."""
    element = driver.find_element(By.ID, name)
    assert driver.execute_script("return arguments[0].complete && arguments[0].naturalWidth > 0", element)
    kind, data = (element.get_attribute("src") or "").split(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), dtype=np.float64)


def roughness(pixels: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels, axis=1)).mean())


def addresses(driver: Browser, page: str) -> set[str]:
    """That a page has asked for, without what is behind the question mark."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    urls = {one["request"]["url"] for one in sent if one["documentURL"] == page}
    return {url.partition("?")[0] for url in urls if not url.startswith("data:")}


def test_frames_that_a_client_sends_are_seen_raw_and_denoised(
    driver: Browser, frames: np.ndarray, tmp_path: Path
) -> None:
    with served(latency_ms=500) as server:
        driver.get_log("performance")
        driver.get(server.url + "/")
        until(driver, lambda: text(driver, "status") == "no frame yet")
        with streaming(lambda frame: infer(server.host, frame), frames, 0.02):
            until(driver, lambda: number(driver) > 20)
            first = number(driver)
            until(driver, lambda: number(driver) > first)
            until(driver, lambda: float(text(driver, "rate")) > 0)
        until(driver, lambda: number(driver) == server.live.statistics.done - 1)
        until(driver, lambda: text(driver, "done") == str(server.live.statistics.done))
        raw, denoised = picture(driver, "raw"), picture(driver, "denoised")
        assert raw.shape == denoised.shape == (480, 640)
        assert roughness(denoised) < 0.8 * roughness(raw)
        latest = frames[number(driver) % 4].astype(float)
        assert np.corrcoef(raw.ravel(), latest.ravel())[0, 1] > 0.95
        assert text(driver, "status").startswith(f"frame {number(driver)}, 640 × 480 uint16, shown from ")
        assert text(driver, "queue") == "0 of 9"
        assert (text(driver, "dropped"), text(driver, "failed")) == ("0", "0")
        assert float(text(driver, "latency").split(" / ")[0]) > 0
        left, right = (driver.find_element(By.ID, name).rect for name in ("raw", "denoised"))
        assert left["y"] == right["y"], "they are side by side"
        assert left["x"] + left["width"] < right["x"]
        driver.save_screenshot(str(tmp_path / "page.png"))
        until(driver, lambda: text(driver, "rate") == "0.0")
        assert addresses(driver, server.url + "/") == {server.url + "/", server.url + "/live.json"}
        assert driver.get_log("browser") == []
    until(driver, lambda: "does not answer" in text(driver, "status"))
    driver.get_log("browser")  # says so too


def test_a_stream_in_the_same_process_and_what_it_drops(
    driver: Browser, frames: np.ndarray, gate: Gate
) -> None:
    with LiveDenoiser(engine="analytic", queue=2) as live, serve_page(live, Address(port=0)) as page:
        driver.get(page.url)
        for _ in range(9):
            live.submit(frames[0])
            time.sleep(0.01)
        assert gate.entered.acquire(timeout=WAIT)
        until(driver, lambda: text(driver, "queue") == "3 of 3")
        assert int(text(driver, "dropped")) == live.statistics.dropped > 0
        assert driver.find_elements(By.CSS_SELECTOR, "#of-dropped.bad")
        gate.open_for_all()
        until(driver, lambda: number(driver) == 8)
        assert driver.get_log("browser") == []


def test_the_page_asks_for_the_token(driver: Browser, frames: np.ndarray) -> None:
    with served(token="sesame") as server:
        infer(server.host, frames[0], {"Authorization": "Bearer sesame"})
        driver.get(server.url)
        until(driver, lambda: text(driver, "status") == "the server wants a token")
        for token, told in (("wrong", "the server does not take this token"), ("sesame", "frame 0, 640")):
            driver.execute_script("document.getElementById('token').value = ''")
            driver.find_element(By.ID, "token").send_keys(token)
            driver.find_element(By.CSS_SELECTOR, "form button").click()
            until(driver, lambda told=told: told in text(driver, "status"))
        driver.refresh()
        until(driver, lambda: number(driver) == 0)
        driver.get_log("browser")


@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_is_no_wider_than_the_screen(width: int, driver: Browser, frames: np.ndarray) -> None:
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    with served() as server:
        infer(server.host, frames[0])
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.get(server.url)
        until(driver, lambda: number(driver) == 0)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
