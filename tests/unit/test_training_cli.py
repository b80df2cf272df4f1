"""baikal-train from its options to its checkpoint, and how it ends when something is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from scipy.ndimage import gaussian_filter

from baikal_deploy.intensity import Normalisation
from baikal_training.checkpoint import Checkpoint
from baikal_training.cli import main
from baikal_training.data import read_clean
from baikal_training.losses import Diffusion
from baikal_training.unet import UNet

# Crops this small lose more to threads waiting for each other than they gain.
torch.set_num_threads(1)

NAMES = [f"{i}.png" for i in range(6)]
"""By the hash of its name, 0.png is the one to validate with."""
QUICK = ["--iterations", "20", "--batch", "2", "--crop", "32"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    for seed, name in enumerate(NAMES):
        soft = gaussian_filter(np.random.default_rng(seed).standard_normal((64, 64)), 3)
        grey = 255 * (soft - soft.min()) / np.ptp(soft)
        Image.fromarray(grey.astype(np.uint8)).save(folder / name)
    return folder


def train(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def loss_of(net: UNet, checkpoint: Checkpoint, folder: Path) -> float:
    diffusion = Diffusion(checkpoint.schedule.build(), checkpoint.objective)
    planes = read_clean(folder, checkpoint.normalisation)
    x0 = torch.from_numpy(np.stack([plane.pixels for plane in planes]))[:, None]
    noise, t = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)), torch.arange(6) * 100
    with torch.no_grad():
        return diffusion.loss(net, x0, t, noise).item()


def test_short_training_writes_a_checkpoint_that_has_learned(clean: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    result = train(clean, "-o", output, *QUICK, "--learning-rate", "0.1", "--seed", "3")
    assert result.exit_code == 0, result.stderr
    assert "5 planes to train on, 1 to validate with" in result.stderr
    assert "one-evaluation PSNR" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt"]

    checkpoint = Checkpoint.load(output)
    torch.manual_seed(3)
    untrained = UNet(checkpoint.unet)
    assert loss_of(checkpoint.network(), checkpoint, clean) < 0.97 * loss_of(untrained, checkpoint, clean)

    assert checkpoint.normalisation == Normalisation()
    record = checkpoint.training
    assert (record["planes"], record["validation_planes"]) == (5, 1)
    assert record["config"]["learning_rate"] == 0.1
    assert record["config"]["crop"] == 32
    assert np.isfinite(list(record["validation_psnr_db"].values())).all()


def fails(result: Result, output: Path, match: str) -> None:
    """Exit code 2, one line that says what is wrong, and nothing written."""
    assert result.exit_code == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert match in errors[0]
    assert errors[0] == result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert not output.exists()
    assert not output.with_name(output.name + ".partial").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--crop", "33"], "--crop 33: must be a multiple of 16"),
        (["--crop", "0"], "at least 1"),
        (["--iterations", "0"], "at least 1"),
        (["--batch", "-2"], "at least 1"),
    ],
    ids=str,
)
def test_bad_options_fail_before_anything_is_read(options: list[str], match: str, tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    result = train(tmp_path / "not looked at", "-o", output, *QUICK, *options)
    fails(result, output, match)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--learning-rate", "-1"]], ids=str)
def test_impossible_settings_fail_in_one_line(options: list[str], clean: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    fails(train(clean, "-o", output, *QUICK, *options), output, options[0].strip("-").replace("-", " "))


def test_missing_and_empty_folders_fail(tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    fails(train(tmp_path / "gone", "-o", output, *QUICK), output, "gone: no such folder of clean images")
    (tmp_path / "empty").mkdir()
    fails(train(tmp_path / "empty", "-o", output, *QUICK), output, "empty: no TIFF or PNG images in it")


def test_missing_output_folder_fails(clean: Path, tmp_path: Path) -> None:
    output = tmp_path / "gone" / "net.pt"
    fails(
        train(clean, "-o", output, *QUICK),
        output,
        "cannot be written; give a file name in a folder you may write to",
    )


def test_corrupt_image_fails_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    fails(
        train(tmp_path, "-o", tmp_path / "net.pt", *QUICK), tmp_path / "net.pt", "broken.png: cannot be read"
    )


def test_too_few_images_fail(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes((clean / "1.png").read_bytes())
    fails(
        train(tmp_path, "-o", tmp_path / "net.pt", *QUICK),
        tmp_path / "net.pt",
        "too few clean files to split",
    )


def test_diverging_training_fails_and_writes_nothing(clean: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    result = train(clean, "-o", output, *QUICK, "--learning-rate", "1e30")
    fails(result, output, "lower --learning-rate")


@pytest.mark.parametrize(
    "options", [[], ["--prediction", "x0"], ["--schedule", "square"], ["--iterations", "many"]], ids=str
)
def test_usage_errors_have_exit_code_2(options: list[str], tmp_path: Path) -> None:
    output = [] if not options else ["-o", str(tmp_path / "net.pt")]
    result = train(tmp_path, *output, *options)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (tmp_path / "net.pt").exists()
