"""baikal-run on a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from baikal_deploy.volumes.open import open_input
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.unit.volumes.test_tiff import multifile


@pytest.fixture
def folder(tmp_path: Path, counts: np.ndarray) -> Path:
    """A TIFF file, a Zarr store, a damaged file, and a file that is no image."""
    path = tmp_path / "in"
    path.mkdir()
    tifffile.imwrite(path / "a.tif", counts, photometric="minisblack")
    (path / "b.tif").write_bytes((path / "a.tif").read_bytes()[:20_000])
    write_zarr(path / "c.zarr", counts[:1])
    (path / "notes.txt").write_text("no image")
    (path / ".hidden.tif").write_text("no image")
    return path


def test_all_images_but_the_bad_one(tmp_path: Path, baikal_run: BaikalRun, folder: Path) -> None:
    result = baikal_run(folder, tmp_path / "out")
    assert result.exit_code == 1, result.output
    outputs = [tmp_path / "out" / name for name in ("a_denoised.ome.tif", "c_denoised.ome.zarr")]
    assert sorted((tmp_path / "out").iterdir()) == outputs
    assert result.stdout.split() == [str(path) for path in outputs]
    assert [open_input(path).info.num_planes for path in outputs] == [3, 1]
    summary = result.stderr[result.stderr.index(f"{folder}: 2 of 3 images denoised, 1 failed") :]
    assert "notes.txt" in summary
    assert f"failed: {folder / 'b.tif'}: is truncated or damaged" in summary
    assert "hidden" not in result.output


def test_without_a_bad_one_the_exit_code_is_0(tmp_path: Path, baikal_run: BaikalRun, folder: Path) -> None:
    (folder / "b.tif").unlink()
    assert baikal_run(folder, tmp_path / "out").exit_code == 0
    again = baikal_run(folder, tmp_path / "out")
    assert again.exit_code == 0
    assert "2 of 2 images denoised (2 of them before), 0 failed" in again.stderr
    other = baikal_run(folder, tmp_path / "out", "--seed", 3)
    assert other.exit_code == 1
    assert other.stderr.count("failed: ") == 2
    assert "exists already" in other.stderr
    assert baikal_run(folder, tmp_path / "out", "--overwrite").exit_code == 0


def test_a_dry_run_writes_nothing(tmp_path: Path, baikal_run: BaikalRun, folder: Path) -> None:
    (folder / "b.tif").unlink()
    result = baikal_run(folder, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0
    assert "2 of 2 images can be denoised" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_image_over_several_files_is_denoised_once(
    tmp_path: Path, baikal_run: BaikalRun, folder: Path
) -> None:
    (folder / "b.tif").unlink()
    multifile(folder)
    result = baikal_run(folder, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "second.ome.tif\na part of first.ome.tif" in result.stderr
    assert "3 of 3 images denoised" in result.stderr
    assert open_input(tmp_path / "out" / "first_denoised.ome.tif").info.num_planes == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "is a folder of 3 images; give an output folder"),
        (["in"], "is the folder of the inputs"),
        (["in/a.tif"], "and this is none"),
        (["in/c.zarr"], "and this is none"),
        (["none/out"], "its folder does not exist"),
        (["out", "--sampler", "magic"], "unknown sampler 'magic'"),
        (["out", "--guide", "guide.tif"], "--guide guide.tif: is for one image"),
        (["out", "--preview", "look.png"], "--preview look.png: is one file"),
        (["out", "--report", "none/looks"], "--report none/looks: its folder does not exist"),
    ],
)
def test_what_no_image_could_be_denoised_with_stops_at_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    baikal_run: BaikalRun,
    folder: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = baikal_run("in", *arguments)
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "failed" not in result.stderr


def test_two_images_of_one_name(tmp_path: Path, baikal_run: BaikalRun, folder: Path) -> None:
    tifffile.imwrite(folder / "A.tiff", np.zeros((4, 4), "u2"))
    result = baikal_run(folder, tmp_path / "out")
    assert result.exit_code == 2
    assert "A.tiff and a.tif would both be written to" in result.stderr
    assert not (tmp_path / "out").exists()
