from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result
from yaozarrs import validate_zarr_store

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.zarr.reader import open_volume
from baikal_deploy.volumes.zarr.writer import OutputVolume
from baikal_training.simulate import simulate
from baikal_training.simulate.cli import main
from baikal_training.simulate.files import Format
from baikal_training.simulate.pairs import PairSet

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
ZARR, TIFF = "nuclei-0-0000.ome.zarr", "nuclei-0-0000.ome.tif"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


@pytest.fixture(scope="module")
def zarrs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zarrs") / "new" / "folder"
    arguments = ("--size", 48, "--planes", 3, "--times", 2, "--psnr", 12, "--correlated", 0.5)
    result = run("tribolium", folder, *arguments)
    assert result.exit_code == 0, result.output
    return folder


def test_pairs_are_valid_ome_zarr(zarrs: Path) -> None:
    assert names(zarrs) == ["clean/tribolium-0-0000.ome.zarr", "noisy/tribolium-0-0000.ome.zarr"]
    for name in names(zarrs):
        validate_zarr_store(zarrs / name)
        info = open_volume(zarrs / name).info
        assert [axis.name for axis in info.axes] == ["t", "c", "z", "y", "x"]
        assert [axis.unit for axis in info.axes[2:]] == ["micrometer"] * 3
        assert (info.shape, info.dtype) == ((2, 1, 3, 48, 48), np.uint16)
        assert info.scale == (1, 1, 2, 0.4, 0.4)
        assert info.channel_name(0) == "nuclei"


def test_the_clean_image_is_the_noisy_one_without_noise(zarrs: Path) -> None:
    clean, noisy = (open_volume(zarrs / name).read(range(6)).astype(np.float64) for name in names(zarrs))
    noise = noisy - clean
    peak = clean.max() - clean.min()
    assert abs(noise.mean()) < 0.02 * peak
    assert -10 * np.log10(np.mean(noise**2) / 1e4**2) == pytest.approx(12, abs=0.3)
    assert np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1] == pytest.approx(
        1 / 3, abs=0.05
    )


def test_the_clean_counts_are_the_simulated_image_on_the_camera_s_scale(zarrs: Path) -> None:
    path = zarrs / names(zarrs)[0]
    record = zarr.open_group(path, mode="r").attrs["baikal"]
    assert record["complete"]
    assert {"morphology": "tribolium", "seed": 0, "index": 0, "kind": "clean"}.items() <= record.items()
    unit = simulate("tribolium", (2, 3, 48, 48), record["image_seed"]).reshape(6, 48, 48)
    camera = record["camera"]
    expected = camera["offset"] + camera["gain"] * camera["photons"] * unit
    np.testing.assert_allclose(open_volume(path).read(range(6)), expected, atol=0.51)


def test_tiff_pairs_have_axes_pixel_sizes_and_provenance(tmp_path: Path) -> None:
    assert run("nuclei", tmp_path, "--size", 32, "--planes", 2, "--format", "tiff").exit_code == 0
    assert names(tmp_path) == [f"clean/{TIFF}", f"noisy/{TIFF}"]
    with tifffile.TiffFile(tmp_path / "noisy" / TIFF) as file:
        series, xml = file.series[0], file.ome_metadata
        assert (series.axes, series.shape, series.dtype) == ("ZYX", (2, 32, 32), np.uint16)
    assert xml is not None
    pixels = tifffile.xml2dict(xml)["OME"]["Image"]
    assert pixels["Pixels"]["PhysicalSizeX"] == 0.325
    assert pixels["Pixels"]["PhysicalSizeZ"] == 0.975
    assert pixels["Pixels"]["Channel"]["Name"] == "nuclei"
    assert json.loads(pixels["Description"])["kind"] == "noisy"


def test_a_training_set_is_one_line_and_image_i_does_not_depend_on_the_count(tmp_path: Path) -> None:
    options = ("--size", 32, "--clean-only", "--format", "tiff")
    assert run("flywing", tmp_path / "two", *options, "--count", 2).exit_code == 0
    assert run("flywing", tmp_path / "three", *options, "--count", 3).exit_code == 0
    assert names(tmp_path / "three") == [f"clean/flywing-0-000{i}.ome.tif" for i in range(3)]
    images = [tifffile.imread(tmp_path / "three" / name) for name in names(tmp_path / "three")]
    assert images[0].shape == (32, 32)
    assert not np.array_equal(images[0], images[1])
    assert [tifffile.imread(tmp_path / "two" / n).tolist() for n in names(tmp_path / "two")] == [
        image.tolist() for image in images[:2]
    ]


