"""baikal-export and other projects' models: which options go together, and what it suggests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from baikal_deploy.errors import ConfigError
from baikal_export.cli import main
from baikal_export.foreign import layout, layout_names, recognised
from tests.models import tiny_checkpoint
from tests.parity.guided_diffusion import Shape, random_model


def fails(match: str, *arguments: Any) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.exception
    assert len(result.stderr.splitlines()) == 1
    assert match in result.stderr


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def guided(tmp_path: Path) -> Path:
    torch.save({"ema": random_model(Shape()).state_dict()}, tmp_path / "guided.pt")
    return tmp_path / "guided.pt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "ddpm-1.5"
    made.mkdir()
    (made / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    return made


def test_layouts_are_the_modules_of_the_folder() -> None:
    assert layout_names() == ["diffusers", "guided-diffusion"]
    with pytest.raises(ConfigError, match="choose one of diffusers, guided-diffusion"):
        layout("keras")


def test_help_and_usage_name_the_layouts() -> None:
    assert "guided-diffusion" in run("--help").output
    assert run("net.pt", "--from", "keras").exit_code == 2


def test_without_from_the_right_one_is_suggested(guided: Path, folder: Path) -> None:
    fails("not a checkpoint of baikal-train; it looks like another project's: try --from guided-diff", guided)
    fails("try --from diffusers", folder)


def test_nothing_is_suggested_for_what_nothing_knows(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2, 2)}, tmp_path / "net.pt")
    assert recognised(tmp_path / "net.pt") is None
    for path in (tmp_path / "net.pt", tmp_path / "gone.pt", tmp_path):
        assert "--from" not in run(path).stderr
        assert run(path).exit_code == 2


def test_own_checkpoints_go_without_from(tmp_path: Path) -> None:
    tiny_checkpoint().save(tmp_path / "net.pt")
    assert recognised(tmp_path / "net.pt") is None
    for name in layout_names():
        fails("a checkpoint of baikal-train", tmp_path / "net.pt", "--from", name)
    fails("it goes with --from", tmp_path / "net.pt", "--config", tmp_path / "net.toml")


def test_bad_models_fail_in_one_line_and_leave_nothing(guided: Path) -> None:
    fails("the weights do not tell norm_groups", guided, "--from", "guided-diffusion")
    fails("gone.toml: cannot be read as TOML", guided, "--from", "guided-diffusion", "--config", "gone.toml")
    assert not guided.with_suffix(".onnx").exists()


def test_model_of_a_folder_lies_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from baikal_export.cli import _beside

    assert _beside(folder) == folder.with_name("ddpm-1.5.onnx")
    monkeypatch.chdir(folder)
    assert _beside(Path()) == folder.with_name("ddpm-1.5.onnx")
