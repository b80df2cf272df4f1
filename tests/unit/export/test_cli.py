"""baikal-export from a checkpoint to a model, and how it ends when something is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner, Result

from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import FUSED_KEY, read_manifest
from baikal_export.card import read_card
from baikal_export.cli import main
from baikal_export.precision import convert
from tests.capabilities import require
from tests.clean import write_clean
from tests.models import exported, tiny_checkpoint

CARD = """
[card]
data = "simulated µ-nuclei"
licence = "CC0"

[recommended.repaint]
interval = 2
repeats = 3

[recommended.mixing]
w_start = 0.1
"""


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose trace is already there: tracing is tested in test_export."""

    model_file = exported()  # before trace is replaced

    def traced(network: Any, manifest: Any) -> onnx.ModelProto:
        model = onnx.load(model_file)
        del model.metadata_props[:]
        return model

    monkeypatch.setattr(convert, "trace", traced)
    path = tmp_path / "net.pt"
    tiny_checkpoint().save(path)
    return path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_model_is_written_beside_the_checkpoint(checkpoint: Path) -> None:
    result = run(checkpoint)
    output = checkpoint.with_suffix(".onnx")
    assert result.exit_code == 0, result.stderr
    size = output.stat().st_size / 1e6
    assert f"wrote {output} ({size:.1f} MB, fp32); it agrees with {checkpoint} to " in result.stdout
    assert result.stdout.endswith("not compared on denoised planes: the model names no validation volumes\n")
    manifest = read_manifest(output)
    assert manifest.name == "net"
    assert manifest.training["iterations"] == 0
    assert manifest.training["exported_by"].startswith("baikal-deploy ")
    assert (manifest.card, manifest.recommended) == ({}, {})


def test_name_output_and_card_are_taken(checkpoint: Path, tmp_path: Path) -> None:
    card, output = tmp_path / "card.toml", tmp_path / "other.onnx"
    card.write_text(CARD, encoding="utf-8")
    result = run(checkpoint, "-o", output, "--name", "nuclei", "--card", card)
    assert result.exit_code == 0, result.stderr
    manifest = read_manifest(output)
    assert manifest.name == "nuclei"
    assert manifest.card == {"data": "simulated µ-nuclei", "licence": "CC0"}
    assert manifest.recommended == {"repaint": {"interval": 2, "repeats": 3}, "mixing": {"w_start": 0.1}}


def fails(result: Result, match: str, output: Path) -> None:
    assert result.exit_code == 2, result.exception
    assert result.stderr.startswith("error: ")
    assert match in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not output.exists()


def test_bad_checkpoints_and_folders_fail_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    require("links")
    output = tmp_path / "net.onnx"
    fails(run(tmp_path / "gone.pt", "-o", output), "gone.pt: no such checkpoint", output)
    fails(run(checkpoint, "-o", tmp_path / "gone" / "net.onnx"), "its folder does not exist", output)
    (tmp_path / "loop").symlink_to("loop")
    fails(run(tmp_path / "loop"), "loop: cannot be found", output)
    fails(run(tmp_path / ("a" * 300)), "cannot be found (File name too long)", output)
    fails(run(checkpoint, "-o", tmp_path / "loop"), "loop: nothing can be written there", output)
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    fails(run(checkpoint), "net.pt: not a readable checkpoint", output)


def test_differing_model_fails_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    tiny_checkpoint(seed=1).save(checkpoint)  # not the one that was traced
    fails(run(checkpoint), "not written; ONNX and torch differ", tmp_path / "net.onnx")


def test_model_is_compared_on_named_images(checkpoint: Path, tmp_path: Path) -> None:
    clean = write_clean(tmp_path / "clean", 2)
    result = run(checkpoint, "--verify", clean / "0.png", "--verify", clean / "1.png")
    assert result.exit_code == 0, result.stderr
    assert "; PSNR of 8 denoised planes " in result.stdout
    record = read_manifest(checkpoint.with_suffix(".onnx")).verification
    assert (record["source"], record["planes"]) == ("2 of 2 volumes that were named", 8)