def test_seeds_of_images_differ_between_images_and_sets() -> None:
    seeds = [PairSet("nuclei", (1, 1, 32, 32), seed=s).image_seed(i) for s in range(5) for i in range(5)]
    assert len(set(seeds)) == 25


@pytest.mark.parametrize(("suffix", "name"), [("zarr", ZARR), ("tiff", TIFF)])
def test_images_are_replaced_only_on_request(tmp_path: Path, suffix: str, name: str) -> None:
    options = ("nuclei", tmp_path, "--size", 32, "--format", suffix)
    assert run(*options).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    refused = run(*options, "--psnr", 30)
    assert refused.exit_code == 2
    assert f"{name}: exists already" in refused.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert run(*options, "--psnr", 30, "--overwrite").exit_code == 0
    assert all(path.stat().st_mtime_ns > time for path, time in before.items())
    assert names(tmp_path) == [f"clean/{name}", f"noisy/{name}"]


def test_a_taken_name_is_found_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy" / "nuclei-0-0002.ome.tif").touch()
    result = run("nuclei", tmp_path, "--size", 32, "--format", "tiff", "--count", 3)
    assert (result.exit_code, names(tmp_path)) == (2, ["noisy/nuclei-0-0002.ome.tif"])


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_what_is_no_image_is_not_overwritten(tmp_path: Path, suffix: str) -> None:
    name = ZARR if suffix == "zarr" else TIFF
    (tmp_path / "clean" / name).mkdir(parents=True)
    (tmp_path / "clean" / name / "thesis.txt").write_text("years")
    result = run("nuclei", tmp_path, "--size", 32, "--format", suffix, "--overwrite")
    assert result.exit_code == 2
    assert "will not be overwritten" in result.output
    assert (tmp_path / "clean" / name / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, suffix: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    monkeypatch.setattr(OutputVolume, "write", full)
    pairs = PairSet("nuclei", (1, 1, 32, 32))
    with pytest.raises(VolumeError, match=r"nuclei-0-0000.*No space left"):
        list(pairs.write(tmp_path, suffix))
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_what_lies_where_an_image_is_prepared_is_refused(tmp_path: Path, suffix: str) -> None:
    name, words = ZARR if suffix == "zarr" else TIFF, ("--size", 32, "--format", suffix, "--overwrite")
    assert run("nuclei", tmp_path, *words).exit_code == 0
    partial = (tmp_path / "clean" / name).rename(tmp_path / "clean" / f"{name}.partial")
    result = run("nuclei", tmp_path, *words)
    assert result.exit_code == 2
    assert f"{name}.partial: is in the way" in result.output
    assert partial.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", 8), "shape is"),
        (("--size", 10**6), "voxels"),
        (("--planes", 0), "shape is"),
        (("--times", -1), "shape is"),
        (("--count", 0), "count is 0"),
        (("--psnr", 99), "psnr is 99"),
        (("--psnr", "nan"), "psnr is nan"),
        (("--correlated", 1.5), "correlated is 1.5"),
        (("--seed", -3), "seed is -3"),
    ],
)
def test_bad_options_end_in_one_line_and_write_nothing(
    tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    result = run("nuclei", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    (line,) = result.output.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_an_unknown_morphology_is_answered_with_those_there_are(tmp_path: Path) -> None:
    result = run("zebra", tmp_path / "out")
    assert result.exit_code == 2
    assert "'zebra' is not one of 'filaments', 'flywing', 'mitochondria'" in " ".join(
        result.output.replace("│", "").split()
    )
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    result = run("nuclei", tmp_path / "out", "--size", 32)
    assert result.exit_code == 2
    assert "out/clean: cannot be made" in result.output


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir(mode=0o500)
    result = run("nuclei", tmp_path, "--size", 32)
    assert result.exit_code == 2
    assert "clean: is not writable" in result.output


def test_the_command_starts_without_torch_zarr_and_tifffile() -> None:
    heavy = "{'torch', 'zarr', 'tifffile', 'PIL'}"
    code = f"import sys, baikal_training.simulate.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
