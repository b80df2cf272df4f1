"""baikal-eval as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from baikal_evaluation.careamics.environment import Environment
from baikal_evaluation.cli import main
from baikal_evaluation.metrics import AUTHORS, Definition, score
from baikal_evaluation.pairs import find_pairs

FILES = ["report.html", "results.csv", "results.json"]


def baikal_eval(*arguments: Any) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, [*words, "--engine", "analytic"])


def loaded(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


@pytest.fixture
def pairs(pairs_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pairs_folder, tmp_path / "pairs"))


def test_the_whole_command(pairs: Path) -> None:
    result = baikal_eval(pairs, "-m", "noisy gaussian", "-m", "mixing,steps=walk2")
    assert result.exit_code == 0, result.output
    folder = pairs.with_name("pairs_eval")
    assert sorted(path.name for path in folder.iterdir()) == ["predictions", *FILES]
    found = loaded(folder)
    assert list(found["summary"]) == ["noisy", "gaussian", "mixing,steps=walk2"]
    assert found["summary"]["mixing,steps=walk2"]["nfe"] == 2
    assert found["definition"] == str(AUTHORS)
    assert found["oracles"] == ["gaussian"]
    noisy, clean = find_pairs(pairs)[1].read()
    assert clean is not None
    (row,) = (row for row in found["rows"] if row["method"] == "noisy" and row["image"].endswith("0001"))
    assert row["psnr"] == score(noisy, clean, AUTHORS, True).psnr
    for word in ("gaussian", str(AUTHORS), f"{found['summary']['noisy']['metrics']['psnr']['mean']:.2f}"):
        assert word in result.stdout
        assert word in (folder / "report.html").read_text()


def test_options_of_the_metrics(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--stored", "--data-range", "65535", "--per-plane", "--fit", "affine"]
    assert baikal_eval(pairs, "-o", out, "-m", "noisy", *options).exit_code == 0
    expected = Definition(None, False, "affine", 65535.0, 65535.0)
    assert loaded(out)["definition"] == str(expected)
    noisy, clean = find_pairs(pairs)[0].read()
    assert clean is not None
    assert loaded(out)["rows"][0]["ssim"] == score(noisy, clean, expected, True).ssim


def test_a_second_run_denoises_nothing_again(pairs: Path) -> None:
    assert baikal_eval(pairs, "-m", "noisy mixing").exit_code == 0
    predictions = pairs.with_name("pairs_eval") / "predictions"
    before = {path: path.stat().st_mtime_ns for path in predictions.iterdir()}
    assert len(before) == 6
    assert baikal_eval(pairs, "-m", "noisy mixing repaint").exit_code == 0
    after = {path: path.stat().st_mtime_ns for path in predictions.iterdir()}
    assert len(after) == 9
    assert before.items() <= after.items()


def test_without_a_clean_side_noise_is_all_there_is(pairs: Path) -> None:
    shutil.rmtree(pairs / "clean")
    result = baikal_eval(pairs, "-m", "noisy gaussian mixing")
    assert result.exit_code == 0, result.output
    found = loaded(pairs.with_name("pairs_eval"))
    assert {row["psnr"] for row in found["rows"]} == {None}
    assert found["summary"]["gaussian"]["failures"] == 3
    assert "chooses its sigma by the clean image" in result.stdout


def test_an_ablation(pairs: Path) -> None:
    for path in sorted(pairs.glob("*/*"))[1::3] + sorted(pairs.glob("*/*"))[2::3]:
        path.unlink()  # one image is enough
    result = baikal_eval(pairs, "--ablation", "start")
    assert result.exit_code == 0, result.output
    folder = pairs.with_name("pairs_eval")
    assert {path.name for path in folder.iterdir()} >= {*FILES, "ablation-start.csv", "ablation-start.svg"}
    assert len((folder / "ablation-start.csv").read_text().splitlines()) == 9


def constant(pairs: Path) -> None:
    for path in list((pairs / "clean").iterdir()):
        path.unlink()
        np.save(path.with_name(path.name.replace(".ome.tif", ".npy")), np.full((2, 48, 64), 7, np.uint16))


def unmatched(pairs: Path) -> None:
    path = sorted((pairs / "noisy").iterdir())[0]
    path.rename(path.with_name("stranger.ome.tif"))


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (unmatched, [], "stranger"),
        (None, ["-m", "magic"], "unknown method 'magic'"),
        (None, ["-m", "care"], "--train"),
        (None, ["--model", "zebra", "-m", "mixing"], "model 'zebra'"),
        (None, ["--data-range", "0"], "data range is 0"),
        (None, ["--minutes", "0"], "minutes 0"),
        (None, ["--table1", "simulated"], "give PAIRS, or --table1"),
        (None, ["--channel", "GFP", "-m", "noisy"], "GFP"),
        (None, ["-m", ""], "no method"),
        (None, ["--most", "2"], "--most: changes nothing without --table1"),
        (None, ["--ablation", "start", "-m", "noisy"], "--methods: changes nothing with --ablation"),
    ],
)
def test_bad_input_is_one_line(pairs: Path, spoil: Any, arguments: list[str], words: str) -> None:
    if spoil is not None:
        spoil(pairs)
    result = baikal_eval(pairs, *arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_images_without_contrast_are_told(pairs: Path) -> None:
    constant(pairs)
    result = baikal_eval(pairs, "-m", "noisy")
    assert result.exit_code == 0, result.output
    assert "is constant" in result.stdout
    assert loaded(pairs.with_name("pairs_eval"))["summary"]["noisy"]["failures"] == 3


def test_neither_pairs_nor_table() -> None:
    result = baikal_eval()
    assert result.exit_code == 2
    assert "give PAIRS, or --table1" in result.stderr


def test_the_current_folder_as_pairs(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results go beside it."""
    monkeypatch.chdir(pairs)
    result = baikal_eval(".", "-m", "noisy")
    assert result.exit_code == 0, result.output
    assert (pairs.with_name(f"{pairs.stem}_eval") / "results.csv").exists()
    assert "(-o)" in baikal_eval("/", "-m", "noisy").stderr


def test_a_table_without_careamics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAIKAL_BASELINES", str(tmp_path / "none"))
    result = baikal_eval("--table1", "simulated", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "make baselines" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_table_of_other_methods(tmp_path: Path) -> None:
    result = baikal_eval("--table1", "simulated", "-o", tmp_path / "out", "-m", "noisy")
    assert result.exit_code == 2
    assert "--methods: changes nothing with --table1" in result.stderr


def test_data_sets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Environment, "find", lambda method: None)
    result = baikal_eval("--table1", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "Denoising_Planaria" in result.stderr
    assert "docs/results.md" in result.stderr
