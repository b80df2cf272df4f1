"""baikal-models lists, describes and compares."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from baikal_deploy.cli.models import main
from baikal_deploy.models import manifest
from baikal_deploy.models.manifest import DEFAULT_MODEL, find_model, shipped_models
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.report.comparison import correlation
from tests.e2e.conftest import write_zarr


def models(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_shipped_models_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baikal_deploy.cli._models_text.ALIASES", {"grains": "tribolium"})
    result = models()
    assert result.exit_code == 0, result.output
    for name in shipped_models():
        assert f"\n{name}" in f"\n{result.stdout}"
    assert f"{DEFAULT_MODEL} (default)" in result.stdout
    assert "BSD-3-Clause" in result.stdout
    assert "9.1 MB, fp32" in result.stdout
    assert "grains is a former name of tribolium" in result.stdout


def test_a_model_is_described(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    shutil.copy(find_model("tribolium"), own)
    for given in ("tribolium", own):
        result = models(given)
        assert result.exit_code == 0, result.output
        told = "2000 iterations in 63.4 minutes;"  # the first of three parts
        for words in ("no real image was used", "limits", file_sha256(own), "test_psnr_db", told):
            assert words in result.stdout
    listed = models("nuclei", own).stdout
    assert "\nnuclei" in f"\n{listed}"
    assert "\nown\n" in listed
    assert "tribolium" not in listed


def test_models_are_compared(tmp_path: Path, counts: np.ndarray) -> None:
    path, picture = write_zarr(tmp_path / "in.zarr", counts), tmp_path / "compare.png"
    result = models("compare", path, "--models", "tribolium,nuclei", "--engine", "onnx-cpu", "-o", picture)
    assert result.exit_code == 0, result.output
    assert "96 x 80 pixels at (0, 0)" in result.stdout
    assert result.stdout.index("  tribolium") < result.stdout.index("  nuclei")
    assert "expected squared error" in result.stdout
    assert result.stdout.splitlines()[-1] == str(picture)
    with Image.open(picture) as shown:
        assert shown.width > 3 * 256
        assert shown.height > 2 * 256


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cells"], "model 'cells': not shipped"),
        (["nuclei", "gone.onnx"], "gone.onnx: no such model file"),
        (["A=nuclei"], "one model is needed here"),
        (["auto"], "one model is needed here"),
        (["nuclei", "nuclei"], "name each once"),
        (["--channel", "0"], "--channel 0: is for compare"),
        (["compare"], "give one image"),
        (["compare", "a.tif", "b.tif"], "give one image"),
        (["compare", "gone.tif"], "gone.tif"),
        (["compare", "IMAGE", "--channel", "4"], "there is no channel 4"),
        (["compare", "IMAGE", "--models", "cells"], "model 'cells': not shipped"),
        (["compare", "IMAGE", "-o", "picture.jpg"], "must end in .png"),
        (["compare", "IMAGE", "-o", "gone/picture.png"], "gone"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, counts: np.ndarray, arguments: list[str], words: str
) -> None:
    image = write_zarr(tmp_path / "in.zarr", counts)
    result = models(*[image if word == "IMAGE" else word for word in arguments])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert words in line


def test_other_commands_take_one_model(tmp_path: Path, counts: np.ndarray) -> None:
    from baikal_deploy.cli.noise import main as noise
    from baikal_deploy.cli.serve import main as serve

    image = write_zarr(tmp_path / "in.zarr", counts)
    for command, own in ((noise, [str(image)]), (serve, [])):
        for model in ("A=nuclei", "auto"):
            result = CliRunner().invoke(command, [*own, "--model", model])
            assert result.exit_code == 2
            (line,) = result.stderr.splitlines()
            assert "only baikal-run takes one for each channel" in line


def test_an_alias_is_found_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "ALIASES", {"grains": "tribolium"})
    assert file_sha256(find_model("tribolium")) in models("grains").stdout


def test_correlation_of_what_holds_one_value_is_none() -> None:
    assert correlation(np.ones((4, 4)), np.arange(16.0).reshape(4, 4)) == 0
    assert correlation(np.arange(16.0), -np.arange(16.0)) == pytest.approx(-1)
