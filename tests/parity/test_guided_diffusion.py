"""Converted state dicts of guided-diffusion compute what the original network computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import read_manifest
from baikal_deploy.models.onnx_file import file_sha256
from baikal_export.cli import main
from baikal_export.foreign import layout
from baikal_export.trained import TrainedModel
from tests.parity.guided_diffusion import Shape, random_model

DEEP = Shape(
    model_channels=4,
    channel_mult=(1, 2, 4, 8, 8, 16, 16),
    num_res_blocks=(1, 2, 2, 2, 2, 3, 4),
    attention=(1, 2, 3),
    num_head_channels=4,
    out_channels=2,
    groups=4,
)
"""The authors' seven levels with an eighth of their widths."""


def difference(shape: Shape) -> str:
    """What is not the default, for the names of tests."""
    default = vars(Shape())
    return ",".join(f"{name}={value}" for name, value in vars(shape).items() if value != default[name])


STATED: dict[str, Any] = {
    "norm_groups": 4,
    "diffusion_steps": 1000,
    "noise_schedule": "linear",
    "predict_xstart": False,
    "sigma_small": True,
    "num_heads": 1,
    "use_new_attention_order": False,
}


def read(folder: Path, shape: Shape, **stated: Any) -> tuple[TrainedModel, nn.Module]:
    """The model as it is read from a file, and the original."""
    original, config, weights = random_model(shape), folder / "config.json", folder / "net.pt"
    torch.save(original.state_dict(), weights)
    order = {"use_new_attention_order": shape.new_order}
    heads = {"num_heads": shape.num_heads, "num_head_channels": shape.num_head_channels}
    config.write_text(json.dumps(STATED | order | heads | {"norm_groups": shape.groups} | stated))
    return layout("guided-diffusion").read(weights, config), original


@torch.no_grad()
def error(model: nn.Module, original: nn.Module, side: int = 8, factor: float = 1) -> float:
    """Relative difference; the original is told ``factor`` times the timesteps."""
    x = torch.randn(3, 1, side, 2 * side, generator=torch.Generator().manual_seed(2))
    t = torch.tensor([0.0, 321.0, 999.0])
    expected = original(x, factor * t)
    assert expected.std() > 0.01
    return float((model(x, t) - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    "shape",
    [
        Shape(),
        Shape(attention=(), middle_attention=False),
        Shape(attention=(), middle_attention=True, num_heads=2),
        Shape(attention=(0, 1), num_heads=4),
        Shape(attention=(0, 1), num_heads=4, new_order=True),
        Shape(num_head_channels=4, num_heads=1),
        Shape(num_head_channels=4, new_order=True),
        Shape(resblock_updown=True),
        Shape(resblock_updown=True, channel_mult=(1, 1, 1), num_res_blocks=(2, 1, 3), attention=(1,)),
        Shape(channel_mult=(2, 1, 3), num_res_blocks=(1, 1, 1), out_channels=2),
        Shape(channel_mult=(1,), num_res_blocks=(2,), attention=()),
        Shape(groups=2),
        DEEP,
    ],
    ids=difference,
)
def test_converted_network_equals_the_original(shape: Shape, tmp_path: Path) -> None:
    model, original = read(tmp_path, shape)
    assert model.downsampling == 2 ** (len(shape.channel_mult) - 1)
    assert error(model.net, original, side=max(8, model.downsampling)) <= 1e-5


@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        ({"use_new_attention_order": True}, Shape(num_heads=4)),
        ({"num_heads": 2}, Shape(num_heads=4)),
        ({"norm_groups": 2}, Shape()),
    ],
    ids=str,
)
def test_what_is_stated_matters(wrong: dict[str, Any], shape: Shape, tmp_path: Path) -> None:
    """None of it shows in the shapes: this is why it has to be stated."""
    model, original = read(tmp_path, shape, **wrong)
    assert error(model.net, original) > 1e-3


@pytest.mark.parametrize(("stated", "factor"), [(True, 1000 / 4000), (False, 1)])
def test_rescaled_timesteps(stated: bool, factor: float, tmp_path: Path) -> None:
    model, original = read(
        tmp_path, Shape(), diffusion_steps=4000, noise_schedule="cosine", rescale_timesteps=stated
    )
    assert model.schedule == ScheduleSpec("cosine", 4000)
    assert error(model.net, original, factor=factor) <= 1e-5


AUTHORS = {
    "image_size": 64,
    "model_channels": 4,
    "channel_mult": [1, 2, 4, 8, 8, 16, 16],
    "num_res_blocks": [1, 2, 2, 2, 2, 3, 4],
    "use_scale_shift_norm": True,
    "resblock_updown": False,
    "learn_sigma": True,
    "in_channels": 1,
    "out_channels": 2,
}


@pytest.mark.parametrize(
    ("attention", "convention"), [("32,16,8", "pixels"), ([32, 16, 8], "pixels"), ([2, 4, 8], "factors")]
)
def test_both_conventions_of_attention_resolutions(attention: Any, convention: str, tmp_path: Path) -> None:
    stated = AUTHORS | {"attention_resolutions": attention, "attention_resolutions_are": convention}
    model, _ = read(tmp_path, DEEP, **stated)
    assert model.variance == "learned_range"


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    torch.save({k: v.half() for k, v in random_model(Shape()).state_dict().items()}, tmp_path / "half.pt")
    (tmp_path / "config.json").write_text(json.dumps(STATED))
    model = layout("guided-diffusion").read(tmp_path / "half.pt", tmp_path / "config.json")
    assert {weight.dtype for weight in model.net.parameters()} == {torch.float32}
    assert error(model.net, random_model(Shape())) <= 1e-2


def test_exported_model_equals_the_original(tmp_path: Path) -> None:
    shape = Shape(num_res_blocks=(1, 1), num_heads=2, resblock_updown=True, out_channels=2)
    original, weights, config = random_model(shape), tmp_path / "ema.pth", tmp_path / "ema.toml"
    torch.save({"state_dict": {f"module.{k}": v for k, v in original.state_dict().items()}}, weights)
    config.write_text(
        "norm_groups = 4\ndiffusion_steps = 1000\nnoise_schedule = 'cosine'\npredict_xstart = false\n"
        "num_heads = 2\nuse_new_attention_order = false\nnormalisation = {low = 2.0, high = 99.0}\n"
    )
    arguments = ["--from", "guided-diffusion", str(weights), "--config", str(config), "--name", "theirs"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    path = tmp_path / "ema.onnx"
    manifest = read_manifest(path)
    assert (manifest.name, manifest.schedule) == ("theirs", ScheduleSpec("cosine", 1000))
    assert (manifest.variance, manifest.downsampling) == ("learned_range", 2)
    assert (manifest.normalisation.low, manifest.normalisation.high) == (2, 99)
    origin = manifest.training["imported_from"]
    assert (origin["format"], origin["file"]) == ("guided-diffusion", "ema.pth")
    assert origin["sha256"] == file_sha256(weights)
    assert origin["stated"]["norm_groups"] == 4
    assert str(tmp_path) not in manifest.to_json()
    x = torch.randn(3, 1, 10, 14)
    with open_engine("onnx-cpu", path, manifest, EngineOptions(threads=1)) as engine, torch.no_grad():
        expected = original(x, torch.full((3,), 421.0)).numpy()
        eps, v = engine.predict(x.numpy(), 421.0)
    assert v is not None
    for got, wanted in ((eps, expected[:, :1]), (v, expected[:, 1:])):
        assert np.linalg.norm(got - wanted) <= 1e-5 * np.linalg.norm(wanted)
