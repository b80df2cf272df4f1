"""The paper's Table 1: its images, its rows, and the whole of it on a few pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from baikal_deploy.errors import VolumeError
from baikal_evaluation.careamics.environment import Environment
from baikal_evaluation.cli import main
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Training, TrainingImages
from baikal_evaluation.results import Results, Row
from baikal_evaluation.table1 import datasets, prior
from baikal_evaluation.table1.columns import ROWS, Column, learners
from baikal_evaluation.table1.datasets import PUBLISHED, DataSet, part_of, published, simulated
from baikal_evaluation.table1.table import _cells
from baikal_training.camera import Camera
from baikal_training.simulate import simulate


@pytest.fixture(scope="module")
def care_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CARE's three files with 30 samples each: X (S, C, Z, Y, X), and of Flywing one plane in Y."""
    folder = tmp_path_factory.mktemp("care")
    for name, place in PUBLISHED.items():
        clean = np.stack([simulate(name, (1, 2, 32, 32), seed) for seed in range(30)])
        noisy = np.stack([Camera.at_psnr(one, 12).expose(one, seed) for seed, one in enumerate(clean)])
        target = clean.max(axis=2, keepdims=True) if name == "flywing" else clean
        path = folder / place
        path.parent.mkdir(parents=True)
        scaled = noisy.astype(np.float32) / 10_000
        np.savez(path, X=scaled, Y=target.astype(np.float32), axes=np.array("SCZYX"))
    return folder


def test_parts_are_80_to_10_to_10() -> None:
    parts = Counter(part_of(f"sample {index}") for index in range(5000))
    assert parts["training"] == pytest.approx(4000, abs=120)
    assert parts["validation"] == pytest.approx(500, abs=90)
    assert parts["test"] == pytest.approx(500, abs=90)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_images_are_dealt_out_once(care_folder: Path, name: str) -> None:
    data = published(name, care_folder)
    training, test = ({pair.name for pair in pairs} for pairs in (data.training, data.test))
    assert not training & test
    assert test
    assert len(training) + len(test) < 30  # the rest is for validation
    assert [pair.name for pair in published(name, care_folder, 1).test] == [data.test[0].name]
    noisy, clean = data.test[0].read()
    assert clean is not None
    assert noisy.shape == clean.shape == ((1, 32, 32) if name == "flywing" else (2, 32, 32))
    assert data.test[0].is_volume == (name != "flywing")


def test_published_images_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"Denoising_Tribolium.*not there; unpack"):
        published("tribolium", tmp_path)


def test_simulated_images_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(datasets.SIMULATED["tribolium"], shape=(1, 2, 32, 32))
    monkeypatch.setitem(datasets.SIMULATED, "tribolium", small)
    monkeypatch.setattr(datasets, "PARTS", {"training": (3, 1), "test": (2, 2)})
    first = simulated("tribolium", tmp_path)
    assert (len(first.training), len(first.test)) == (3, 2)
    assert len(simulated("tribolium", tmp_path, 1).test) == 1
    digests = {pair.digest for pair in (*first.training, *first.test)}
    assert len(digests) == 5
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tif")}
    simulated("tribolium", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tif")} == times
    next(iter(times)).unlink()
    assert {pair.digest for pair in simulated("tribolium", tmp_path).training} < digests


@pytest.mark.parametrize("name", PUBLISHED)
def test_n2v_stands_for_structn2v_where_noise_is_correlated(tmp_path: Path, name: str) -> None:
    column = Column(DataSet(name, (), ()), tmp_path, 1, "auto", 0)
    n2v = "structn2v" if name == "tribolium" else "n2v"
    specs = column.specs()
    assert list(specs) == list(ROWS)
    assert specs["N2V"].text == n2v
    assert {spec.guide for spec in specs.values()} == {None, n2v}
    assert learners(column) == ["prior", n2v, "ssid", "care"]


def test_a_method_that_failed_has_no_figures() -> None:
    rows = (Row("a", "m", 0.5, 20.0, 0.01), Row("b", "m", error="no"), Row("a", "n", 0.25, 21.0, 0.02))
    results = Results(rows, "definition", "machine", "command")
    assert _cells(results, "m") == ["failed"] * 3
    assert _cells(results, "n") == ["0.250", "0.0200", "21.00"]


def test_a_prior_that_cannot_learn_says_why(tmp_path: Path) -> None:
    flat = (np.ones((1, 64, 64), np.float32),)
    with pytest.raises(EvaluationError, match=r"baikal-train failed: .*constant"):
        prior.learn_prior(Training(TrainingImages(flat, flat), 0.01, 0, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_whole_table_on_a_few_pixels(care_folder: Path, tmp_path: Path) -> None:
    try:
        Environment.find("n2v")
    except EvaluationError as error:
        pytest.skip(str(error))
    out = tmp_path / "out"
    words = ["--table1", str(care_folder), "-o", str(out), "--minutes", "0.1", "--most", "1"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    lines = (out / "table1.md").read_text().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2 : 2 + len(ROWS)]] == list(ROWS)
    assert "failed" not in result.stdout
    assert "intensities as stored" in lines[-1]
    learnt = {path: path.stat().st_mtime_ns for path in out.rglob("learnt/*")}
    assert len([path for path in learnt if path.name.startswith("prior-")]) == 3
    assert CliRunner().invoke(main, words).stdout == result.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("learnt/*")} == learnt
