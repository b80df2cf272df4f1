"""Folders of diffusers: schedules, objectives, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.host.extras import install
from baikal_export.foreign import layout
from baikal_export.trained import TrainedModel

diffusers = pytest.importorskip("diffusers")

SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "prediction_type": "epsilon",
    "variance_type": "fixed_small",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a small pipeline, by path."""
    folder = tmp_path_factory.mktemp("pipeline")
    net = diffusers.UNet2DModel(
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
    )
    net.save_pretrained(folder / "unet")
    diffusers.DDPMScheduler(**SCHEDULER).save_pretrained(folder / "scheduler")
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def model(saved: dict[str, bytes], tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, contents in saved.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents)
    return folder


Edit = Callable[..., None]


@pytest.fixture
def edit(model: Path) -> Edit:
    """Change fields of one of the two JSON files."""

    def change(part: str, fields: dict[str, Any]) -> None:
        path = model / ("unet/config.json" if part == "unet" else "scheduler/scheduler_config.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def read(folder: Path, config: Path | None = None) -> TrainedModel:
    return layout("diffusers").read(folder, config)


def test_model_is_read_as_it_was_saved(model: Path) -> None:
    found = read(model)
    assert (found.prediction, found.variance, found.downsampling) == ("eps", "fixed_small", 2)
    assert found.schedule == ScheduleSpec("linear", 1000)
    assert (found.normalisation.low, found.normalisation.high) == (1.0, 99.8)
    assert not any(module.training for module in found.net.modules())


@torch.no_grad()
@pytest.mark.parametrize(
    ("down", "up"),
    [
        (("DownBlock2D",) * 3, ("UpBlock2D",) * 3),
        (
            ("ResnetDownsampleBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            ("AttnUpBlock2D", "UpBlock2D", "ResnetUpsampleBlock2D"),
        ),
    ],
)
def test_downsampling_follows_from_the_blocks(down: Any, up: Any, model: Path) -> None:
    net = diffusers.UNet2DModel(
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8, 8),
        down_block_types=down,
        up_block_types=up,
        layers_per_block=1,
        norm_num_groups=4,
    )
    net.save_pretrained(model / "unet")
    found, x, t = read(model), torch.randn(1, 1, 4, 12), torch.tensor([7.0])
    assert found.downsampling == 4
    # Not to the bit: where in memory weights lie may decide how they are added up.
    torch.testing.assert_close(found.net(x, t), net.eval()(x, t).sample, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError):
        found.net(x[..., :6], t)


def test_weights_as_bin(model: Path) -> None:
    weights = read(model).net.state_dict()
    for file in (model / "unet").glob("*.safetensors"):
        file.unlink()
    tensors = {name.removeprefix("net."): value for name, value in weights.items()}
    torch.save(tensors, model / "unet" / "diffusion_pytorch_model.bin")
    found = read(model)
    assert found.training["imported_from"]["file"] == "diffusion_pytorch_model.bin"
    assert all(torch.equal(value, weights[name]) for name, value in found.net.state_dict().items())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ScheduleSpec("linear", 1000)),
        ({"num_train_timesteps": 500, "beta_start": 2e-4, "beta_end": 0.04}, ScheduleSpec("linear", 500)),
        ({"beta_schedule": "squaredcos_cap_v2"}, ScheduleSpec("cosine", 1000)),
        ({"num_train_timesteps": 500}, None),
        ({"beta_start": 1e-3}, None),
        ({"beta_end": 0.01}, None),
    ],
    ids=str,
)
def test_schedules(fields: dict[str, Any], expected: ScheduleSpec | None, model: Path, edit: Edit) -> None:
    edit("scheduler", fields)
    found = read(model).schedule
    if expected is None:
        assert found.kind == "explicit"
    else:
        assert found == expected
    reference = diffusers.DDPMScheduler(**SCHEDULER | fields)
    assert_allclose(found.build().betas, np.asarray(reference.betas), rtol=1e-5, atol=1e-7)
    assert_allclose(found.build().alphas_cumprod, reference.alphas_cumprod, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("variance", "expected"),
    [("fixed_small_log", "fixed_small"), ("fixed_large", "fixed_large"), ("fixed_large_log", "fixed_large")],
)
def test_objectives(variance: str, expected: str, model: Path, edit: Edit) -> None:
    edit("scheduler", {"variance_type": variance, "prediction_type": "v_prediction"})
    assert (read(model).variance, read(model).prediction) == (expected, "velocity")


