"""State dicts of guided-diffusion: what is inferred, what must be stated, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baikal_deploy.errors import ConfigError, ModelError
from baikal_export.foreign import layout
from baikal_export.foreign.guided_diffusion.structure import structure_of
from baikal_export.foreign.guided_diffusion.tensors import load_state_dict
from baikal_export.trained import TrainedModel
from tests.models import tiny_checkpoint
from tests.parity.guided_diffusion import Shape, random_model

STATED: dict[str, Any] = {
    "norm_groups": 4,
    "diffusion_steps": 1000,
    "noise_schedule": "linear",
    "predict_xstart": False,
    "sigma_small": False,
    "num_heads": 2,
    "use_new_attention_order": False,
}
Save = Callable[[Any], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(data: Any) -> Path:
        torch.save(data, tmp_path / "net.pt")
        return tmp_path / "net.pt"

    return write


@pytest.fixture
def read(tmp_path: Path, save: Save) -> Callable[..., TrainedModel]:
    """Read weights with the settings STATED and what differs from them; None leaves one out."""

    def make(tensors: dict[str, Tensor] | None = None, /, **stated: Any) -> TrainedModel:
        config = tmp_path / "net.json"
        table = {name: value for name, value in (STATED | stated).items() if value is not None}
        config.write_text(json.dumps(table))
        return layout("guided-diffusion").read(save(weights() if tensors is None else tensors), config)

    return make


def weights(**shape: Any) -> dict[str, Tensor]:
    return dict(random_model(Shape(**shape)).state_dict())


def test_structure_is_what_the_network_was_made_with() -> None:
    made = {"channel_mult": (1, 2, 2), "num_res_blocks": (1, 3, 2), "attention": (0, 2), "out_channels": 2}
    found = structure_of(weights(**made))
    assert (found.channels, found.blocks) == ((8, 16, 16), (1, 3, 2))
    assert (found.attention, found.middle, found.resample) == ((0, 2), (True, False), "conv")
    assert (found.sinusoids, found.embedding, found.in_channels, found.out_channels) == (8, 32, 1, 2)
    assert structure_of(weights(**made, middle_attention=False)).middle == (False, False)


def test_halving_blocks_are_told_from_others_of_the_same_shape() -> None:
    made = {"channel_mult": (1, 1, 1), "num_res_blocks": (2, 1, 3), "attention": ()}
    found = structure_of(weights(**made, resblock_updown=True))
    assert (found.channels, found.blocks, found.resample) == ((8, 8, 8), (2, 1, 3), "block")


@pytest.mark.parametrize("entry", ["", "ema", "ema_state_dict", "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
def test_entries_and_prefixes(entry: str, prefix: str, save: Save) -> None:
    tensors = {prefix + name: value for name, value in weights().items()}
    found = load_state_dict(save({entry: tensors, "step": 5, "optimizer": {"lr": 1.0}} if entry else tensors))
    assert found.entry == entry
    assert found.tensors.keys() == weights().keys()


def test_ema_weights_come_before_others(save: Save) -> None:
    ema = {name: value + 1 for name, value in weights().items()}
    found = load_state_dict(save({"model": weights(), "state_dict": weights(), "ema": ema}))
    assert found.entry == "ema"
    assert torch.equal(found.tensors["out.2.bias"], ema["out.2.bias"])


def test_variance_and_normalisation(read: Callable[..., TrainedModel]) -> None:
    assert read().variance == "fixed_large"
    assert read(sigma_small=True).variance == "fixed_small"
    assert read(weights(out_channels=2), sigma_small=None).variance == "learned_range"
    assert (read().normalisation.low, read().normalisation.high) == (1.0, 99.8)
    assert read(normalisation={"low": 3, "high": 99}).normalisation.high == 99


@pytest.mark.parametrize("name", STATED)
def test_nothing_is_assumed(name: str, read: Callable[..., TrainedModel]) -> None:
    with pytest.raises(ConfigError, match=rf"the weights do not tell {name} \(.*net\.json") as caught:
        read(**{name: None})
    assert ";" not in str(caught.value)  # only what is missing


def test_timescale_is_asked_for_where_it_matters(read: Callable[..., TrainedModel]) -> None:
    with pytest.raises(ConfigError, match="do not tell rescale_timesteps"):
        read(diffusion_steps=4000)


def test_heads_are_asked_for_where_they_matter(read: Callable[..., TrainedModel]) -> None:
    plain = weights(attention=(), middle_attention=False)
    read(plain, num_heads=None, use_new_attention_order=None)
    read(plain, attention_resolutions=[])
    read(num_heads=1, use_new_attention_order=None)
    read(num_heads=-1, num_head_channels=8)


def test_without_a_config_all_is_asked_for_at_once(save: Save) -> None:
    with pytest.raises(ConfigError, match=r"norm_groups .*diffusion_steps .*num_heads .*with --config"):
        layout("guided-diffusion").read(save(weights()), None)


def test_arguments_as_the_scripts_take_them(read: Callable[..., TrainedModel]) -> None:
    read(
        channel_mult="1,2",
        num_res_blocks="1,2",
        attention_resolutions="32",
        attention_resolutions_are="pixels",
        image_size=64,
        num_channels=8,
        num_heads_upsample=-1,
        dropout=0.1,
        use_fp16=True,
        timestep_respacing="",
    )
    read(channel_mult="", model_channels=8, diffusion_steps=None, steps=1000)


@pytest.mark.parametrize(
    ("stated", "match"),
    [
        ({"num_res_blocks": 2}, r"num_res_blocks is 2; the weights say \[1, 2\]"),
        ({"num_res_blocks": [1, 2, 2]}, r"num_res_blocks is \[1, 2, 2\]; the weights say \[1, 2\]"),
        ({"channel_mult": [1, 4]}, r"channel_mult is .*widths \[8, 32\]; the weights say \[8, 16\]"),
        ({"num_channels": 16}, "num_channels is 16; the weights say 8"),
        ({"learn_sigma": True}, "learn_sigma is True; the weights say False"),
        ({"in_channels": 3}, "in_channels is 3; the weights say 1"),
        ({"out_channels": 2}, "out_channels is 2; the weights say 1"),
        ({"use_scale_shift_norm": False}, "use_scale_shift_norm is False; the weights say True"),
        ({"resblock_updown": True}, "resblock_updown is True; the weights say False"),
        (
            {"attention_resolutions": [2], "attention_resolutions_are": "pixels", "image_size": 64},
            r"attention_resolutions is \[2\]: attention at levels \[\], .* at levels \[1\]\. Is att",
        ),
        (
            {"attention_resolutions": [1, 2], "attention_resolutions_are": "factors"},
            r"levels \[0, 1\], .*\[1\]",
        ),
        ({"attention_resolutions": [2]}, "attention_resolutions_are is missing"),
        ({"attention_resolutions": [2], "attention_resolutions_are": "pixels"}, "image_size is missing"),
        ({"predict_xstart": True}, "predict_xstart is True; supported is only False"),
        ({"class_cond": True}, "class_cond is True"),
        ({"conv_resample": False}, "conv_resample is False"),
        ({"dims": 3}, "dims is 3"),
        ({"num_heads_upsample": 4}, "num_heads_upsample is 4; it must be num_heads, 2"),
        ({"norm_groups": 0}, "norm_groups is 0; it must be at least 1"),
        ({"norm_groups": 3}, "norm_groups is 3; it must divide"),
        ({"num_heads": 3}, "heads is 3; it must divide 16"),
        ({"num_heads": -1}, "heads is -1; it must divide 16"),
        ({"num_heads": 0}, "num_heads is 0; it must be at least 1"),
        ({"num_head_channels": 0}, "num_head_channels is 0; it must be at least 1"),
        ({"attention_resolutions": []}, r"attention at levels \[\], .* at levels \[1\]"),
        ({"num_head_channels": 5}, "head_channels is 5; it must divide 16"),
        ({"noise_schedule": "sigmoid"}, "noise_schedule = 'sigmoid'"),
        ({"norm_groups": "many"}, "norm_groups = 'many'"),
        ({"num_res_blocks": "one"}, "num_res_blocks = 'one'"),
        ({"diffusion_steps": 1}, "diffusion_steps is 1; it must be at least 2"),
        ({"normalisation": {"low": 5, "high": 4}}, "percentiles 5.0 and 4.0"),
        ({"normalisation": {"lwo": 5}}, "normalisation"),
        ({"magic": 1}, "there is no 'magic'; there are norm_groups, "),
        ({"model_channels": 8, "num_channels": 8}, "model_channels and num_channels are the same"),
    ],
    ids=str,
)
def test_bad_settings(stated: dict[str, Any], match: str, read: Callable[..., TrainedModel]) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        read(**({"rescale_timesteps": False} | stated))
    assert "net.json: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "match"),
    [("norm_groups = ", "cannot be read as TOML"), ("x = 2024-01-31", "there is no 'x'"),
     ("norm_groups = 2024-01-31", "norm_groups = '2024-01-31'")],
)  # fmt: skip
def test_bad_config_files(text: str, match: str, save: Save, tmp_path: Path) -> None:
    config = tmp_path / "net.toml"
    with pytest.raises(ConfigError, match=r"net\.toml: cannot be read as TOML"):
        layout("guided-diffusion").read(save(weights()), config)
    config.write_text(text)
    with pytest.raises(ConfigError, match=rf"net\.toml: {match}"):
        layout("guided-diffusion").read(save(weights()), config)


def test_json_that_is_no_table(save: Save, tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"net\.json: holds a list"):
        layout("guided-diffusion").read(save(weights()), tmp_path / "net.json")


def without(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not name.startswith(start)}


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        (weights(in_channels=2), "takes 2 channels; supported is only 1"),
        (weights(out_channels=3), "gives 3 channels; supported are 1 and 2"),
        (weights(scale_shift=False), "use_scale_shift_norm=False; only True is supported"),
        (weights() | {"label_emb.weight": torch.zeros(10, 32)}, "class-conditional"),
        (weights() | {"extra.weight": torch.zeros(2)}, r"left over are 1 entries \(extra.weight \(2,\)\)"),
        (without(weights(), "input_blocks.2"), r"input_blocks\.2 has no weights; .*conv_resample=False"),
        (without(weights(), "input_blocks.4"), "there are 4 blocks, not 5"),
        (without(weights(), "input_blocks.3.1"), "level 1 has attention after some blocks only"),
        (without(weights(), "middle_block"), "there is no middle_block"),
        (without(weights(), "middle_block.0"), r"middle_block\.0 has no weights"),
        (without(weights(), "output_blocks"), "there is no output_blocks"),
        (without(weights(), "out.2"), r"there is no out\.2\.weight"),
        (without(weights(), "out.2.bias"), r"there is no out\.2\.bias"),
        (without(weights(), "time_embed.2"), r"there is no time_embed\.2\.weight"),
        (weights() | {"out.2.weight": torch.zeros(1)}, r"out\.2\.weight has the shape \(1,\)"),
        (
            weights() | {"out.0.weight": torch.zeros(5)},
            r"out\.0\.weight has the shape \(5,\); expected is \(8,\)",
        ),
        (
            weights() | {"input_blocks.1.0.skip_connection.weight": torch.zeros(8, 8, 1, 1)},
            "left over are 1 entries",
        ),
        (weights() | {"input_blocks.4.2.mystery": torch.zeros(3)}, r"input_blocks\.4\.2: a part of an unk"),
        (weights() | {"out.0.bias": torch.zeros(8, dtype=torch.int64)}, r"beside the network are 1 entries"),
        (weights() | {"step": 5}, r"beside the network are 1 entries \(step int\)"),
        (weights() | {f"ema.{name}": value for name, value in weights().items()}, "several networks"),
        ({f"a.{name}": value for name, value in weights().items()} | {"b": torch.zeros(1)}, r"beside .*\(b "),
        ({"conv.weight": torch.zeros(2, 3)}, r"1 entries \(conv.weight \(2, 3\)\); expected are time_embed"),
        ({}, "0 entries"),
        ([1, 2], "holds a list"),
    ],
)  # fmt: skip
def test_what_is_no_such_network(tensors: Any, match: str, read: Callable[..., TrainedModel]) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        read(tensors)
    assert "net.pt: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_odd_files(tmp_path: Path, save: Save) -> None:
    source = layout("guided-diffusion")
    with pytest.raises(ModelError, match=r"gone\.pt: no such file"):
        source.read(tmp_path / "gone.pt", None)
    with pytest.raises(ModelError, match="cannot be read as a file of tensors"):
        source.read(save({"net": Shape()}), None)  # code in it
    path = save(weights())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ModelError, match="cannot be read as a file of tensors"):
        source.read(path, None)
    tiny_checkpoint().save(path)
    with pytest.raises(ModelError, match="a checkpoint of baikal-train; export it without --from"):
        source.read(path, None)


@pytest.mark.parametrize("name", ["franfee_unet_res.pth", "sdaloglu_ddpm_mnist.pth"])
def test_other_projects_networks_are_refused(name: str, shared_data: Path) -> None:
    path = shared_data / "checkpoints" / name
    if not path.is_file():
        pytest.skip(f"not here: {path}")
    assert not layout("guided-diffusion").recognises(path)
    with pytest.raises(ModelError, match=r"found are \d+ entries \(.*\(\d+.*, …\); expected are time_embed"):
        layout("guided-diffusion").read(path, None)
