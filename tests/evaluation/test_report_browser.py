"""The page in a real browser, as people use it: keyboard, mouse, narrow and dark screens."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from baikal_evaluation.report import Panel, write_html
from baikal_evaluation.results import METRICS, Results
from tests.browser import Browser, chromium, loaded
from tests.made_up_results import AWKWARD, DEFINITION, IMAGES, METHODS, panel, results

FAILED = IMAGES[2]
"""Method 2 failed on it, so that there is no picture."""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Noisy sides are black, the clean ones are white at the bottom, method 1 is grey and method 2 white."""
    black = np.zeros((64, 96), np.float32)
    clean = black.copy()
    clean[32:] = 1
    planes = {"noisy": black, METHODS[1]: black + 0.5, METHODS[2]: black + 1}
    panels = [Panel(image, black, clean, planes) for image in IMAGES]
    panels[2] = replace(panels[2], predictions={name: planes[name] for name in METHODS[:2]})
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(path, results(), panels)
    return path.as_uri()


@pytest.fixture
def page(driver: Browser, address: str) -> Iterator[Browser]:
    with loaded(driver, address) as page:
        yield page


def css(page: Browser | WebElement, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def texts(page: Browser | WebElement, selector: str) -> list[str]:
    return [one.text for one in page.find_elements(By.CSS_SELECTOR, selector)]


def shown(page: Browser, number: int = 0) -> tuple[float, float]:
    """How far the left picture reaches in a panel, and the mean grey value right of that.

    The left picture is black, as the top of the noisy and of the clean side are.
    """
    stage = page.find_elements(By.CSS_SELECTOR, ".stage:has(input)")[number]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    pixels = np.asarray(Image.open(io.BytesIO(stage.screenshot_as_png)).convert("L"), dtype=np.float64)
    line = pixels[len(pixels) // 8 : len(pixels) // 4].mean(axis=0)  # away from the knob in the middle
    edge = int(np.argmax(line > 60))  # where the divider begins
    return edge / len(line), float(line[edge + 8 :].mean())


def test_slider_starts_in_the_middle(page: Browser) -> None:
    where, _ = shown(page)
    assert where == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("key", "expected"),
    [(Keys.ARROW_RIGHT, 51), (Keys.ARROW_LEFT, 49), (Keys.PAGE_UP, 60), (Keys.HOME, 0), (Keys.END, 100)],
)
def test_slider_moves_with_keys(page: Browser, key: str, expected: int) -> None:
    slider = css(page, ".panel input")
    slider.send_keys(key)
    assert slider.get_attribute("value") == str(expected)
    assert (slider.get_attribute("aria-valuetext") or "").startswith(f"{expected} % noisy, the rest ")
    if expected < 100:
        assert shown(page)[0] == pytest.approx(expected / 100, abs=0.02)
    right = css(page, ".panel .right")
    assert right.value_of_css_property("clip-path") == f"inset(0px 0px 0px {expected}%)"


def test_slider_is_reached_with_the_tab_key_and_shows_it(page: Browser) -> None:
    css(page, "#right").send_keys(Keys.TAB)
    assert page.switch_to.active_element == css(page, ".panel input")
    assert css(page, ".stage").value_of_css_property("outline-style") == "solid"


@pytest.mark.parametrize("target", [0.2, 0.85])
def test_slider_follows_a_drag_in_the_picture(page: Browser, target: float) -> None:
    stage = css(page, ".stage")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    width = stage.size["width"]
    drag = ActionChains(page).move_to_element(stage).click_and_hold()
    drag.move_by_offset(round(width * (target - 0.5)), 3).release().perform()
    assert shown(page)[0] == pytest.approx(target, abs=0.015)
    assert shown(page, 1)[0] == pytest.approx(0.5, abs=0.03), "each panel has a slider of its own"


def test_another_method_is_chosen_in_all_panels(page: Browser) -> None:
    right = Select(css(page, "#right"))
    right.select_by_visible_text(METHODS[2])
    assert shown(page)[1] > 250
    right.select_by_visible_text(METHODS[1])
    for number in range(3):
        assert shown(page, number)[1] == pytest.approx(127, abs=4)
    one = results().done(METHODS[1])[AWKWARD]
    assert css(page, ".of-right").text == f"{METHODS[1]} PSNR {one.psnr:.2f} dB, SSIM {one.ssim:.3f}"
    one = results().done("noisy")[AWKWARD]
    assert css(page, ".of-left").text == f"noisy PSNR {one.psnr:.2f} dB, SSIM {one.ssim:.3f}"


def test_two_methods_and_the_clean_side_can_be_compared(page: Browser) -> None:
    Select(css(page, "#right")).select_by_visible_text(METHODS[2])
    Select(css(page, "#left")).select_by_visible_text("clean")
    where, grey = shown(page)
    assert where == pytest.approx(0.5, abs=0.02)
    assert grey > 250
    Select(css(page, "#left")).select_by_visible_text(METHODS[2])
    where, grey = shown(page)
    assert where < 0.02, "the same picture on both sides covers all"
    assert grey > 245


def test_a_picture_that_is_missing_is_told(page: Browser) -> None:
    Select(css(page, "#right")).select_by_visible_text(METHODS[2])
    panels = page.find_elements(By.CSS_SELECTOR, ".panel")
    assert [css(one, ".of-right").text.endswith("not available for this image") for one in panels] == [
        image == FAILED for image in IMAGES
    ]
    assert shown(page, 2)[1] < 30, "the left picture alone"


def test_the_first_choice_is_the_best_that_looks_at_no_truth(page: Browser) -> None:
    assert Select(css(page, "#left")).first_selected_option.text == "noisy"
    assert Select(css(page, "#right")).first_selected_option.text == METHODS[2]


def column(page: Browser, table: str, place: int) -> list[str]:
    return texts(page, f"{table} tbody:not([hidden]) tr > :nth-child({place})")


def names(page: Browser, table: str = "#summary") -> list[str]:
    """Of the methods, without mark and note."""
    return [text.split(" ", 1)[1].removesuffix(" oracle") for text in column(page, table, 1)]


def test_table_holds_the_numbers_of_the_results(page: Browser) -> None:
    found = results()
    assert names(page) == found.methods
    for place, metric in enumerate(METRICS[:3], 2):
        for method, text in zip(found.methods, column(page, "#summary", place), strict=True):
            mean, low, high = found.summary()[method].metrics[metric.name]
            mark = "*" if found.best(metric) == method else ""
            form = metric.form
            assert text == f"{mean:{form}}{mark} [{low:{form}}, {high:{form}}]"
        cells = page.find_elements(By.CSS_SELECTOR, f"#summary tbody td:nth-child({place})")
        means = [found.summary()[method].metrics[metric.name].mean for method in found.methods]
        assert [float(cell.get_attribute("data-value") or "") for cell in cells] == means
    assert column(page, "#summary", 5) == ["0", "9", "30"]
    assert column(page, "#summary", 7) == ["6", "6", "5/6"]


def sort_by(page: Browser, table: str, title: str) -> str | None:
    buttons = page.find_elements(By.CSS_SELECTOR, f"{table} thead button")
    (button,) = [one for one in buttons if one.text == title]
    button.click()
    return button.find_element(By.XPATH, "..").get_attribute("aria-sort")


def by_mean(found: Results, name: str) -> list[str]:
    return sorted(found.methods, key=lambda method: found.summary()[method].metrics[name].mean)


def test_table_is_sorted_by_a_click_and_turned_by_another(page: Browser) -> None:
    assert sort_by(page, "#summary", "MSE") == "ascending"
    assert names(page) == by_mean(results(), "mse") != results().methods
    assert sort_by(page, "#summary", "MSE") == "descending"
    assert names(page) == by_mean(results(), "mse")[::-1]
    for expected in (["0", "9", "30"], ["30", "9", "0"]):
        sort_by(page, "#summary", "NFE")
        assert column(page, "#summary", 5) == expected
    assert sort_by(page, "#summary", "method") == "ascending"
    assert names(page) == sorted(METHODS)
    assert len(page.find_elements(By.CSS_SELECTOR, "#summary [aria-sort]")) == 1


def test_table_is_sorted_with_the_keyboard(page: Browser) -> None:
    css(page, "#summary thead button").send_keys(Keys.ENTER)
    assert names(page) == sorted(METHODS)


def test_failures_are_told_and_sorted_last(page: Browser) -> None:
    (message,) = texts(page, ".failures li")
    assert message == f'{METHODS[2]} failed on {FAILED}: sampler: <script>alert(1)</script>, out of "memory"'
    css(page, "details:not(.failures) > summary").click()
    for _ in range(2):  # both ways
        sort_by(page, "#all", "PSNR (dB)")
        assert column(page, "#all", 3)[-1].startswith("sampler: <script>")
    values = [float(text) for text in column(page, "#all", 3)[:-1]]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("reference", METHODS)
def test_differences_to_a_chosen_method(page: Browser, reference: str) -> None:
    Select(css(page, "#reference")).select_by_visible_text(reference)
    sort_by(page, "#difference", "PSNR (dB)")
    expected = results().differences(reference)
    order = sorted(expected, key=lambda method: expected[method].metrics["psnr"].mean)
    assert names(page, "#difference") == order
    for method, text in zip(order, column(page, "#difference", 2), strict=True):
        assert text == "{:+.2f} [{:+.2f}, {:+.2f}]".format(*expected[method].metrics["psnr"])


def test_names_are_text_and_the_definition_is_there(page: Browser) -> None:
    assert css(page, ".panel h3").text.startswith(AWKWARD)
    assert DEFINITION in css(page, ".definition").text
    assert css(page, "dd code").text == results().command
    assert texts(page, ".legend li")[1].endswith(METHODS[1])
    assert METHODS[1] in texts(page, ".plots svg text")


def test_everything_to_operate_has_a_name(page: Browser) -> None:
    selector = "button, select, input, img, figure[role=img], [role=region]"
    for one in page.find_elements(By.CSS_SELECTOR, selector):
        if one.is_displayed() or one.get_attribute("type") == "range":  # that one is transparent
            assert one.accessible_name, one.get_attribute("outerHTML")


Emulate = Callable[[str, dict[str, object]], None]


@pytest.fixture
def emulate(driver: Browser) -> Iterator[Emulate]:
    """Another screen or preference until the end of the test."""
    yield lambda command, settings: driver.execute_cdp_cmd(f"Emulation.{command}", settings)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [], "media": ""})


