"""baikal-export writes the record beside a model: what it knows, and what its precisions lose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.measurement.structure.classifier import classifier
from baikal_deploy.measurement.structure.density import Density
from baikal_deploy.models.manifest import read_manifest
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.models.record import ModelRecord
from baikal_export import losses as module
from baikal_export.cli import main
from baikal_export.planes import CleanPlanes, simulated
from baikal_export.rounded import Rounded, to_bf16
from baikal_export.torch_eager import TorchEngine
from tests.clean import write_clean
from tests.models import eps_network, exported, tiny_checkpoint, tiny_manifest


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(exported(), tmp_path / "mine.onnx"))


def test_record_of_a_file_that_is_there(model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    result = run(model, "--record", "--knows", "nuclei", "--verify", write_clean(tmp_path / "clean"))
    assert result.exit_code == 0, result.stderr
    assert f"wrote {model.with_suffix('.json')}: it knows nuclei" in result.stdout
    assert "fp32 on onnx-cpu: PSNR " in result.stdout
    assert model.read_bytes() == before
    found = ModelRecord.beside(model, file_sha256(model))
    assert found.known.structures == ("nuclei",)
    entries = {(loss.precision, loss.engine): loss for loss in found.losses}
    exact = entries["fp32", "onnx-cpu"]
    assert [level.sigma for level in exact.levels] == list(module.SIGMAS)
    assert all(level.psnr_change_db == 0 and level.worst_pixel == 0 for level in exact.levels)
    assert exact.machine
    rounded = entries.get(("bf16", "openvino")) or entries["bf16", "rounded"]
    assert all(0 < level.worst_pixel < 0.5 for level in rounded.levels)
    again = run(model, "--record", "--verify", tmp_path / "clean")
    assert again.exit_code == 0, again.stderr
    assert ModelRecord.beside(model, file_sha256(model)) == found  # knows what was told before


def test_record_replaces_one_of_another_file(model: Path, tmp_path: Path) -> None:
    ModelRecord("0" * 64).save(model)
    result = run(model, "--record", "--verify", write_clean(tmp_path / "clean"))
    assert result.exit_code == 0, result.stderr
    assert ModelRecord.beside(model, file_sha256(model)).losses


def test_export_writes_density_and_losses(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint()
    dimensions = classifier().axes.shape[1]
    density = Density.of(np.random.default_rng(0).normal(size=(5, dimensions)))
    checkpoint.training["seen"] = json.loads(json.dumps(density.__dict__))
    checkpoint.save(tmp_path / "net.pt")
    result = run(tmp_path / "net.pt", "--verify", write_clean(tmp_path / "clean"), "--max-loss", "99")
    assert result.exit_code == 0, result.stderr
    model = tmp_path / "net.onnx"
    found = ModelRecord.beside(model, file_sha256(model))
    assert found.known.density == density
    assert {loss.engine for loss in found.losses} >= {"onnx-cpu", "openvino"}
    assert "seen" not in read_manifest(model).training
    assert "images like those it was trained on" in result.stdout


def test_nothing_is_written_where_nothing_is_known(tmp_path: Path) -> None:
    tiny_checkpoint().save(tmp_path / "net.pt")
    assert run(tmp_path / "net.pt").exit_code == 0
    assert not (tmp_path / "net.json").exists()


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    tiny_checkpoint().save(tmp_path / "net.pt")
    (tmp_path / "net.json").write_text("{}")
    result = run(tmp_path / "net.pt")
    assert result.exit_code == 2
    assert "net.json: is not the record of a model" in result.stderr
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("more", [["-o", "x.onnx"], ["--precision", "bf16"], ["--tensorrt"]])
def test_record_takes_no_options_of_an_export(model: Path, more: list[str]) -> None:
    result = run(model, "--record", *more)
    assert result.exit_code == 2
    assert "--record goes with --verify, --channel and --knows alone" in result.stderr


def test_losses_are_those_of_the_engine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(TorchEngine):
        def _predict(self, x_t: Any, t: float) -> Any:
            eps, v = super()._predict(x_t, t)
            return eps + 0.1, v

    checkpoint = tiny_checkpoint()
    manifest = tiny_manifest(checkpoint)
    right, wrong = (kind(eps_network(checkpoint), manifest) for kind in (TorchEngine, Wrong))
    clean = CleanPlanes((np.zeros((64, 64), np.float32),), "made up")

    def engines(*_: Any) -> list[Engine]:
        return [wrong]

    monkeypatch.setattr(module, "_engines", engines)
    (loss,) = module.losses(model, manifest, clean, right)
    assert all(level.worst_pixel > 0.001 for level in loss.levels)
    assert [level.worst_pixel for level in loss.levels] == sorted(level.worst_pixel for level in loss.levels)


def test_rounding_to_bf16() -> None:
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, -1e-3, 3e38, 0], np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(to_bf16(values), expected)


def test_every_result_is_rounded(model: Path) -> None:
    manifest = read_manifest(model)
    x_t = np.random.default_rng(0).normal(size=(1, 1, 32, 32)).astype(np.float32)
    with (
        open_engine("onnx-cpu", model, manifest) as exact,
        Rounded.open(model, manifest, EngineOptions()) as rounded,
    ):
        wanted, found = (engine.predict(x_t, 300.0)[0] for engine in (exact, rounded))
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 1e-4 < error < 0.1
    assert (rounded.name, rounded.precision) == ("rounded", "bf16")


def test_simulated_planes() -> None:
    manifest = tiny_manifest(tiny_checkpoint())
    found = simulated(manifest)
    assert found.source.startswith("simulated: ")
    assert all(side % manifest.downsampling == 0 for plane in found.planes for side in plane.shape)
    assert all(plane.std() > 0.05 for plane in found.planes)
