"""Exported models equal their checkpoints, and a file that does not is never kept."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import baikal_export
from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ModelError
from baikal_deploy.models.manifest import METADATA_KEY, read_manifest
from baikal_export.network import EpsNetwork
from baikal_export.onnx_file import TOLERANCE, export
from baikal_export.precision import convert
from baikal_export.tracing import OPSET
from baikal_training.losses import Prediction
from tests.full_disk import full_disk
from tests.models import eps_network, exported, tiny_checkpoint, tiny_manifest

VARIANTS: list[tuple[Prediction, Variance]] = [
    ("eps", "fixed_small"),
    ("eps", "learned_range"),
    ("velocity", "fixed_small"),
    ("velocity", "learned_range"),
]
each_variant = pytest.mark.parametrize(("prediction", "variance"), VARIANTS)


@each_variant
def test_onnx_equals_torch_at_shapes_that_were_not_traced(prediction: Prediction, variance: Variance) -> None:
    path, network = exported(prediction, variance), eps_network(tiny_checkpoint(prediction, variance))
    generator = torch.Generator().manual_seed(5)
    engine = open_engine("onnx-cpu", path, read_manifest(path), EngineOptions(threads=1))
    with engine, torch.no_grad():
        for batch, height, width, t in [
            (1, 4, 4, 0.0), (1, 64, 4, 999.0), (5, 12, 28, 333.3), (2, 36, 20, 998.5), (2, 16, 24, 0.25)
        ]:  # fmt: skip
            x = torch.randn(batch, 1, height, width, generator=generator)
            wanted = network(x, torch.full((batch,), t))
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            found = [output for output in engine.predict(x.numpy(), t) if output is not None]
            assert len(found) == len(wanted) == (2 if variance == "learned_range" else 1)
            for output, expected in zip(found, wanted, strict=True):
                error = np.linalg.norm(output - expected.numpy()) / np.linalg.norm(expected.numpy())
                assert error <= 1e-5
                assert np.std(output) > 0.01


@each_variant
def test_file_is_whole_and_says_what_it_is(prediction: Prediction, variance: Variance) -> None:
    path = exported(prediction, variance)
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model)
    assert {(entry.domain, entry.version) for entry in model.opset_import if not entry.domain} == {
        ("", OPSET)
    }
    assert OPSET == 20
    assert not [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert [value.name for value in model.graph.input] == ["x_t", "timesteps"]
    outputs = [value.name for value in model.graph.output]
    assert outputs == (["eps", "v"] if variance == "learned_range" else ["eps"])
    assert replace(read_manifest(path), verification={}) == tiny_manifest(
        tiny_checkpoint(prediction, variance)
    )
    assert METADATA_KEY in [entry.key for entry in model.metadata_props]


@each_variant
def test_file_tells_nothing_of_the_machine_that_made_it(prediction: Prediction, variance: Variance) -> None:
    path = exported(prediction, variance)
    contents = path.read_bytes()
    folders = [path.parent, Path(torch.__file__).parent, Path(baikal_export.__file__).parent, Path.cwd()]
    traces = [str(folder) for folder in (*folders, Path.home()) if len(folder.parts) > 1]
    for trace in [*traces, ".py", "site-packages", f"/{getpass.getuser()}/", socket.gethostname()]:
        assert len(trace) < 3 or trace.encode() not in contents, trace


def test_export_leaves_one_file() -> None:
    folder = exported().parent
    assert [file.name for file in folder.iterdir()] == [exported().name]


@torch.no_grad()
def test_fractional_timesteps_interpolate_the_conversion() -> None:
    checkpoint = tiny_checkpoint("velocity")
    network, net = eps_network(checkpoint), checkpoint.network()
    x, levels = torch.randn(1, 1, 8, 8), checkpoint.schedule.build().alphas_cumprod
    for t in (0.0, 0.5, 250.25, 998.75, 999.0):
        signal = np.interp(t, np.arange(1000), np.sqrt(levels))
        noise = np.interp(t, np.arange(1000), np.sqrt(1 - levels))
        expected = signal * net(x, torch.tensor([t])) + noise * x
        torch.testing.assert_close(network(x, torch.tensor([t])), expected.float(), atol=1e-5, rtol=1e-5)


class Constant(torch.nn.Module):
    """A network that always answers the same."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.output


@torch.no_grad()
def test_velocity_becomes_the_eps_that_it_stands_for() -> None:
    """With a network that answers v = √ᾱ·ε − √(1−ᾱ)·x_0, the result must be ε."""
    network = eps_network(tiny_checkpoint("velocity"))
    levels = tiny_checkpoint().schedule.build().alphas_cumprod
    x0, eps, t = torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4), torch.tensor([3.0, 500.0, 999.0])
    level = torch.tensor(levels[[3, 500, 999]]).float()[:, None, None, None]
    velocity = level.sqrt() * eps - (1 - level).sqrt() * x0
    network.net = Constant(velocity)
    torch.testing.assert_close(network(level.sqrt() * x0 + (1 - level).sqrt() * eps, t), eps)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old model")
    return path


@pytest.fixture
def traced_then(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[EpsNetwork], object]], None]:
    """Do something to the network between tracing it and checking the file."""

    def install(change: Callable[[EpsNetwork], object]) -> None:
        def trace(network: EpsNetwork, manifest: Any) -> onnx.ModelProto:
            model = onnx.load(exported())
            del model.metadata_props[:]
            change(network)
            return model

        monkeypatch.setattr(convert, "trace", trace)

    return install


def scale_head(factor: float) -> Callable[[EpsNetwork], object]:
    return lambda network: network.net.head.weight.data.mul_(factor)


def refused(path: Path, match: str) -> None:
    checkpoint = tiny_checkpoint()
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(ModelError, match=match) as caught:
        export(eps_network(checkpoint), tiny_manifest(checkpoint), path)
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.exists() else None) == before
    assert not list(path.parent.glob("*.partial"))


def test_unchanged_network_is_exported(traced_then: Any, old: Path) -> None:
    """The control of the refusals below."""
    traced_then(lambda network: None)
    checkpoint = tiny_checkpoint()
    found = export(eps_network(checkpoint), tiny_manifest(checkpoint), old)
    assert 0 <= found.largest_error <= TOLERANCE
    assert read_manifest(old) == replace(tiny_manifest(checkpoint), verification=found.as_dict())


@pytest.mark.parametrize("factor", [2.0, 1 + 1e-4, float("nan")])
def test_differing_network_is_refused_and_the_old_file_stays(
    factor: float, traced_then: Any, old: Path
) -> None:
    traced_then(scale_head(factor))
    refused(old, "not written; ONNX and torch differ by")
    refused(old.with_name("new.onnx"), "not written; ONNX and torch differ by")
    assert [file.name for file in old.parent.iterdir()] == [old.name]


def test_nan_in_a_later_case_is_refused_too(traced_then: Any, old: Path) -> None:
    def spoil_large_batches(network: EpsNetwork) -> None:
        forward = network.net.forward
        network.net.forward = lambda x, t: forward(x, t) * (float("nan") if len(x) > 1 else 1)

    traced_then(spoil_large_batches)
    refused(old, "not written")


def test_full_disk_leaves_the_old_file(traced_then: Any, old: Path) -> None:
    traced_then(lambda network: None)
    with full_disk(1000):
        refused(old, "cannot be written")


def test_missing_folder_is_refused(traced_then: Any, tmp_path: Path) -> None:
    traced_then(lambda network: None)
    refused(tmp_path / "gone" / "model.onnx", "cannot be written")