@pytest.mark.parametrize("width", [320, 400, 1200])
def test_page_is_no_wider_than_the_screen(page: Browser, emulate: Emulate, width: int) -> None:
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    emulate("setDeviceMetricsOverride", screen)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width


def luminance(page: Browser, selector: str, name: str) -> float:
    """Of a colour such as rgb(14, 21, 27) or rgba(14, 21, 27, 1)."""
    values = css(page, selector).value_of_css_property(name).split("(")[1].rstrip(")").split(",")[:3]
    return float(np.mean([float(value) for value in values]))


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_page_and_plots_take_the_colours_of_the_system(
    page: Browser, emulate: Emulate, scheme: str, dark: bool
) -> None:
    emulate("setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    assert (luminance(page, "body", "background-color") < 60) == dark
    assert (luminance(page, ".plots text", "fill") > 180) == dark
    assert (luminance(page, "#summary tbody th", "color") > 180) == dark


def test_print_shows_what_is_on_the_screen_in_light_colours(page: Browser, emulate: Emulate) -> None:
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    emulate("setEmulatedMedia", {"media": "print", "features": [dark]})
    paper = {"width": 700, "height": 990, "deviceScaleFactor": 1, "mobile": False}
    emulate("setDeviceMetricsOverride", paper)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 700, "paper does not scroll"
    assert luminance(page, "body", "background-color") > 250
    assert luminance(page, "body", "color") < 10
    assert shown(page)[0] == pytest.approx(0.5, abs=0.02)


def test_no_panels_no_script_errors(driver: Browser, tmp_path: Path) -> None:
    write_html(tmp_path / "report.html", results(), [])
    driver.get((tmp_path / "report.html").as_uri())
    assert names(driver) == list(METHODS)
    assert driver.get_log("browser") == []


def test_an_image_without_a_clean_side(driver: Browser, tmp_path: Path) -> None:
    panels = [panel(AWKWARD, clean=False), panel(IMAGES[1])]
    write_html(tmp_path / "report.html", results(), panels)
    driver.get((tmp_path / "report.html").as_uri())
    Select(css(driver, "#right")).select_by_visible_text("clean")
    assert texts(driver, ".of-right") == ["clean not available for this image", "clean"]
    assert driver.get_log("browser") == []
