"""baikal-run on several inputs: files, folders, patterns, and folders in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.many.folder import Folder
from baikal_deploy.run.many.gathered import expand, gather
from baikal_deploy.run.many.images import Images
from baikal_deploy.volumes.urls import Url
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun, write_zarr


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Days with images, names only; with what is no image, hidden, or an output."""
    require("links")
    path = tmp_path / "raw"
    touch(
        path / "a.tif", path / "day 1" / "a.tif", path / "day 1" / "plane.png", path / "day 2" / "b.czi",
        path / "day 2" / "notes.txt", path / ".hidden" / "c.tif", path / "out" / "a_denoised.tif",
    )  # fmt: skip
    (path / "day 2" / "store.zarr").mkdir()
    touch(path / "day 2" / "store.zarr" / "zarr.json")
    (path / "day 1" / "back").symlink_to(path)
    return path


def test_folders_in_folders(raw: Path) -> None:
    found = gather([raw], raw / "out", recursive=True)
    day = raw / "day 1", raw / "day 2"
    assert dict(found.places) == {
        raw / "a.tif": Path(), day[0] / "a.tif": Path("day 1"), day[1] / "b.czi": Path("day 2"),
        day[1] / "store.zarr": Path("day 2"),
    }  # fmt: skip
    assert set(found.others) == {day[0] / "back", day[0] / "plane.png", day[1] / "notes.txt"}
    flat = Folder.at(raw)
    assert flat is not None
    assert flat.images == (raw / "a.tif",)


def test_pictures_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    """Beside images of microscopes they mostly show these."""
    touch(tmp_path / "a.png", tmp_path / "b.JPG")
    found = Folder.at(tmp_path)
    assert found is not None
    assert [image.name for image in found.images] == ["a.png", "b.JPG"]


def test_several_inputs(raw: Path, tmp_path: Path) -> None:
    inputs = [raw / "day 2", raw / "a.tif", raw / "day 1" / "plane.png", raw / "day 2" / "notes.txt"]
    found = gather(inputs, None, recursive=False)
    assert [image.name for image in found.images] == ["b.czi", "store.zarr", "a.tif", "plane.png"]
    assert set(found.places.values()) == {Path()}
    assert found.path == raw
    with pytest.raises(VolumeError, match=r"gone\.tif: does not exist"):
        gather([raw / "a.tif", raw / "gone.tif"], None, recursive=False)
    with pytest.raises(ConfigError, match="is a URL, which cannot be one of several inputs"):
        gather([raw / "a.tif", Url("s3://bucket/a.zarr")], None, recursive=False)
    with pytest.raises(VolumeError, match="no image is there"):
        gather([raw / "day 2" / "notes.txt"], None, recursive=True)


def test_patterns(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(raw)
    assert expand([Path("day */[ab].*")]) == [Path("day 1/a.tif"), Path("day 2/b.czi")]
    assert expand([Path("day 1/a.tif"), Path("day ?/a.tif")]) == [Path("day 1/a.tif")]
    touch(raw / "[a].tif", raw / "[b].tif")  # names of files come first
    assert expand([Path("[a].tif")]) == [Path("[a].tif")]
    assert expand([Url("s3://bucket/*.zarr")]) == [Url("s3://bucket/*.zarr")]
    with pytest.raises(VolumeError, match=r"\*\.nd2: no file has such a name"):
        expand([Path("*.nd2")])


def test_draws_are_of_one_image(raw: Path) -> None:
    with pytest.raises(ConfigError, match="--draws 2: is for one image"):
        Images(RunConfig(raw / "a.tif"), 2, more=[raw / "day 2" / "b.czi"])


def test_a_folder_with_folders_is_denoised(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    (tmp_path / "raw" / "day 1").mkdir(parents=True)
    write_zarr(tmp_path / "raw" / "a.zarr", counts[0, :40, :40])
    write_zarr(tmp_path / "raw" / "day 1" / "a.zarr", counts[1, :40, :40])
    out = tmp_path / "raw" / "out"
    dry = baikal_run(tmp_path / "raw", out, "--recursive", "--dry-run")
    assert (dry.exit_code, out.exists()) == (0, False), dry.output
    result = baikal_run(tmp_path / "raw", out, "--recursive")
    assert result.exit_code == 0, result.output
    assert [Path(line) for line in result.stdout.split("\n")[:2]] == [
        out / "a_denoised.ome.zarr", out / "day 1" / "a_denoised.ome.zarr"
    ]  # fmt: skip
    assert "[2/2] day 1/a.zarr" in result.stderr
    again = baikal_run(tmp_path / "raw", out, "--recursive")
    assert "2 of 2 images denoised (2 of them before), 0 failed" in again.stderr


def test_a_pattern_on_the_command_line(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", counts[0, :40, :40])
    result = baikal_run(tmp_path / "*.tif", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").iterdir())) == 2
    refused = baikal_run(tmp_path / "*.tif")
    assert (refused.exit_code, "give an output folder" in refused.stderr) == (2, True)
    one = baikal_run(tmp_path / "[a].tif", tmp_path / "one.zarr")
    assert (one.exit_code, (tmp_path / "one.zarr").exists()) == (0, True), one.output


def test_inputs_are_not_taken_for_outputs(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    """A shell that spells out *.tif gives the last input as the last path."""
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    for path in paths:
        tifffile.imwrite(path, counts[0, :40, :40])
    before = [path.read_bytes() for path in paths]
    for given in (paths, paths[:2]):
        result = baikal_run(*given, "--overwrite")
        assert (result.exit_code, "as the last path" in result.stderr) == (2, True), result.output
    assert [path.read_bytes() for path in paths] == before
    follow = baikal_run(*paths, tmp_path / "out", "--follow")
    assert (follow.exit_code, "--follow: is for one input" in follow.stderr) == (2, True)
