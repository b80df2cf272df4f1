"""baikal-run on some channels of a volume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr

from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import group_attributes, level0


@pytest.fixture
def three(tmp_path: Path, counts: np.ndarray) -> Path:
    """An OME-Zarr of three channels, the last of one value."""
    path = tmp_path / "three.ome.zarr"
    group = zarr.create_group(path)
    pixels = np.stack([counts, counts * 2, np.full_like(counts, 7)])
    write_zarr(path / "0", pixels)
    steps = [{"type": "scale", "scale": [1, 1, 1, 1]}]
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in "czyx"]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    colors = {"A": "FF0000", "B": "00FF00", "C": "0000FF"}
    channels = [{"label": label, "color": color} for label, color in colors.items()]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": channels}}
    return path


def test_other_channels_are_copied(tmp_path: Path, baikal_run: BaikalRun, three: Path) -> None:
    out, whole = tmp_path / "out.ome.zarr", tmp_path / "whole.ome.zarr"
    result = baikal_run(three, out, "--channel", "B", "--mask", tmp_path / "mask.zarr")
    assert result.exit_code == 0, result.output
    assert "A         will be copied" in result.stderr
    assert "3 planes; 6 passes" in result.stderr
    assert "copied unchanged" not in result.stderr
    assert baikal_run(three, whole).exit_code == 0
    before = np.asarray(zarr.open_array(three / "0", mode="r"))
    assert np.array_equal(level0(out)[[0, 2]], before[[0, 2]])
    assert np.array_equal(level0(out)[1], level0(whole)[1])
    assert not level0(tmp_path / "mask.zarr")[[0, 2]].any()
    recorded = group_attributes(out)["baikal"]["channels"]
    assert recorded[0] == {"name": "A", "copied": True}
    assert recorded[1] == group_attributes(whole)["baikal"]["channels"][1]
    assert [channel["label"] for channel in group_attributes(out)["ome"]["omero"]["channels"]] == list("ABC")


def test_other_channels_are_left_out(tmp_path: Path, baikal_run: BaikalRun, three: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    result = baikal_run(three, out, "--channel", "2,B", "--other-channels", "drop", "--seed", 3)
    assert result.exit_code == 0, result.output
    yaozarrs.validate_zarr_store(out)
    assert level0(out).shape == (2, 3, 96, 80)
    assert np.array_equal(level0(out)[1], np.full((3, 96, 80), 7))
    attributes = group_attributes(out)
    kept = [(one["label"], one["color"]) for one in attributes["ome"]["omero"]["channels"]]
    assert kept == [("B", "00FF00"), ("C", "0000FF")]
    assert attributes["baikal"]["selection"] == {"c": [1, 2]}
    assert [channel["name"] for channel in attributes["baikal"]["channels"]] == ["B", "C"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--channel", "D"], ["no channel D", "0: A, 1: B, 2: C"]),
        (["--channel", "3"], ["no channel 3"]),
        (["--other-channels", "drop"], ["--channel"]),
    ],
)
def test_bad_channels(baikal_run: BaikalRun, three: Path, arguments: list[str], words: list[str]) -> None:
    result = baikal_run(three, *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    for word in words:
        assert word in line


def test_the_journal_knows_which_channels(tmp_path: Path, baikal_run: BaikalRun, three: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    assert baikal_run(three, out, "--channel", "A").exit_code == 0
    out.rename(tmp_path / "done.ome.zarr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("baikal_deploy.volumes.zarr.writer.OutputVolume.finish", None)
        assert isinstance(baikal_run(three, out, "--channel", "A").exception, TypeError)
    assert "denoised channels [0] is now [0, 1, 2]" in baikal_run(three, out).stderr
    assert baikal_run(three, out, "--channel", "0").exit_code == 0
    ours, done = (json.loads((path / "zarr.json").read_text()) for path in (out, tmp_path / "done.ome.zarr"))
    assert ours == done


def test_progress_counts_the_planes_that_are_denoised(
    tmp_path: Path, baikal_run: BaikalRun, three: Path
) -> None:
    result = baikal_run(three, tmp_path / "out.zarr", "--channel", "B", "--log", "json")
    events = [json.loads(line) for line in result.stderr.splitlines()]
    planned, last = (
        [event for event in events if event["event"] == kind][-1] for kind in ("planned", "progress")
    )
    assert (planned["planes"], last["planes"], last["planes_done"]) == (3, 3, 3)
