"""The record in a file: its figures are right, and what loses too much is not kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from skimage.metrics import structural_similarity

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.random_field import NoiseField
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import ModelError
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.models.manifest import ModelManifest, Stored, read_manifest
from baikal_export import onnx_file
from baikal_export.network import EpsNetwork
from baikal_export.onnx_file import NONE, TOLERANCE, export
from baikal_export.planes import TO_VERIFY, CleanPlanes, of_checkpoint
from baikal_export.precision.convert import Converted
from baikal_export.report import report
from baikal_export.torch_eager import TorchEngine
from baikal_export.verification import FILE, ROUNDED, TORCH, Verification, verify
from tests.clean import soft_plane
from tests.models import eps_network, exported, tiny_checkpoint, tiny_manifest
from tests.reduced import reduced

CLEAN = CleanPlanes(tuple(soft_plane(seed)[:24, :32] / np.float32(127.5) - 1 for seed in range(2)), "two")


def test_relative_errors_are_those_of_the_file_and_the_checkpoint() -> None:
    file = reduced("fp16")
    record = read_manifest(file.path).verification
    planes = of_checkpoint("validation", file.trained, TO_VERIFY).planes[:4]
    network, levels = file.trained.network(), file.trained.schedule.build().alphas_cumprod
    session = onnxruntime.InferenceSession(str(file.path))
    assert list(record["relative_error"]["file"]) == ["0", "250", "500", "749", "999"]
    for place, t in enumerate((0, 250, 500, 749, 999)):
        errors = []
        for number, plane in enumerate(planes):
            noise = NoiseField(2, 4 * place + number, plane.shape)(0, 0)
            x = (np.sqrt(levels[t]) * plane + np.sqrt(1 - levels[t]) * noise).astype(np.float32)[None, None]
            found = session.run(None, {"x_t": x, "timesteps": np.array([t], np.float32)})
            with torch.no_grad():
                wanted = [output.numpy() for output in network(torch.from_numpy(x), torch.tensor([float(t)]))]
            pairs = zip(found, wanted, strict=True)
            errors += [np.sqrt(np.square(a - b).sum() / np.square(b).sum()) for a, b in pairs]
        assert record["relative_error"]["file"][str(t)] == pytest.approx(max(errors), rel=0.01)
        assert record["relative_error"]["rounded"][str(t)] > 1.2 * max(errors)  # the CPU rounds less


def test_denoised_planes_are_those_of_the_default_sampler() -> None:
    file = reduced("fp16")
    manifest = read_manifest(file.path)
    record = manifest.verification["denoised"]
    assert (record["sampler"], record["sigma"], record["options"]) == ("repaint", 0.5, {})
    clean = of_checkpoint("validation", file.trained, TO_VERIFY).planes
    engines: dict[str, Engine] = {
        "file": open_engine("onnx-cpu", file.path, manifest, EngineOptions(1, "fp16")),
        "torch": TorchEngine(file.trained.network(), manifest),
    }
    for name, engine in engines.items():
        with Denoiser(engine, file.path, 512, 64, 1, {}) as denoiser:
            measurement = Measurement(IntensityMap(-1, 1), 0.5, 0)
            recipe = denoiser.recipe(make_sampler("repaint", {}, {}), measurement, seed=0)
            psnr, ssim = [], []
            for index, plane in enumerate(clean):
                noisy = plane + np.float32(0.5) * NoiseField(1, index, plane.shape)(0, 0)
                result = denoiser.run(recipe, Stack(noisy[None], [index])).planes
                psnr.append(10 * np.log10(4 / np.square(result[0] - plane).mean()))
                ssim.append(structural_similarity(plane, result[0], data_range=2))
        assert record["psnr_db"][name] == pytest.approx(np.mean(psnr), abs=2e-4)
        assert record["ssim"][name] == pytest.approx(np.mean(ssim), abs=2e-5)
    for measure, change in (("psnr_db", "psnr_change_db"), ("ssim", "ssim_change")):
        values = dict(record[measure])
        assert record[change] == pytest.approx(
            min(values["file"], values["rounded"]) - values["torch"], abs=2e-4
        )


def test_record_says_what_was_compared_with_what() -> None:
    for precision in ("fp16", "int8"):
        record = read_manifest(reduced(precision).path).verification
        assert record["reference"] == f"torch {torch.__version__}, fp32"
        assert (record["engine"], record["engine_version"]) == (
            "onnx-cpu",
            f"onnxruntime {onnxruntime.__version__}",
        )
        assert record["planes"] == 8
        assert record["source"].endswith("validation volumes")
        assert set(record["relative_error"]) == ({"file", "rounded"} if precision == "fp16" else {"file"})
    calibration = record["details"]["calibration"]
    assert calibration["planes"] == 64
    assert calibration["source"].endswith("training volumes")


def test_record_is_the_same_each_time() -> None:
    file = reduced("int8")
    manifest = read_manifest(file.path)
    clean = of_checkpoint("validation", file.trained, TO_VERIFY)
    with open_engine("onnx-cpu", file.path, manifest, EngineOptions(precision="int8")) as engine:
        engines = {TORCH: TorchEngine(file.trained.network(), manifest), FILE: engine}
        found = verify(engines, file.path, clean, manifest.verification["details"])
    assert found.as_dict() == manifest.verification


Prepare = Callable[..., Callable[..., Verification]]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prepare:
    """``export`` of ``tiny_checkpoint`` to a path where a model is, with a conversion that changes the head
    of the file, and of the rounded network, by factors."""

    model_file = exported()  # before convert is replaced

    def prepare(file: float = 1.0, rounded: float | None = None) -> Callable[..., Verification]:
        def convert(network: EpsNetwork, manifest: ModelManifest, *_: object) -> Converted:
            model = onnx.load(model_file)
            (head,) = [one for one in model.graph.initializer if one.name == "net.head.weight"]
            head.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(head) * np.float32(file), head.name))
            if rounded is None:
                return Converted(model)
            other = eps_network(tiny_checkpoint())
            other.net.head.weight.data.mul_(rounded)
            return Converted(model, other)

        def run(precision: Stored, clean: CleanPlanes = CLEAN, **options: float) -> Verification:
            checkpoint = tiny_checkpoint()
            manifest = replace(tiny_manifest(checkpoint), precision=precision)
            return export(eps_network(checkpoint), manifest, tmp_path / "net.onnx", clean, NONE, **options)

        monkeypatch.setattr(onnx_file, "convert", convert)
        (tmp_path / "net.onnx").write_bytes(b"the old model")
        return run

    return prepare


def refused(run: Callable[[], object], tmp_path: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        run()
    assert str(caught.value).startswith(f"{tmp_path / 'net.onnx'}: not written; ")
    assert (tmp_path / "net.onnx").read_bytes() == b"the old model"
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_file_that_loses_too_much_is_not_kept_unless_allowed(prepared: Prepare, tmp_path: Path) -> None:
    run = prepared(file=1.5)
    match = (
        r"in int8, denoised planes lose (\d+\.\d\d) dB of PSNR, more than 0\.1; choose another --precision"
    )
    refused(lambda: run("int8"), tmp_path, match)
    found = run("int8", max_loss_db=50.0)
    assert 0.1 < found.loss_db < 50
    assert read_manifest(tmp_path / "net.onnx").verification == found.as_dict()
    with pytest.raises(
        ModelError, match=f"lose {found.loss_db:.2f} dB of PSNR, more than {found.loss_db / 2:g};"
    ):
        run("int8", max_loss_db=found.loss_db / 2)


def test_what_a_gpu_would_lose_counts_too(prepared: Prepare, tmp_path: Path) -> None:
    refused(lambda: prepared(rounded=1.5)("fp16"), tmp_path, "in fp16, denoised planes lose")


@pytest.mark.parametrize("factors", [(float("nan"), None), (1.0, float("nan")), (float("inf"), None)])
def test_values_that_are_not_finite_are_refused(
    factors: tuple[float, float | None], prepared: Prepare, tmp_path: Path
) -> None:
    run = prepared(*factors)
    refused(lambda: run("fp16", max_loss_db=np.inf), tmp_path, "ONNX and torch differ by (nan|inf)$")


def test_fp32_must_agree_whatever_its_planes_lose(prepared: Prepare, tmp_path: Path) -> None:
    run = prepared(file=1.001)
    refused(lambda: run("fp32"), tmp_path, r"ONNX and torch differ by \d\.\de-0\d, more than 1e-05")
    assert run("int8").denoised is not None


def test_without_planes_the_record_says_so(prepared: Prepare, tmp_path: Path) -> None:
    run = prepared()
    found = run("fp32", CleanPlanes((), "the volumes are gone"))
    record = read_manifest(tmp_path / "net.onnx").verification
    assert (record["denoised"], record["planes"], record["source"]) == (None, 0, "the volumes are gone")
    assert 0 < found.largest_error < TOLERANCE
    assert len(record["relative_error"]["file"]) == 5
    (line,) = report(Path("net.pt"), tmp_path / "net.onnx", "fp32", found)
    assert line.endswith("; not compared on denoised planes: the volumes are gone")


def test_fp32_with_planes_loses_nothing(prepared: Prepare, tmp_path: Path) -> None:
    found = prepared()("fp32")
    assert found.denoised is not None
    assert abs(found.denoised.psnr_change_db) < 1e-3
    assert set(found.denoised.psnr_db) == {FILE, TORCH}
    assert ROUNDED not in found.relative_error
    (line,) = report(Path("net.pt"), tmp_path / "net.onnx", "fp32", found)
    assert line.startswith(f"wrote {tmp_path / 'net.onnx'} (")
    assert (
        f"MB, fp32); it agrees with net.pt to {found.largest_error:.1e}; PSNR of 2 denoised planes " in line
    )


def test_report_lists_what_comes_near_fp16s_limit(prepared: Prepare, tmp_path: Path) -> None:
    reach = {
        "limit": 65504.0,
        "largest": 41230.0,
        "at": "stem (Conv)",
        "near": {"stem (Conv)": 41230.0, "x": 9e3},
    }
    found = replace(prepared()("fp16"), details={"range": reach})
    lines = report(Path("net.pt"), tmp_path / "net.onnx", "fp16", found)
    assert lines[:3] == [
        "near the end of fp16's range, 65504:",
        "       41230  stem (Conv)",
        "        9000  x",
    ]
    assert "; relative error " in lines[3]