def test_model_of_another_precision_is_named_after_it(checkpoint: Path, tmp_path: Path) -> None:
    clean = write_clean(tmp_path / "clean", 2)
    result = run(checkpoint, "--precision", "int8", "--verify", clean, "--calibrate", clean, "--max-loss", 9)
    assert result.exit_code == 0, result.stderr
    output = tmp_path / "net-int8.onnx"
    assert f"wrote {output} (" in result.stdout
    assert " MB, int8); relative error " in result.stdout
    manifest = read_manifest(output)
    assert (manifest.name, manifest.precision) == ("net-int8", "int8")
    assert not checkpoint.with_suffix(".onnx").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            ["--precision", "fp16"],
            "--precision fp16: the model names no validation volumes; name clean images",
        ),
        (["--precision", "int8", "--verify", "."], "the model names no training volumes; name clean images"),
        (["--precision", "fp16", "--calibrate", "."], "--calibrate: --precision fp16 takes no calibration"),
        (["--verify", "gone.png"], "gone.png: no such file or folder of images"),
        (["--verify", "net.pt"], "net.pt: is not an image that can be read"),
        (["--channel", "1"], "--channel 1: of which images?"),
    ],
)
def test_missing_or_wrong_images_fail_in_one_line(
    options: list[str], match: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clean(tmp_path / "clean", 1)
    monkeypatch.chdir(tmp_path)
    fails(run(checkpoint, *options), match, checkpoint.with_suffix(".onnx"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("not toml", "cannot be read as a model card"),
        ("[notes]\nx = 1", "unknown table [notes]; there are card, recommended"),
        ("[recommended.magic]\nx = 1", "unknown sampler 'magic'; choose one of"),
        ("[recommended.mixing]\nmagic = 1", "sampler mixing: no option 'magic'"),
        ("[recommended.mixing]\nstart = 'soon'", "sampler mixing: option start=soon"),
        ("[recommended.mixing]\nstart = -4", "sampler mixing: start -4: must be at least 1"),
        ("card = 5", "card"),
        ("recommended = 3", "recommended"),
        ("[recommended]\nmixing = 3", "mixing"),
        ("[card]\ndate = 2024-01-31", "date"),
        ("[card]\nversion = 3", "version"),
    ],
)
def test_bad_cards_fail_in_one_line(text: str, match: str, checkpoint: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text(text)
    result = run(checkpoint, "--card", card)
    fails(result, match, checkpoint.with_suffix(".onnx"))
    assert str(card) in result.stderr


def test_missing_card_fails(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read as a model card"):
        read_card(tmp_path / "gone.toml")
    (tmp_path / "card.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"card\.toml: cannot be read as a model card"):
        read_card(tmp_path / "card.toml")


def test_usage_error_has_exit_code_2() -> None:
    for arguments in ([], ["net.pt", "--max-loss", "-1"], ["net.pt", "--precision", "fp8"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Traceback" not in result.output


def test_fused_sampler_lies_beside_the_model(checkpoint: Path) -> None:
    result = run(
        checkpoint, "--fused-sampler", "mixing,steps=walk2", "--fused-sampler", "forward-backward,start=9"
    )
    assert result.exit_code == 0, result.stderr
    for name in ("net-mixing.onnx", "net-forward-backward.onnx"):
        path = checkpoint.with_name(name)
        assert FUSED_KEY in [entry.key for entry in onnx.load(path).metadata_props]
        assert f"wrote {path}; it agrees with the NumPy sampler to " in result.stdout


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--fused-sampler", "magic"], "unknown sampler 'magic'"),
        (["--fused-sampler", "mixing,steps"], "write NAME,KEY=VALUE"),
        (["--fused-sampler", "mixing", "--fused-sampler", "mixing,stop=3"], "give each sampler once"),
        (["--fused-sampler", "matched,evaluations=9"], "must lie within 1 … 8"),
        (["--bioimageio", "model.tar"], "name a file that ends in .zip"),
        (["--sm", "86"], "--sm goes with --tensorrt-rtx"),
        (["--profile", "1x16x16,1x32x32,1x32x32"], "--profile goes with --tensorrt"),
        (["--tensorrt-rtx", "--profile", "large"], "profile 'large'"),
        (["--tensorrt-rtx", "--profile", "1x4x4,1x6x8,1x8x8"], "multiples of 4, not 6x8"),
    ],
)
def test_options_for_more_files_are_checked_before_anything_is_written(
    options: list[str], match: str, checkpoint: Path
) -> None:
    fails(run(checkpoint, *options), match, checkpoint.with_suffix(".onnx"))


def test_exported_model_gets_fused_samplers_beside_it(tmp_path: Path) -> None:
    model = tmp_path / "tiny.onnx"
    shutil.copyfile(exported(), model)
    result = run(model, "--fused-sampler", "forward-backward,start=9")
    assert result.exit_code == 0, result.stderr
    assert f"wrote {tmp_path / 'tiny-forward-backward.onnx'}; it agrees" in result.stdout
    assert model.read_bytes() == exported().read_bytes()
    result = run(model, "--fused-sampler", "forward-backward,start=9", "-o", tmp_path / "other.onnx")
    assert (tmp_path / "other-forward-backward.onnx").exists(), result.stderr
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "is exported already; ask for --fused-sampler, --bioimageio or --record"),
        (["--fused-sampler", "matched", "--precision", "fp16"], "--precision: goes with a checkpoint"),
        (["--fused-sampler", "matched", "--name", "other"], "--name: goes with a checkpoint"),
        (["--bioimageio", "model.zip/none/a.zip"], "model.zip"),
    ],
)
@pytest.mark.parametrize("model", ["general", "file"])
def test_what_does_not_go_with_an_exported_model(model: str, options: list[str], match: str) -> None:
    result = run(exported() if model == "file" else model, *options)
    assert result.exit_code == 2
    assert match in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_checkpoint_is_not_written_over(checkpoint: Path) -> None:
    before = checkpoint.read_bytes()
    result = run(checkpoint, "-o", checkpoint.parent / "." / checkpoint.name)
    assert result.exit_code == 2
    assert "is there already, and by its name no .onnx file" in result.stderr
    assert checkpoint.read_bytes() == before


def test_no_image_is_written_over(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(b"an image")
    result = run(checkpoint, "-o", path)
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"error: -o {path}: is there already, and by its name no .onnx file; name another file\n"
    )
    assert path.read_bytes() == b"an image"


def test_engine_file_of_tensorrt_rtx_is_built(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path / "cache"))
    profile = ["--profile", "1x4x4,1x32x32,2x32x32"]
    first, second = (run(checkpoint, "--tensorrt-rtx", "--sm", "86", *profile) for _ in range(2))
    (path,) = (tmp_path / "cache" / "engines").glob("*.engine")
    assert f"built tensorrt-rtx engine file {path}" in first.stdout, first.stderr
    assert f"found tensorrt-rtx engine file {path}" in second.stdout
