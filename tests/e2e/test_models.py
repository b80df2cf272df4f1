"""baikal-run with a model for each channel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy import Denoiser, Images, Run, RunConfig
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.models import manifest
from baikal_deploy.models.manifest import find_model, remark_on, shipped_models
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.volumes.zarr.writer import OutputVolume
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import group_attributes, level0

REAL = "--engine", "onnx-cpu"
BOTH = "A=nuclei,B=tribolium,*=skip"


def write_channels(path: Path, pixels: np.ndarray, names: Sequence[str]) -> Path:
    """An OME-Zarr of channels with these names."""
    group = zarr.create_group(path)
    write_zarr(path / "0", pixels)
    steps = [{"type": "scale", "scale": [1.0] * pixels.ndim}]
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in "czyx"]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    channels = [{"label": label, "color": "FFFFFF"} for label in names]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": channels}}
    return path


@pytest.fixture
def three(tmp_path: Path, counts: np.ndarray) -> Path:
    """An OME-Zarr of channels A, B and T (transmitted light)."""
    return write_channels(tmp_path / "three.ome.zarr", np.stack([counts, counts * 2, counts[::-1]]), "ABT")


def recorded(path: Path) -> list[dict[str, object]]:
    channels: list[dict[str, object]] = group_attributes(path)["baikal"]["channels"]
    return channels


def test_each_channel_has_its_model(tmp_path: Path, baikal_run: BaikalRun, three: Path) -> None:
    out, mask = tmp_path / "out.ome.zarr", tmp_path / "mask.zarr"
    report = tmp_path / "out.html"
    result = baikal_run(three, out, "--model", BOTH, *REAL, "--mask", mask, "--report", report)
    assert result.exit_code == 0, result.output
    for words in (
        "model     nuclei, tribolium\n",
        "          model tribolium\n",
        "T         will be copied, not denoised (--model)",
        "note: channels left as they are, not denoised (--model): T",
    ):
        assert words in result.stderr
    before = np.asarray(zarr.open_array(three / "0", mode="r"))
    for place, model in enumerate(("nuclei", "tribolium")):
        alone = tmp_path / f"{model}.ome.zarr"
        chosen = "--channel", place, "--other-channels", "drop"
        assert baikal_run(three, alone, "--model", model, *REAL, *chosen).exit_code == 0
        assert np.array_equal(level0(out)[place], level0(alone)[0])
        sha256 = file_sha256(find_model(model))
        assert recorded(out)[place]["model"] == {"name": model, "sha256": sha256}
        assert recorded(out)[place]["measurement"] == recorded(alone)[0]["measurement"]
    assert np.array_equal(level0(out)[2], before[2])
    assert not level0(mask)[2].any()
    assert recorded(out)[2] == {"name": "T", "copied": True}
    made = group_attributes(out)["baikal"]
    assert "model" not in made
    assert "channels left as they are, not denoised (--model): T" in made["notes"]
    page = report.read_text(encoding="utf-8")
    assert "denoised by model <strong>nuclei, tribolium</strong>" in page
    assert "<dt>Model of B</dt><dd>tribolium</dd>" in page
    again = baikal_run(three, out, "--model", BOTH, *REAL, "--mask", mask)
    assert again.exit_code == 0
    assert "complete already" in again.stderr
    other = baikal_run(three, out, "--model", "A=tribolium,B=tribolium,*=skip", *REAL, "--mask", mask)
    assert other.exit_code == 2


@pytest.mark.parametrize("model", ["*=nuclei", "A=nuclei,B=nuclei,2=nuclei", "nuclei,A=nuclei"])
def test_one_model_for_all_is_as_ever(tmp_path: Path, baikal_run: BaikalRun, three: Path, model: str) -> None:
    out = tmp_path / "out.ome.zarr"
    assert baikal_run(three, out, "--model", "nuclei").exit_code == 0
    again = baikal_run(three, out, "--model", model)
    assert "complete already" in again.stderr
    assert group_attributes(out)["baikal"]["model"]["name"] == "nuclei"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("D=nuclei,*=skip", ["there is no channel D", "0: A, 1: B, 2: T", "(--model)"]),
        ("A=nuclei,B=skip", ["there is no model for channel T", "T=MODEL", "skip"]),
        ("A=nuclei,0=skip,*=nuclei", ["channel A has two models, nuclei and skip"]),
        ("A=nuclei,A=skip,*=nuclei", ["a channel has two models"]),
        ("A=nuclei,nuclei,skip", ["a channel has two models"]),
        ("A=nuclei,,B=nuclei", ["write CHANNEL=MODEL"]),
        ("A=,*=nuclei", ["write CHANNEL=MODEL"]),
        ("=nuclei", ["write CHANNEL=MODEL"]),
        ("skip", ["leaves nothing to denoise"]),
        ("A=skip,*=skip", ["leaves nothing to denoise"]),
        ("A=skip,B=skip,T=skip,X=nuclei", ["there is no channel X"]),
        ("A=cells,*=nuclei", ["model 'cells': not shipped"]),
        ("A=nuclei,B=gone.onnx,*=skip", ["gone.onnx: no such model file"]),
    ],
)
def test_what_cannot_be(
    tmp_path: Path, baikal_run: BaikalRun, three: Path, model: str, words: list[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    result = baikal_run(three, tmp_path / "out.ome.zarr", "--model", model)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    for word in words:
        assert word in line
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_that_no_channel_needs_is_checked_too(
    tmp_path: Path, baikal_run: BaikalRun, three: Path
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    model = f"A=nuclei,B={tmp_path / 'bad.onnx'},*=skip"
    result = baikal_run(three, tmp_path / "out.ome.zarr", "--model", model, "--channel", "A")
    assert result.exit_code == 2
    assert "bad.onnx: not an ONNX file" in result.stderr
    assert not (tmp_path / "out.ome.zarr").exists()


def test_channels_that_are_not_chosen_need_no_model(
    tmp_path: Path, baikal_run: BaikalRun, three: Path
) -> None:
    out = tmp_path / "out.ome.zarr"
    chosen = "--channel", "B,T", "--other-channels", "drop"
    result = baikal_run(three, out, "--model", "B=tribolium,T=skip", *chosen)
    assert result.exit_code == 0, result.output
    assert [one["name"] for one in recorded(out)] == ["B", "T"]
    assert recorded(out)[1] == {"name": "T", "copied": True}
    assert group_attributes(out)["baikal"]["model"]["name"] == "tribolium"
    before = np.asarray(zarr.open_array(three / "0", mode="r"))
    assert np.array_equal(level0(out)[1], before[2])


def test_what_is_skipped_takes_the_type_of_the_result(
    tmp_path: Path, baikal_run: BaikalRun, three: Path
) -> None:
    out = tmp_path / "out.ome.tif"
    result = baikal_run(three, out, "--model", "T=skip,*=nuclei", "--dtype", "float32")
    assert result.exit_code == 0, result.output
    written, before = tifffile.imread(out), np.asarray(zarr.open_array(three / "0", mode="r"))
    assert written.dtype == np.float32
    assert np.array_equal(written.reshape(before.shape)[2], before[2])


def test_one_image_of_a_folder_lacks_the_channel(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    write_channels(folder / "a.ome.zarr", np.stack([counts, counts]), "AT")
    write_channels(folder / "b.ome.zarr", np.stack([counts, counts]), "AB")
    result = baikal_run(folder, tmp_path / "out", "--model", "T=skip,*=tribolium")
    assert result.exit_code == 1
    assert "1 of 2 images denoised, 1 failed" in result.stderr
    assert "there is no channel T" in result.stderr
    assert recorded(tmp_path / "out" / "a_denoised.ome.zarr")[1] == {"name": "T", "copied": True}


def test_a_killed_run_continues(tmp_path: Path, baikal_run: BaikalRun, three: Path) -> None:
    out, whole = tmp_path / "out.ome.zarr", tmp_path / "whole.ome.zarr"
    arguments = "--model", BOTH, *REAL
    assert baikal_run(three, out, *arguments).exit_code == 0
    out.rename(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("baikal_deploy.volumes.zarr.writer.OutputVolume.finish", None)
        assert isinstance(baikal_run(three, out, *arguments).exception, TypeError)
    refused = baikal_run(three, out, "--model", "A=tribolium,B=tribolium,*=skip", *REAL).stderr
    assert "an unfinished run is there" in refused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("baikal_deploy.denoising.denoiser.Denoiser.measure", None)
        assert baikal_run(three, out, *arguments).exit_code == 0
    assert (out / "zarr.json").read_bytes() == (whole / "zarr.json").read_bytes()
    assert np.array_equal(level0(out), level0(whole))


def test_the_plan_counts_both_models(tmp_path: Path, three: Path) -> None:
    with Run(RunConfig(three, model="nuclei", engine="analytic"), only_plan=True) as one:
        base = one.plan.memory.base
        assert one.models.one is not None
    models = {"A": "nuclei", 1: "tribolium", "*": "skip"}
    with Run(RunConfig(three, model=models, engine="onnx-cpu"), only_plan=True) as run:
        assert [own.name for own in run.models.used] == ["nuclei", "tribolium"]
        assert run.plan.memory.base > base
        assert len(run.plan.memory.plans) == 2
        assert run.evaluations == 12
        assert run.estimate_seconds() > 0


def test_python_says_what_is_wrong(three: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to denoise"):
        RunConfig(three, model={"A": "skip"})
    with pytest.raises(ConfigError, match="no channel has a model"):
        RunConfig(three, model={})
    with pytest.raises(VolumeError, match="no channel 7"):
        Run(RunConfig(three, model={7: "nuclei"}, engine="analytic"))


def test_names_may_hold_anything_in_python(tmp_path: Path, counts: np.ndarray) -> None:
    path = write_channels(tmp_path / "odd.ome.zarr", np.stack([counts, counts]), ["DAPI, x=2", "*"])
    models = {"DAPI, x=2": "tribolium", 1: "skip"}
    with Run(RunConfig(path, model=models, engine="analytic"), only_plan=True) as run:
        assert run.models.of(0).name == "tribolium"
        assert run.plan.skipped == [1]


def test_an_alias_is_the_model_that_it_stands_for(
    tmp_path: Path, baikal_run: BaikalRun, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "ALIASES", {"grains": "tribolium"})
    assert find_model("grains") == shipped_models()["tribolium"]
    assert "grains" not in shipped_models()
    out = tmp_path / "out.ome.zarr"
    result = baikal_run(three, out, "--model", "A=grains,B=tribolium,T=grains")
    assert result.exit_code == 0
    told = "model grains is not shipped any more; tribolium is taken in its place, whose results differ"
    plan, end = result.stderr.index(f"note: {told}"), result.stderr.rindex(f"note: {told}")
    assert result.stderr.index("model     tribolium") < plan < end
    made = group_attributes(out)["baikal"]
    assert made["model"]["name"] == "tribolium"
    assert told in made["notes"]
    assert "complete already" in baikal_run(three, out, "--model", "tribolium").stderr
    planned = baikal_run(three, tmp_path / "o.zarr", "--model", "grains", "--dry-run", "--log", "json").stderr
    assert told in planned


def test_what_a_former_model_began_is_not_continued(
    tmp_path: Path, baikal_run: BaikalRun, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, option = tmp_path / "out.ome.zarr", ("--model", "tribolium")
    with mock.patch.object(OutputVolume, "finish", None):
        assert isinstance(baikal_run(three, out, *option).exception, TypeError)
    monkeypatch.setattr(manifest, "ALIASES", {"tribolium": "nuclei"})
    result = baikal_run(three, out, *option)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "model name tribolium is now nuclei" in line
    assert "model tribolium is not shipped any more; nuclei is taken in its place" in line
    assert "--overwrite" in line


def test_python_is_told_what_a_former_name_stands_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(manifest, "ALIASES", {"grains": "tribolium"})
    with Denoiser.load("grains", "analytic") as denoiser:
        assert denoiser.manifest.name == "tribolium"
    assert [record.getMessage() for record in caplog.records] == [remark_on("grains")]


def test_the_log_for_programs_has_the_models(tmp_path: Path, baikal_run: BaikalRun, three: Path) -> None:
    result = baikal_run(three, tmp_path / "out.zarr", "--model", BOTH, "--dry-run", "--log", "json")
    (planned,) = [json.loads(line) for line in result.stderr.splitlines() if '"planned"' in line]
    names = [one.get("model", {}).get("name") for one in planned["provenance"]["channels"]]
    assert names == ["nuclei", "tribolium", None]


def test_each_model_brings_what_it_recommends(tmp_path: Path, baikal_run: BaikalRun, three: Path) -> None:
    out, std = tmp_path / "out.ome.zarr", tmp_path / "std.zarr"
    own = "--sampler", "mixing", "-o", "runs=2", "--uncertainty", std
    result = baikal_run(three, out, "--model", BOTH, *own)
    assert result.exit_code == 0, result.output
    first, second, _ = recorded(out)
    assert first["options"]["mix"] == "before"  # type: ignore[index]
    assert second["options"]["mix"] != "before"  # type: ignore[index]
    assert level0(std)[:2].any(axis=(1, 2, 3)).all()
    assert not level0(std)[2].any()
    evaluations = sum(one["nfe"] * 3 for one in (first, second))  # type: ignore[operator]
    assert f" {evaluations} passes" in result.stderr


def test_the_fields_of_a_plate(tmp_path: Path, counts: np.ndarray) -> None:
    from tests.e2e.test_collection import FIELDS, make_plate

    plate, out = make_plate(tmp_path / "plate.zarr", counts), tmp_path / "out.zarr"
    config = RunConfig(plate, out, engine="analytic", model={0: "tribolium"})
    for done in (3, 0):  # the second time they are complete
        summary = Images(config).execute()
        assert (summary.done, summary.failed) == (done, {})
    for field in FIELDS:
        assert group_attributes(out / field)["baikal"]["model"]["name"] == "tribolium"
    failed = Images(replace(config, model={7: "tribolium"}, output=tmp_path / "none.zarr")).execute().failed
    assert len(failed) == 3
    assert all("there is no channel 7" in message for message in failed.values())
