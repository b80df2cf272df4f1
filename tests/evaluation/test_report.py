"""Results as a table, as files, and as a page; what a browser makes of the page is in test_report_browser."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from base64 import b64decode
from dataclasses import replace
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.report import Panel, choose, print_table, write_csv, write_html, write_json
from baikal_evaluation.report.panels import PICTURES, SIDE, picture
from baikal_evaluation.report.plots import COLOURS, mark, plots
from baikal_evaluation.results import Results, Row
from tests.made_up_results import AWKWARD, DEFINITION, IMAGES, METHODS, all_rows, panel, results, row


def no_clean_side() -> Results:
    rows = [Row(image, "noisy", noise_before=2.0, noise_after=2.0, planes=1) for image in IMAGES]
    return results(rows + [replace(one, method="blur", noise_after=0.25) for one in rows])


CASES = [
    pytest.param(results(), id="all"),
    pytest.param(results([row(AWKWARD, "noisy")]), id="one image, one method"),
    pytest.param(no_clean_side(), id="no clean side"),
    pytest.param(results([Row(AWKWARD, "bad", error="no, 'never'\nat all")]), id="only failures"),
    pytest.param(results([]), id="nothing"),
    pytest.param(results([Row(i, m, psnr=math.inf) for i in IMAGES for m in "ab"]), id="exact"),
]


def from_csv(line: dict[str, str]) -> Row:
    """A row as its line has it; an empty field is None."""
    kinds: dict[str, Any] = {"image": str, "method": str, "error": str, "nfe": int, "planes": int}
    return Row(
        **{
            name: kinds.get(name, float)(text) if text else None
            for name, text in line.items()
            if name != "definition"
        }
    )


@pytest.mark.parametrize("found", CASES)
def test_csv_holds_every_digit_of_every_row(tmp_path: Path, found: Results) -> None:
    write_csv(tmp_path / "results.csv", found)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(from_csv(line) for line in lines) == found.rows
    assert all(line["definition"] == DEFINITION for line in lines)


@pytest.mark.parametrize("found", CASES)
def test_json_holds_everything(tmp_path: Path, found: Results) -> None:
    write_json(tmp_path / "results.json", found)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)
    numbers = dict.fromkeys(("ssim", "psnr", "mse", "noise_before", "noise_after"), float)
    rows = [
        {k: v if v is None else numbers.get(k, lambda x: x)(v) for k, v in one.items()}
        for one in data["rows"]
    ]
    assert tuple(Row(**one) for one in rows) == found.rows
    for name in ("definition", "command", "machine", "versions"):
        assert data[name] == getattr(found, name)
    assert list(data["summary"]) == list(data["differences"]) == found.methods
    for method, one in found.summary().items():
        assert data["summary"][method]["failures"] == one.failures
        for name, interval in one.metrics.items():
            assert {
                k: float(v) for k, v in one_of(data["summary"], method, name).items()
            } == interval._asdict()
    for reference in found.methods:
        for method, difference in found.differences(reference).items():
            for name, interval in difference.metrics.items():
                stored = one_of(data["differences"][reference], method, name)
                assert {k: float(v) for k, v in stored.items()} == interval._asdict()


def one_of(part: Any, method: str, metric: str) -> dict[str, Any]:
    interval: dict[str, Any] = part[method]["metrics"][metric]
    return interval


@pytest.mark.parametrize("write", [write_csv, write_json, lambda path, found: write_html(path, found, [])])
def test_a_file_is_replaced_at_once_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    path = tmp_path / "out"
    path.write_text("the last one")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full_disk)
        with pytest.raises(EvaluationError, match=r"out: cannot be written \(No space left on device\)"):
            write(path, results())
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out", "the last one")]
    write(path, results())
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert "noisy" in path.read_text(encoding="utf-8")


def full_disk(*paths: Path) -> None:
    assert Path(paths[0]).read_text(encoding="utf-8"), "the whole text is there before the file is replaced"
    raise OSError(28, "No space left on device")


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be written"):
        write_csv(tmp_path / "none" / "results.csv", results())


def test_names_of_files_that_are_not_utf8(tmp_path: Path) -> None:
    """Python holds their bytes as surrogates, which no encoding has."""
    name = b"n\xfc.tif".decode("utf-8", "surrogateescape")
    found = results([Row(name, "noisy", psnr=30.0)])
    write_csv(tmp_path / "a.csv", found)
    write_html(tmp_path / "a.html", found, [])
    write_json(tmp_path / "a.json", found)
    assert json.loads((tmp_path / "a.json").read_text())["rows"][0]["image"] == name


def printed(found: Results, **options: Any) -> str:
    console = Console(file=io.StringIO(), **options)
    print_table(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_table_has_a_line_of_each_method_when_it_is_piped() -> None:
    lines = printed(results()).splitlines()
    for method, one in results().summary().items():
        (line,) = [line for line in lines if line.startswith(f"{method} ") and " failed on " not in line]
        mean, low, high = one.metrics["psnr"]
        assert re.search(rf"{mean:.2f}\*? \[{low:.2f}, {high:.2f}\]", line)
        assert re.search(rf" {one.nfe:g} +{one.seconds_per_plane:.3g} ", line)
    assert next(line for line in lines if line.startswith(METHODS[2])).endswith("5/6")


def test_table_marks_the_best_tells_failures_and_defines_the_metrics() -> None:
    text = printed(results(oracles=frozenset()))
    assert [line.split()[0] for line in text.splitlines() if re.search(r"\d\* ", line)] == [METHODS[1]]
    assert f'{METHODS[2]} failed on {IMAGES[2]}: sampler: <script>alert(1)</script>, out of "memory"' in text
    assert DEFINITION in text
    assert "(oracle)" not in text
    assert f"{METHODS[1]} (oracle)" in printed(results())


def test_no_escapes_and_no_lines_when_it_is_piped() -> None:
    console = Console(file=io.StringIO())
    print_table(results(), console)
    assert not re.search(r"[\x1b─│]", console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [70, 80, 100, 200])
def test_table_fits_the_terminal_and_loses_nothing(width: int) -> None:
    text = printed(results(), force_terminal=True, width=width)
    table = text[: text.index("failed on")].rsplit("\n", 1)[0]
    assert max(map(len, table.splitlines())) <= width
    assert "…" not in table
    for one in results().summary().values():
        for number in one.metrics["psnr"]:
            assert f"{number:.2f}" in table


@pytest.mark.parametrize("found", CASES)
def test_table_of_anything(found: Results) -> None:
    assert DEFINITION in printed(found)


def test_names_that_look_like_markup_are_printed_as_they_are() -> None:
    rows = [Row("[red]a", "[bold]m", psnr=30.0), Row("[red]b", "[bold]m", error="[/]")]
    lines = printed(results(rows)).splitlines()
    assert any(line.startswith("[bold]m 30.00") for line in lines)
    assert "[bold]m failed on [red]b: [/]" in lines


def test_few_images_have_no_interval() -> None:
    found = results([row(image, "noisy") for image in IMAGES[:2]])
    assert "[" not in printed(found)
    assert "no confidence intervals" in printed(found)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(path, results(), [panel(image) for image in IMAGES])
    return path.read_text(encoding="utf-8")


def test_page_escapes_names_and_messages(page: str) -> None:
    assert "<script>alert" not in page
    assert "<b>&" not in page
    assert METHODS[1] not in page
    assert AWKWARD in unescape(page)
    assert "Abacus <9000>" in unescape(page)
    assert DEFINITION in unescape(page)
    assert "baikal-eval a --methods 'b&c'" in unescape(page)


def test_page_refers_to_nothing_outside(page: str) -> None:
    """All addresses are data, or places in the page itself."""
    addresses = re.findall(r'(?:src|href|action|srcset)="([^"]*)"|url\(([^)]*)\)|@import', page)
    assert addresses
    assert all((a or b).startswith(("data:", "#")) for a, b in addresses)
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://", without_namespaces)
    assert "default-src 'none'" in page


def test_page_of_a_method_that_changes_nothing_shows_it_once(page: str) -> None:
    assert page.count("<img ") == len(IMAGES) * 4
    left = page[page.index('id="left"') : page.index('id="right"')]
    assert re.findall(r'<option value="(\S+)"', left) == ["noisy", "method-1", "method-2", "clean"]


def test_page_first_shows_the_best_method_and_rather_no_oracle(tmp_path: Path) -> None:
    rows = [row(image, method) for image in IMAGES for method in METHODS]
    assert first_shown(tmp_path, results(rows)) == METHODS[2]
    assert first_shown(tmp_path, results(rows, oracles=frozenset())) == METHODS[2]
    assert first_shown(tmp_path, results(rows, oracles=frozenset(METHODS[2:]))) == METHODS[1]
    assert first_shown(tmp_path, results([Row(*pair) for pair in product(IMAGES, METHODS)])) == METHODS[2]
    assert first_shown(tmp_path, results(rows), METHODS[:1]) == "clean"


def first_shown(folder: Path, found: Results, methods: tuple[str, ...] = METHODS) -> str:
    """The choice for the right side when the page is opened."""
    write_html(folder / "report.html", found, [panel(image, methods) for image in IMAGES])
    page = (folder / "report.html").read_text(encoding="utf-8")
    (title,) = re.findall(r'<option value="[^"]*" selected>([^<]*)', page[page.index('id="right"') :])
    return unescape(title)


@pytest.mark.parametrize("found", CASES)
def test_page_of_anything(tmp_path: Path, found: Results) -> None:
    panels = [
        panel(image, tuple(found.methods), clean="psnr" in str(found.metrics)) for image in found.images
    ]
    write_html(tmp_path / "report.html", found, panels)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(image in unescape(text) for image in found.images)
    assert DEFINITION in unescape(text)
    assert ("<svg" in text) == ("psnr" in str(found.metrics))


def decoded(address: str) -> NDArray[Any]:
    head, data = address.split(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(b64decode(data))).convert("L"), dtype=np.float64)


def test_pictures_of_a_panel_have_the_contrast_of_its_clean_side() -> None:
    one = panel(AWKWARD)
    assert one.contrast == (0, 1)
    assert np.abs(decoded(picture(one.clean, one.contrast)) - 255 * one.clean).max() < 30  # type: ignore[arg-type, operator]
    alone = replace(one, clean=None)
    assert alone.contrast == pytest.approx(np.percentile(one.noisy, (0.5, 99.8)))
    dark = decoded(picture(one.noisy * 0 - 9, one.contrast))
    assert dark.max() < 3
    grey = decoded(picture(one.noisy * 0 + 0.5, one.contrast))
    assert abs(grey.mean() - 127.5) < 3


@pytest.mark.parametrize("plane", [np.full((9, 9), 7), np.full((9, 9), np.nan), np.full((9, 9), np.inf)])
def test_picture_of_a_plane_with_nothing_in_it(plane: NDArray[Any]) -> None:
    one = Panel("a", plane.astype(np.float32), None, {})
    assert decoded(picture(one.noisy, one.contrast)).shape == (9, 9)
    assert one.cropped().noisy.shape == (9, 9)


def test_large_planes_are_cut_to_their_brightest_part_and_not_reduced() -> None:
    clean = np.zeros((700, 1300), np.float32)
    clean[150:650, 700:1200] = np.random.default_rng(0).uniform(1, 2, (500, 500))
    one = Panel("a", clean + 5, clean, {"m": clean + 1})
    y, x = one.corner
    assert 138 <= y <= 150
    assert 688 <= x <= 700
    part = one.cropped()
    assert part.noisy.shape == (SIDE, SIDE)
    for cut, whole in ((part.noisy, one.noisy), (part.clean, clean), (part.predictions["m"], clean + 1)):
        np.testing.assert_array_equal(cut, whole[y : y + SIDE, x : x + SIDE])  # type: ignore[arg-type]
        assert cut is not None
        assert cut.base is None, "a view would keep the whole plane in memory"


def many(images: int, methods: int) -> Results:
    rng = np.random.default_rng(0)
    names = [(f"image {i}", f"method {j}") for i in range(images) for j in range(methods)]
    return results([Row(image, method, psnr=rng.uniform(20, 40)) for image, method in names])


def test_of_many_images_the_worst_median_and_best_are_shown() -> None:
    found = many(31, 100)
    first, second = found.done("method 0"), found.done("method 1")
    order = sorted(found.images, key=lambda image: (second[image].psnr or 0) - (first[image].psnr or 0))
    assert set(choose(found, found.images)) == {order[0], order[15], order[30]}


def test_a_failure_is_the_worst() -> None:
    rows = list(many(31, 100).rows)
    rows[5 * 100 + 1] = Row("image 5", "method 1", error="no")
    found = results(rows)
    assert "image 5" in choose(found, found.images)


def test_choosing_is_in_order_and_again_the_same() -> None:
    found = many(30, 10)
    chosen = choose(found, found.images)
    assert len(chosen) == PICTURES // 12
    assert chosen == sorted(chosen, key=found.images.index)
    assert choose(found, chosen) == chosen


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (
            slice(None),
            "Shown: 3 of 30 images: the worst, the best and some evenly between, by PSNR (dB) of method 1",
        ),
        (slice(2), "Shown: 2 of 30 images."),
    ],
)
def test_page_says_what_was_left_out(tmp_path: Path, passed: slice, told: str) -> None:
    found = many(30, 50)
    path = tmp_path / "report.html"
    write_html(path, found, [panel(image, ("method 0", "method 1"), 8) for image in found.images[passed]])
    assert told in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_page_of_pure_noise_stays_within_40_mb(tmp_path: Path) -> None:
    found = many(30, 10)
    noise = np.random.default_rng(0).normal(0, 1, (11, SIDE, SIDE)).astype(np.float32)
    planes = dict(zip(found.methods, noise[1:], strict=True))
    panels = [Panel(image, noise[0], noise[0][::-1], planes) for image in found.images]
    write_html(tmp_path / "report.html", found, panels)
    assert 10e6 < (tmp_path / "report.html").stat().st_size < 40e6


def test_plots_show_every_image_take_the_colour_of_the_page_and_share_no_names() -> None:
    found = plots(results())
    by_method, by_nfe = found.values()
    assert len(re.findall(r"<use ", by_method)) >= sum(row.psnr is not None for row in all_rows())
    for svg in (by_method, by_nfe):
        assert svg.startswith("<svg viewBox=")
        assert "currentColor" in svg
        assert "<path" in svg
    names = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (by_method, by_nfe)]
    assert all(names)
    assert not names[0] & names[1]
    for svg, ids in zip((by_method, by_nfe), names, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) <= ids


def test_plots_are_the_same_each_time() -> None:
    assert plots(results()) == plots(results())


def test_methods_look_different() -> None:
    looks = {mark(number) for number in range(5 * len(COLOURS))}
    assert len(looks) == 5 * len(COLOURS)
