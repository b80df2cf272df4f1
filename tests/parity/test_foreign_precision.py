"""Models of other projects in fewer bits: the files compute what the originals do, nearly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto

from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import read_manifest
from baikal_export.cli import main
from tests.clean import write_clean
from tests.parity.guided_diffusion import Shape, random_model
from tests.parity.test_guided_diffusion import STATED

pytestmark = pytest.mark.slow  # tracing takes a dozen seconds each


def exported(folder: Path, precision: str, *arguments: Any) -> onnx.ModelProto:
    """To model.onnx, with named images."""
    clean = write_clean(folder / "clean", 2)
    named = ["--verify", clean, *(["--calibrate", clean] if precision == "int8" else [])]
    options = ["--precision", precision, "-o", folder / "model.onnx", *named]
    result = CliRunner().invoke(main, [str(argument) for argument in (*arguments, *options)])
    assert result.exit_code == 0, result.output
    return onnx.load(folder / "model.onnx")


def error(path: Path, expected: Any) -> float:
    """Against (x, t) -> (N, outputs, H, W)."""
    manifest = read_manifest(path)
    x = torch.randn(2, 1, 12, 20, generator=torch.Generator().manual_seed(1))
    options = EngineOptions(threads=1, precision=manifest.precision)
    errors = []
    with open_engine("onnx-cpu", path, manifest, options) as engine, torch.no_grad():
        for t in (3, 640):
            outputs = [output for output in engine.predict(x.numpy(), float(t)) if output is not None]
            found, wanted = np.concatenate(outputs, axis=1), expected(x, t).numpy()
            assert wanted.std() > 0.01
            errors.append(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    return float(max(errors))


def dtypes(model: onnx.ModelProto, kind: str) -> set[int]:
    """Of what goes into nodes of a kind."""
    graph = model.graph
    found = {weight.name: weight.data_type for weight in graph.initializer}
    for value in (*graph.value_info, *graph.input):
        found[value.name] = value.type.tensor_type.elem_type
    return {found[name] for node in graph.node if node.op_type == kind for name in node.input if name}


def test_diffusers_in_fp16(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    from tests.parity.test_foreign_diffusers import random_unet

    net = random_unet(
        in_channels=1,
        out_channels=1,
        block_out_channels=(8,),
        down_block_types=("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
    )
    net.save_pretrained(tmp_path / "model" / "unet")
    diffusers.DDPMScheduler(1000).save_pretrained(tmp_path / "model" / "scheduler")
    model = exported(tmp_path, "fp16", "--from", "diffusers", tmp_path / "model")
    half, single = {TensorProto.FLOAT16}, {TensorProto.FLOAT}
    assert dtypes(model, "Conv") == dtypes(model, "MatMul") == half
    assert dtypes(model, "Softmax") == dtypes(model, "InstanceNormalization") == single
    # diffusers itself would round the sines of timesteps to the dtype of its weights.
    assert dtypes(model, "Sin") == dtypes(model, "Cos") == single
    assert 1e-5 < error(tmp_path / "model.onnx", lambda x, t: net(x, t).sample) < 5e-3


def test_guided_diffusion_in_int8(tmp_path: Path) -> None:
    shape = Shape(channel_mult=(1,), num_res_blocks=(1,), attention=(), middle_attention=True, out_channels=2)
    original, weights, config = random_model(shape), tmp_path / "net.pt", tmp_path / "net.json"
    torch.save(original.state_dict(), weights)
    config.write_text(json.dumps(STATED))
    model = exported(tmp_path, "int8", "--from", "guided-diffusion", weights, "--config", config)
    assert {"QuantizeLinear", "DequantizeLinear"} < {node.op_type for node in model.graph.node}
    assert read_manifest(tmp_path / "model.onnx").variance == "learned_range"
    found = error(tmp_path / "model.onnx", lambda x, t: original(x, torch.full((2,), float(t))))
    assert 1e-4 < found < 0.05
