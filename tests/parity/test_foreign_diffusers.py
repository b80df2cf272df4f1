"""Folders of diffusers, exported: the file computes what the library computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.testing import assert_allclose

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import ModelManifest, read_manifest
from baikal_deploy.models.onnx_file import file_sha256
from baikal_export.cli import main

diffusers = pytest.importorskip("diffusers")


def random_unet(**fields: Any) -> Any:
    """With weights that are nonzero everywhere, so that every one of them shows in the output."""
    net, generator = diffusers.UNet2DModel(**fields), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in net.parameters():
            scale = 0.3 if weight.ndim < 2 else weight[0].numel() ** -0.5
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    return net.eval()


def exported(folder: Path, net: Any, scheduler: Any) -> ModelManifest:
    """Saved as a pipeline's folder ``model``, and exported to model.onnx beside it."""
    net.save_pretrained(folder / "model" / "unet")
    scheduler.save_pretrained(folder / "model" / "scheduler")
    result = CliRunner().invoke(main, ["--from", "diffusers", str(folder / "model")])
    assert result.exit_code == 0, result.output
    return read_manifest(folder / "model.onnx")


def compare(path: Path, manifest: ModelManifest, expected: Any) -> None:
    """Against (x, t) -> (N, outputs, H, W)."""
    x = torch.randn(2, 1, 12, 20, generator=torch.Generator().manual_seed(1))
    with open_engine("onnx-cpu", path, manifest, EngineOptions(threads=1)) as engine, torch.no_grad():
        for t in (3, 640):
            outputs = [output for output in engine.predict(x.numpy(), float(t)) if output is not None]
            found, wanted = np.concatenate(outputs, axis=1), expected(x, t).numpy()
            assert wanted.std() > 0.01
            assert np.linalg.norm(found - wanted) <= 1e-5 * np.linalg.norm(wanted)


@pytest.mark.slow  # 20 s
def test_noise_prediction_with_learned_variance(tmp_path: Path) -> None:
    net = random_unet(
        in_channels=1,
        out_channels=2,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
    )
    scheduler = diffusers.DDPMScheduler(
        1000, beta_schedule="squaredcos_cap_v2", variance_type="learned_range"
    )
    manifest = exported(tmp_path, net, scheduler)
    assert (manifest.variance, manifest.downsampling) == ("learned_range", 2)
    assert manifest.schedule == ScheduleSpec("cosine", 1000)
    levels = manifest.schedule.build().alphas_cumprod
    assert_allclose(levels, scheduler.alphas_cumprod, rtol=1e-4, atol=1e-6)  # theirs are float32
    origin = manifest.training["imported_from"]
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    assert origin == {"format": "diffusers", "file": weights.name, "sha256": file_sha256(weights)}
    compare(tmp_path / "model.onnx", manifest, lambda x, t: net(x, t).sample)


def test_velocity_prediction_with_scale_shift(tmp_path: Path) -> None:
    net = random_unet(
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        down_block_types=("ResnetDownsampleBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "ResnetUpsampleBlock2D"),
        add_attention=False,
        layers_per_block=1,
        norm_num_groups=4,
        resnet_time_scale_shift="scale_shift",
    )
    scheduler = diffusers.DDPMScheduler(
        800, 2e-4, 0.01, "linear", variance_type="fixed_large", prediction_type="v_prediction"
    )
    manifest = exported(tmp_path, net, scheduler)
    assert (manifest.variance, manifest.downsampling, manifest.schedule.kind) == (
        "fixed_large",
        2,
        "explicit",
    )
    assert_allclose(manifest.schedule.build().alphas_cumprod, scheduler.alphas_cumprod, rtol=1e-4)

    def eps(x: torch.Tensor, t: int) -> torch.Tensor:
        level = scheduler.alphas_cumprod[t]
        return level.sqrt() * net(x, t).sample + (1 - level).sqrt() * x

    compare(tmp_path / "model.onnx", manifest, eps)
