"""Make the pictures of the docs anew, from the sample volume and a real image, with the shipped model.

python docs/make_pictures.py [NAME...]     # before_after real orthogonal trust report live; without names, all

report and live are photographs of the pages in Chromium: they need chromium and chromedriver.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from baikal_deploy import LiveDenoiser
from baikal_deploy.serve import Address, serve_page

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SAMPLE = ROOT / "examples" / "nuclei.ome.zarr"
REAL = ROOT / "examples" / "real_nuclei.png"
"""A real image with its own noise, CC0, that no shipped model has learnt; docs/licences.md says where it is from."""
SHOWN = (slice(16, 144), slice(122, 250))
"""The part of it that is shown, enlarged."""
PLANE = 4
"""The plane of the sample that is shown, near its middle."""
ROW = 97
"""The row of it that is cut along z."""
GAP = 6
ENLARGED = 2
Z_STEP = 3
"""Planes of the sample are as far apart as three of its pixels are wide."""

Grey = NDArray[np.uint8]


def run(folder: Path, output: str, image: Path = SAMPLE, **more: str) -> Path:
    """Denoise an image as the command does, in a folder, so that pages show names and no paths."""
    options = [word for name, value in more.items() for word in (f"--{name}", value)]
    if image.is_dir():
        shutil.copytree(image, folder / image.name, dirs_exist_ok=True)
    else:
        shutil.copy(image, folder)
    words = [sys.executable, "-m", "baikal_deploy", "run", image.name, output, *options]
    subprocess.run(words, check=True, cwd=folder)
    return folder / output


def level_0(path: Path) -> NDArray[Any]:
    """The pixels of the sample's one channel, (z, y, x)."""
    return np.asarray(zarr.open_group(path, mode="r")["0"])[0]


def grey(values: NDArray[Any], low: float, high: float) -> Grey:
    return (255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)


def beside(*pictures: Grey) -> Grey:
    """Pictures of one height in a row, on white."""
    gap = np.full((pictures[0].shape[0], GAP), 255, np.uint8)
    return np.hstack([part for picture in pictures for part in (picture, gap)][:-1])


def below(*pictures: Grey) -> Grey:
    return beside(*(picture.T for picture in pictures)).T


def enlarged(picture: Grey, times: int = ENLARGED) -> Grey:
    return picture.repeat(times, 0).repeat(times, 1)


def save(name: str, picture: Grey) -> None:
    Image.fromarray(np.ascontiguousarray(picture)).save(IMAGES / f"{name}.png", optimize=True)


def before_after(folder: Path) -> None:
    """Projections before and after, and what has changed: the first picture of README."""
    run(folder, "looked.ome.zarr", preview=str(IMAGES / "before_after.png"))


def real(folder: Path) -> None:
    """A real plane before and after, and what was removed, four times as strong."""
    noisy = np.asarray(Image.open(REAL)).astype(float)
    clean = np.asarray(zarr.open_group(run(folder, "real.ome.zarr", REAL, dtype="float32"), mode="r")["0"])
    low, high = np.percentile(clean, (0.5, 99.8))
    most = (high - low) / 8
    shown = [grey(noisy, low, high), grey(clean, low, high), grey(noisy - clean, -most, most)]
    save("real", beside(*(enlarged(picture[SHOWN]) for picture in shown)))


def orthogonal(folder: Path) -> None:
    """A plane, and a cut along z below it, before and after."""
    noisy, clean = level_0(SAMPLE), level_0(run(folder, "clean.ome.zarr"))
    low, high = np.percentile(clean, (0.5, 99.8))

    def views(volume: NDArray[Any]) -> Grey:
        plane, cut = grey(volume[PLANE], low, high), grey(volume[:, ROW], low, high)
        return below(enlarged(plane), enlarged(cut.repeat(Z_STEP, 0)))

    save("orthogonal", beside(views(noisy), views(clean)))


def trust(folder: Path) -> None:
    """A plane before and after, how sure each of its pixels is, and what contradicts the data."""
    result = run(folder, "trusted.ome.zarr", uncertainty="std.ome.zarr", mask="mask.ome.zarr")
    paths = (SAMPLE, result, folder / "std.ome.zarr", folder / "mask.ome.zarr")
    noisy, clean, error, suspect = (level_0(path)[PLANE] for path in paths)
    low, high = np.percentile(clean, (0.5, 99.8))
    shown = [grey(noisy, low, high), grey(clean, low, high)]
    save("trust", beside(*shown, grey(error, 0, np.percentile(error, 99.8)), grey(suspect, 0, 1)))


def report(folder: Path) -> None:
    """The page of --report."""
    run(folder, "nuclei_denoised.ome.zarr", report="look.html")
    with chromium(folder) as browser:
        browser.get((folder / "look.html").as_uri())
        time.sleep(1)
        photograph(browser, "report")


def live(folder: Path) -> None:
    """The live page, while the planes of the sample come as frames, as fast as they can be denoised."""
    frames, ended, enough = level_0(SAMPLE), threading.Event(), threading.Event()

    def camera(denoiser: LiveDenoiser) -> None:
        number = settled = 0
        while not ended.is_set():
            denoiser.submit(frames[number % len(frames)], channel="nuclei").result()
            number, settled = number + 1, settled + denoiser.statistics.settled
            if settled == len(frames):
                enough.set()

    with LiveDenoiser("general") as denoiser, serve_page(denoiser, Address(port=0)) as page:
        source = threading.Thread(target=camera, args=(denoiser,))
        source.start()
        try:
            with chromium(folder) as browser:
                browser.get(page.url)
                enough.wait()
                photograph(browser, "live")
        finally:
            ended.set()
            source.join()


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--window-size=1100,900", "--hide-scrollbars"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.binary_location, driver = found("chromium"), found("chromedriver")
    browser = webdriver.Chrome(options, Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        sys.exit(f"error: no {program} here; install the Debian packages chromium and chromium-driver")
    return path


def photograph(browser: webdriver.Chrome, name: str) -> None:
    """A screenshot, in a palette, which takes a third of the space."""
    path = IMAGES / f"{name}.png"
    browser.save_screenshot(str(path))
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(64)
    reduced.save(path, optimize=True)


PICTURES: dict[str, Callable[[Path], None]] = {
    made.__name__: made for made in (before_after, real, orthogonal, trust, report, live)
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for name in sys.argv[1:] or PICTURES:
            PICTURES[name](Path(temporary))
