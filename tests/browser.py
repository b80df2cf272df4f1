"""Chromium, as the tests of pages use it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

Browser = webdriver.Chrome
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--window-size=1200,1000",
)  # fmt: skip


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser without a window; skips the test where there is none."""
    browser, server = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if browser is None or server is None:
        pytest.skip("no Chromium here; install the Debian packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(server))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def loaded(driver: Browser, address: str) -> Iterator[Browser]:
    """A page freshly loaded; whatever is done with it, nothing may be reported and nothing fetched."""
    driver.get_log("performance")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # The browser's own start page may still be loading.
    urls = {one["request"]["url"] for one in sent if one["documentURL"] == address}
    assert {url for url in urls if not url.startswith("data:")} == {address}