@pytest.mark.parametrize(
    ("part", "fields", "match"),
    [
        (
            "scheduler",
            {"beta_schedule": "scaled_linear"},
            "beta_schedule is 'scaled_linear', .* is linear, squ",
        ),
        ("scheduler", {"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'"),
        ("scheduler", {"trained_betas": [0.1, 0.2]}, "trained_betas is"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is True, .* is False"),
        ("scheduler", {"prediction_type": "sample"}, "prediction_type is 'sample', .* is epsilon, v_pred"),
        ("scheduler", {"variance_type": "learned"}, "variance_type is 'learned'"),
        ("scheduler", {"variance_type": ["x"]}, "variance_type is \\['x'\\]"),
        ("scheduler", {"variance_type": "learned_range"}, "out_channels is 1; learned_range goes with 2"),
        (
            "scheduler",
            {"_class_name": "DDIMScheduler"},
            "_class_name is 'DDIMScheduler', .* is DDPMScheduler",
        ),
        ("scheduler", {"predict_epsilon": False}, "predict_epsilon is False; .* no such field"),
        ("scheduler", {"num_train_timesteps": "1000"}, "num_train_timesteps '1000', .*no noise schedule"),
        ("scheduler", {"num_train_timesteps": 0}, "num_train_timesteps 0, .*no noise schedule"),
        ("scheduler", {"beta_start": -1.0}, "beta_start -1.0, .*no noise schedule"),
        ("unet", {"in_channels": 3}, "in_channels is 3, .* is 1"),
        ("unet", {"out_channels": 3}, "out_channels is 3, .* is 1 or 2"),
        ("unet", {"out_channels": 2}, "out_channels is 2; learned_range goes with 2"),
        ("unet", {"time_embedding_type": "fourier"}, "time_embedding_type is 'fourier', .* is positional"),
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type is 'timestep', .* is None"),
        ("unet", {"num_class_embeds": 10}, "num_class_embeds is 10"),
        ("unet", {"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, "down_block_types is 'SkipDownB"),
        ("unet", {"up_block_types": None}, "up_block_types is None"),
        ("unet", {"magic": 1}, "magic is 1; the installed UNet2DModel has no such field"),
        ("unet", {"block_out_channels": [8, 16]}, "the UNet cannot be loaded"),
        ("unet", {"layers_per_block": 2}, "the UNet cannot be loaded|missing_keys"),
        ("unet", {"mid_block_type": None}, "the weights do not fit config.json: unexpected_keys mid_block"),
        (
            "unet",
            {"_class_name": "UNet2DConditionModel"},
            "not of this layout: found are 2 .*scheduler, unet",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_represented(
    part: str, fields: dict[str, Any], match: str, model: Path, edit: Edit
) -> None:
    edit(part, fields)
    with pytest.raises(ModelError, match=match) as caught:
        read(model)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_not_left_at_random(model: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors["conv_out.bias"]
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"conv_out\.bias"):
        read(model)


def test_bare_unet_needs_its_scheduler_stated(model: Path, tmp_path: Path) -> None:
    unet, config = model / "unet", tmp_path / "model.toml"
    with pytest.raises(ConfigError, match=r"num_train_timesteps, .* of a file given with --config"):
        read(unet)
    config.write_text('[scheduler]\nnum_train_timesteps = 1000\nbeta_schedule = "linear"\n')
    with pytest.raises(ConfigError, match=r"prediction_type, .*beta_end in a table .*model\.toml"):
        read(unet, config)
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in SCHEDULER.items())
    config.write_text(f"normalisation = {{low = 2.0, high = 99.0}}\n[scheduler]\n{lines}")
    found = read(unet, config)
    assert (found.schedule, found.normalisation.low) == (ScheduleSpec("linear", 1000), 2)
    assert found.training["imported_from"]["stated"] == {"scheduler": SCHEDULER}
    with pytest.raises(ConfigError, match=r"\[scheduler\] goes with a model without one"):
        read(model, config)
    config.write_text(f"[scheduler]\n{lines}\nmagic = 1")
    with pytest.raises(ModelError, match=r"model\.toml: magic is 1; .* no such field"):
        read(unet, config)
    config.write_text("scheduler = 3")
    with pytest.raises(ConfigError, match=r"model\.toml: scheduler = 3"):
        read(unet, config)


def test_odd_folders(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone: not a folder, .* exported without --from"):
        read(tmp_path / "gone")
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ModelError, match=r"safetensors: a pointer of Git LFS in place of weights"):
        read(model)
    weights.write_bytes(b"\x00" * 50)
    with pytest.raises(ModelError, match="the UNet cannot be loaded"):
        read(model)
    weights.unlink()
    with pytest.raises(ModelError, match=r"no weights; there must be a .*safetensors or a .*bin"):
        read(model)
    (model / "scheduler" / "scheduler_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"scheduler_config\.json: cannot be read as JSON"):
        read(model)
    (model / "unet" / "config.json").write_text("[]")
    assert not layout("diffusers").recognises(model)
    with pytest.raises(ModelError, match=r"config\.json: holds no JSON object"):
        read(model)


def test_library_is_optional(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert layout("diffusers").recognises(model)
    with pytest.raises(ConfigError, match=re.escape(install("diffusers"))):
        read(model)


def test_a_folder_with_nothing_but_configs(shared_data: Path) -> None:
    folder = shared_data / "checkpoints" / "diffusers_ddpm_butterflies_128"
    if not folder.is_dir():
        pytest.skip(f"not here: {folder}")
    assert layout("diffusers").recognises(folder)
    with pytest.raises(ModelError, match=r"in_channels is 3, .* supported is 1"):
        read(folder)
    with pytest.raises(ModelError, match="not of this layout"):
        read(folder.parent)
