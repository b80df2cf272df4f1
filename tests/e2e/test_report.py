"""--report: a page about a run, as a browser shows it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from baikal_deploy import Run, RunConfig
from baikal_deploy.cli._report_files import Looks
from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.report.html import save_report
from baikal_deploy.report.plots import histograms
from baikal_deploy.report.views import planes, suspects, whole
from baikal_deploy.volumes.open import open_input
from tests.browser import Browser, chromium, loaded
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import group_attributes, level0

NAME = "day <b>2<b> & 'é' \"x\".zarr"
LABEL = "<script>alert(1)</script>"
DEPTH = 5


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, counts: np.ndarray) -> Path:
    """A folder with the report of a run on two channels: one of an odd name, and one that is empty."""
    folder = tmp_path_factory.mktemp("report")
    dark = np.tile(counts, (2, 1, 1))[:DEPTH]
    dark[2] = 0  # one plane that is black, and stays so
    write_image(folder / NAME, np.stack([dark, np.full_like(dark, 7)]), [LABEL, "empty"])
    config = RunConfig(
        folder / NAME, folder / "out.zarr", engine="analytic", mask=folder / "mask.zarr", sampler="matched"
    )
    with Run(config) as run:
        save_report(folder / "report.html", run, run.execute(), open_input(folder / "out.zarr"))
    return folder


def write_image(path: Path, pixels: np.ndarray, labels: list[str]) -> None:
    write_zarr(path / "0", pixels, dimension_names=list("czyx"))
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space"} for name in "zyx")]
    transformations = [{"type": "scale", "scale": [1.0] * 4}]
    datasets = [{"path": "0", "coordinateTransformations": transformations}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    ome["omero"] = {"channels": [{"label": label} for label in labels]}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (path / "zarr.json").write_text(json.dumps(group))


@pytest.fixture
def page(driver: Browser, made: Path) -> Iterator[Browser]:
    with loaded(driver, (made / "report.html").as_uri()) as page:
        yield page


def all_of(page: Browser | WebElement, selector: str) -> list[WebElement]:
    return page.find_elements(By.CSS_SELECTOR, selector)


def edge(page: Browser, number: int) -> float:
    """How far the picture before reaches in a stage, as the browser draws it."""
    stage = all_of(page, ".stage:has(input)")[number]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    pixels = np.asarray(Image.open(io.BytesIO(stage.screenshot_as_png)).convert("L"), dtype=np.float64)
    rows = pixels[len(pixels) // 8 : len(pixels) // 4]  # away from the knob in the middle
    return float(rows.min(axis=0).argmax()) / pixels.shape[1]  # only the divider is white all along


def test_sliders_move_with_keys_and_by_dragging(page: Browser) -> None:
    sliders = all_of(page, "input[type=range]")
    assert len(sliders) == 2 * (1 + 3), "the projection and three planes, for each channel"
    assert edge(page, 0) == pytest.approx(0.5, abs=0.02)
    for key, expected in ((Keys.ARROW_RIGHT, 51), (Keys.PAGE_UP, 61), (Keys.ARROW_LEFT, 60)):
        sliders[0].send_keys(key)
        assert sliders[0].get_attribute("value") == str(expected)
        assert edge(page, 0) == pytest.approx(expected / 100, abs=0.02)
    assert sliders[0].get_attribute("aria-valuetext") == "60 % before, the rest after"
    assert edge(page, 1) == pytest.approx(0.5, abs=0.02), "each has its own"
    stage = all_of(page, ".stage:has(input)")[1]
    drag = ActionChains(page).move_to_element(stage).click_and_hold()
    drag.move_by_offset(round(0.3 * stage.size["width"]), 3).release().perform()
    assert edge(page, 1) == pytest.approx(0.8, abs=0.02)


def test_sliders_are_reached_with_the_tab_key_and_named(page: Browser) -> None:
    slider = all_of(page, "input[type=range]")[1]
    for _ in range(2):
        page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element == slider
    assert (
        slider.accessible_name == f"{LABEL}, c=0 z=0: where the picture before ends and the one after begins"
    )


def test_pictures_are_there_and_names_are_text(page: Browser) -> None:
    pictures = all_of(page, "img")
    assert all(page.execute_script("return arguments[0].naturalWidth", one) == 80 for one in pictures)
    assert [one.text for one in all_of(page, "h1")] == [NAME]
    assert [one.text for one in all_of(page, "h2")][1:3] == [LABEL, "empty"]
    assert not all_of(page, "h1 b")


def test_figures_are_those_of_the_run(page: Browser, made: Path) -> None:
    figures = [one.text.replace("\n", " ") for one in all_of(page, ".figures li")]
    assert figures[0] == f"{2 * DEPTH} planes"
    assert figures[1] == "4 network evaluations of 5; the others were done before, or not needed"
    provenance = group_attributes(made / "out.zarr")["baikal"]
    all_of(page, "details summary")[0].click()
    shown = json.loads(all_of(page, "pre")[0].text)
    assert shown == {key: value for key, value in provenance.items() if key != "complete"}
    table = all_of(page, "table tbody tr")[0].text
    measured = provenance["channels"][0]["measurement"]
    assert f"{measured['intensity']['low']:.4g} … {measured['intensity']['high']:.4g}" in table
    assert "matched at timestep" in table
    assert "holds a single value" in all_of(page, "table tbody tr")[1].text
    mask = level0(made / "mask.zarr")
    trust = all_of(page, ".definition")[0].text
    assert trust.startswith(f"{100 * mask.mean():.2g} % of the pixels")
    worst = mask[0].mean(axis=(1, 2))
    place = int(worst.argmax())
    assert (
        f"most in c=0 z={place} ({100 * worst[place]:.2g} %)" in all_of(page, ".suspects figcaption")[0].text
    )


def test_plots_are_drawn(page: Browser) -> None:
    figures = all_of(page, ".plots figure")
    assert [one.accessible_name for one in figures] == [
        f"Histograms of {LABEL} before and after",
        f"Noise of {LABEL} against intensity",
        "Histograms of empty before and after",
    ]
    assert all(one.size["height"] > 100 for one in all_of(page, ".plots svg"))


@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_is_no_wider_than_the_screen(page: Browser, width: int) -> None:
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_report_beside_the_output(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    result = baikal_run(noisy_zarr, "--report", tmp_path / "look.html", "--preview", tmp_path / "look.png")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:] == [str(tmp_path / "look.png"), str(tmp_path / "look.html")]
    text = (tmp_path / "look.html").read_text()
    assert "With <code>--mask FILE</code> this page shows where." in text


def test_the_reports_of_a_folder(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    (tmp_path / "in").mkdir()
    noisy_zarr.rename(tmp_path / "in" / "a.zarr")
    refused = baikal_run(tmp_path / "in", tmp_path / "out", "--report", tmp_path / "look.html")
    assert refused.exit_code == 2
    assert "give a folder for theirs" in refused.stderr
    result = baikal_run(tmp_path / "in", tmp_path / "out", "--report", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "a_denoised.html").is_file()


def test_a_report_that_cannot_be_written(tmp_path: Path, noisy_zarr: Path) -> None:
    with Run(RunConfig(noisy_zarr, tmp_path / "out.zarr", engine="analytic")) as run:
        done = run.execute()
        (tmp_path / "look.html").mkdir()
        with pytest.raises(VolumeError, match=r"look.html: the report cannot be written"):
            list(Looks(None, tmp_path / "look.html").write(run, done))


def test_planes_of_a_time_series_are_spread_over_it(tmp_path: Path, counts: np.ndarray) -> None:
    pixels = np.broadcast_to(counts[:2], (9, 2, 2, 96, 80)).copy()
    volume = open_input(write_zarr(tmp_path / "in.zarr", pixels, dimension_names=list("tczyx")))
    assert whole(volume, volume, 1).view.part == "first timepoint"
    assert [view.title for view in planes(volume, volume, 1)] == ["t=1 c=1 z=1", "t=4 c=1 z=1", "t=7 c=1 z=1"]


def test_large_planes_are_shown_where_they_are_bright(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3000, 2000), np.uint16)
    pixels[0, 2400:2500, 700:800] = 100
    volume = open_input(write_zarr(tmp_path / "in.zarr", pixels))
    assert whole(volume, volume, 0).view.part == "1 pixel in 3"
    (view,) = planes(volume, volume, 0)
    height, width, y, x = map(int, re.findall("[0-9]+", view.part)[:4])
    assert (height, width) == (512, 512)
    assert 1988 <= y <= 2400
    assert 288 <= x <= 700


def test_no_suspect_pixels(tmp_path: Path) -> None:
    found = suspects(open_input(write_zarr(tmp_path / "mask.zarr", np.zeros((3, 8, 8), np.uint8))), 0)
    assert found.worst == []


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(100, dtype=np.uint16), np.full(9, 7, np.int8), np.empty(0, np.float32),
        np.linspace(-1e-9, 1e-9, 50), np.array([0, 2**63], np.uint64), np.array([-1e30, 1e30]),
    ],
)  # fmt: skip
def test_histograms_of_any_range(pixels: np.ndarray) -> None:
    svg = histograms(pixels, pixels, IntensityMap(0, 1))
    assert svg.count("<polyline") >= 3
    assert "nan" not in svg
    assert "inf" not in svg
