"""baikal-train with a model to start from and few images: what is taken where nothing was given."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from baikal_training.checkpoint import Checkpoint
from baikal_training.cli import main
from baikal_training.options import FROM_NOTHING, TO_FEW_IMAGES
from baikal_training.runs import levels_in
from baikal_training.start import Start
from baikal_training.validation import SIGMAS
from tests.clean import soft_plane
from tests.models import tiny_checkpoint

SMALL = ["--crop", "32", "--no-bf16", "--iterations", "2", "--batch", "2"]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first") / "first.pt"
    tiny_checkpoint().save(path)
    return path


def images(folder: Path, count: int, side: int = 64) -> Path:
    folder.mkdir()
    for seed in range(count):
        Image.fromarray(soft_plane(seed, side)).save(folder / f"{seed:03d}.png")
    return folder


def train(*arguments: Any) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return result


@pytest.mark.parametrize("count", [1, 3, 10])
def test_few_images_are_all_learnt_from(count: int, first: Path, tmp_path: Path) -> None:
    clean, output = images(tmp_path / "clean", count, 96), tmp_path / "mine.pt"
    result = train(clean, "--init", first, "-o", output, *SMALL)
    few = "1 image is" if count == 1 else f"{count} images are"
    assert f"{few} too few to set some aside: all are learnt from but for the lowest rows" in result.stderr
    assert "before training: one-evaluation PSNR on validation volumes" in result.stderr
    assert "5% of the time" in result.stderr
    checkpoint = Checkpoint.load(output)
    assert [v["shape"] for v in checkpoint.split["training"]] == [[72, 96]] * count
    assert [v["shape"] for v in checkpoint.split["validation"]] == [[24, 96]] * count
    assert checkpoint.split["test"] == []
    assert checkpoint.training["before"]["model"] == "first.pt"
    before, after = checkpoint.training["start_psnr_db"], levels_in(checkpoint.training["final"])
    assert list(before) == list(after) == [str(sigma) for sigma in SIGMAS]
    gain = np.mean([after[level] - before[level] for level in before])
    assert f"on validation volumes {gain:+.2f} dB in the mean against the model" in result.stderr
    with (tmp_path / "mine_run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["0", "2"]
    assert [bool(row["loss"]) for row in rows] == [False, True]
    assert all(row["psnr_0.5"] for row in rows)
    assert len(list((tmp_path / "mine_run" / "panels").iterdir())) == 2


def test_images_that_are_too_small_for_strips_are_learnt_from_whole(first: Path, tmp_path: Path) -> None:
    result = train(images(tmp_path / "clean", 2, 40), "--init", first, "-o", tmp_path / "mine.pt", *SMALL)
    assert "2 images are too few, and too small, to set some pixels aside" in result.stderr


def test_a_run_with_strips_continues(first: Path, tmp_path: Path) -> None:
    command = [images(tmp_path / "clean", 2, 96), "--init", first, "-o", tmp_path / "mine.pt", *SMALL]
    train(*command)
    before = Checkpoint.load(tmp_path / "mine.pt")
    train(*command, "--resume")
    after = Checkpoint.load(tmp_path / "mine.pt")
    assert all(torch.equal(after.ema[name], value) for name, value in before.ema.items())
    assert after.training["start_psnr_db"] == before.training["start_psnr_db"] is not None


def test_a_split_that_is_asked_for_is_made(first: Path, tmp_path: Path) -> None:
    clean, output = images(tmp_path / "clean", 4), tmp_path / "mine.pt"
    train(clean, "--init", first, "-o", output, *SMALL, "--split", "50:50:0")
    split = Checkpoint.load(output).split
    assert len(split["training"]) + len(split["validation"]) == 4
    assert split["validation"]
    assert {tuple(v["shape"]) for part in split.values() for v in part} == {(64, 64)}


def test_many_images_are_split_and_none_from_nothing_get_strips(first: Path, tmp_path: Path) -> None:
    clean = images(tmp_path / "clean", 20)
    train(clean, "--init", first, "-o", tmp_path / "mine.pt", *SMALL)
    (tmp_path / "small.toml").write_text("channels = [8, 16]\nblocks = [1, 1]\n")
    few = images(tmp_path / "few", 5)
    train(few, "--unet", tmp_path / "small.toml", "-o", tmp_path / "fresh.pt", *SMALL)
    for name in ("mine", "fresh"):
        split = Checkpoint.load(tmp_path / f"{name}.pt").split
        assert all(split.values())
        assert {tuple(v["shape"]) for part in split.values() for v in part} == {(64, 64)}


def manner_of(output: Path) -> tuple[Any, ...]:
    record = Checkpoint.load(output).training
    config = record["config"]
    zooms = record["augmentation"]["zoom"][0] != record["augmentation"]["zoom"][1]
    augmentation = "wide" if zooms else "narrow"
    return config["batch"], config["learning_rate"], config["warm_up"], augmentation


def test_the_manner_of_training_follows_from_the_start(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, plain = images(tmp_path / "clean", 5), ["--crop", "32", "--no-bf16", "--iterations", "1"]
    few, usual = (
        (m.batch, m.learning_rate, m.warm_up, m.augmentation) for m in (TO_FEW_IMAGES, FROM_NOTHING)
    )
    assert few != usual
    result = train(clean, "--init", first, "-o", tmp_path / "a.pt", *plain)
    assert manner_of(tmp_path / "a.pt") == few
    assert f"unless given: {TO_FEW_IMAGES.summary()}\n" in result.stderr
    given = ["--batch", "2", "--learning-rate", "1e-5", "--warm-up", "3", "--augmentation", "wide"]
    train(clean, "--init", first, "-o", tmp_path / "b.pt", *plain, *given)
    assert manner_of(tmp_path / "b.pt") == (2, 1e-5, 3, "wide")
    monkeypatch.setattr("baikal_training.cli.MOST_FEW", 4)
    train(clean, "--init", first, "-o", tmp_path / "c.pt", *plain)
    assert manner_of(tmp_path / "c.pt") == usual


def test_a_shipped_model_learns_one_image(tmp_path: Path) -> None:
    """The whole command of the page: a name, one image, a time, and nothing else."""
    clean, output = images(tmp_path / "clean", 1, 96), tmp_path / "mine.pt"
    train(clean, "--init", "nuclei", "--minutes", "0.01", "--crop", "32", "-o", output)
    checkpoint = Checkpoint.load(output)
    assert checkpoint.training["before"]["model"] == "nuclei"
    assert checkpoint.training["before"]["sha256"] == Start.of("nuclei").sha256
    assert checkpoint.training["iterations"] >= 1
    assert np.isfinite(checkpoint.training["final"]["psnr_0.5"])
