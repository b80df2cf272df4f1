"""baikal-run on plates, and on stores of several images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.volumes.zarr.reader import open_volume
from tests.e2e.conftest import BaikalRun
from tests.unit.volumes.test_collections import FORMATS, Format, group
from tests.valid import assert_valid

FIELDS = ["A/1/0", "A/1/1", "B/2/0"]


def image(path: Path, pixels: np.ndarray, zarr_format: Format, name: str) -> None:
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    steps = [{"type": "scale", "scale": [2, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    block = {"multiscales": [{"axes": axes, "datasets": datasets, "name": name, "version": "0.4"}]}
    if zarr_format == 3:
        del block["multiscales"][0]["version"]
    group(path, zarr_format, block)
    zarr.create_array(path / "0", data=pixels, zarr_format=zarr_format)


def make_plate(path: Path, pixels: np.ndarray, zarr_format: Format = 3) -> Path:
    """Two wells on the diagonal, one with two fields; each field is brighter than the one before."""
    wells = [
        {"path": "A/1", "rowIndex": 0, "columnIndex": 0},
        {"path": "B/2", "rowIndex": 1, "columnIndex": 1},
    ]
    block: dict[str, Any] = {
        "name": "assay", "rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}],
        "wells": wells, "field_count": 2, "acquisitions": [{"id": 1, "name": "first"}],
    }  # fmt: skip
    version = {"version": "0.4"} if zarr_format == 2 else {}
    group(path, zarr_format, {"plate": block | version})
    for well, fields in (("A/1", "01"), ("B/2", "0")):
        group(path / well[0], zarr_format)
        images = [{"path": field, "acquisition": 1} for field in fields]
        group(path / well, zarr_format, {"well": {"images": images} | version})
    for number, field in enumerate(FIELDS):
        image(path / field, pixels + 100 * number, zarr_format, f"field {field}")
    return path


def attributes(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "zarr.json").read_bytes())["attributes"]
    return found


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_a_plate_becomes_a_plate(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, zarr_format: Format
) -> None:
    plate = make_plate(tmp_path / "größe 1.zarr", counts, zarr_format)
    result = baikal_run(plate)
    assert result.exit_code == 0, result.output
    output = tmp_path / "größe 1_denoised.ome.zarr"
    assert result.stdout.split("\n")[:3] == [str(output / field) for field in FIELDS]
    assert "3 of 3 images denoised, 0 failed" in result.stderr
    assert_valid(output)
    for field in FIELDS:
        assert_valid(output / field)
    found = attributes(output)
    assert found["baikal"]["complete"] is True
    assert found["ome"]["version"] == "0.5"
    assert found["ome"]["plate"]["name"] == "assay"
    assert found["ome"]["plate"]["acquisitions"] == [{"id": 1, "name": "first"}]
    assert attributes(output / "A" / "1")["ome"]["well"]["images"][1] == {"path": "1", "acquisition": 1}
    for number, field in enumerate(FIELDS):
        volume = open_volume(output / field)
        assert (volume.info.name, volume.info.scale) == (f"field {field}", (2, 0.5, 0.5))
        assert attributes(output / field)["baikal"]["input"] == str(plate / field)
        assert abs(volume.read([0]).mean() - (counts[0] + 100 * number).mean()) < 30
    before = {file: file.stat().st_mtime_ns for file in output.rglob("*")}
    again = baikal_run(plate)
    assert again.exit_code == 0
    assert again.stdout == result.stdout
    assert "3 of 3 images denoised (3 of them before), 0 failed" in again.stderr
    assert {file: file.stat().st_mtime_ns for file in output.rglob("*")} == before
    other = baikal_run(plate, "--seed", "3")
    assert other.exit_code == 2
    assert "a finished run is there, and this one is another: seed 0 is now 3" in other.stderr


def test_a_plate_of_which_not_all_wells_were_imaged(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    """Absent wells are told of, and no error; should they come, the same command does them."""
    plate = make_plate(tmp_path / "a.zarr", counts[:1])
    (plate / "B").rename(tmp_path / "B")
    output = tmp_path / "a_denoised.ome.zarr"
    result = baikal_run(plate)
    assert result.exit_code == 0, result.output
    assert "2 of 2 images denoised, 0 failed" in result.stderr
    assert "note: wells that the plate lists, but that are not there: B/2; it is complete" in result.stderr
    assert attributes(output)["baikal"]["complete"] is True
    assert not (output / "B").exists()
    (tmp_path / "B").rename(plate / "B")
    assert baikal_run(plate).exit_code == 0
    assert_valid(output / "B/2/0")
    assert attributes(output / "B" / "2")["ome"]["well"]["images"] == [{"path": "0", "acquisition": 1}]


def test_a_plate_without_any_well_is_refused(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts[:1])
    for row in "AB":
        (plate / row).rename(tmp_path / row)
    result = baikal_run(plate)
    assert (result.exit_code, "no well is there; copy it again" in result.stderr) == (2, True)
    assert not (tmp_path / "a_denoised.ome.zarr").exists()


def test_a_bad_field_is_listed_and_done_by_the_next_run(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts)
    chunk = plate / "A/1/1/0/c/0/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(b"rubbish")
    output = tmp_path / "out.ome.zarr"
    result = baikal_run(plate, output)
    assert result.exit_code == 1, result.output
    assert "2 of 3 images denoised, 1 failed" in result.stderr
    assert f"failed: {plate / 'A/1/1'}" in result.stderr
    assert attributes(output)["baikal"]["complete"] is False
    assert not (output / "A/1/1").exists()
    chunk.write_bytes(whole)
    other = baikal_run(plate, output, "--seed", "3")
    assert other.exit_code == 2
    assert "an unfinished run is there, and this one is another: seed 0 is now 3" in other.stderr
    times = {file: file.stat().st_mtime_ns for file in (output / "B").rglob("zarr.json")}
    again = baikal_run(plate, output)
    assert again.exit_code == 0, again.output
    assert "3 of 3 images denoised (2 of them before), 0 failed" in again.stderr
    assert attributes(output)["baikal"]["complete"] is True
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_a_missing_field_of_a_well_is_a_bad_one(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts)
    (plate / FIELDS[1]).rename(tmp_path / "1")
    result = baikal_run(plate)
    assert result.exit_code == 1, result.output
    assert f"failed: {plate / FIELDS[1]}: does not exist" in result.stderr
    assert "2 of 3 images denoised, 1 failed" in result.stderr


def test_overwriting_needs_the_output_of_the_same_plate(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    plate, output = make_plate(tmp_path / "a.zarr", counts), tmp_path / "out.zarr"
    assert baikal_run(plate, output).exit_code == 0
    other = baikal_run(plate, output, "--overwrite", "--seed", "3")
    assert other.exit_code == 0, other.output
    assert attributes(output / "B/2/0")["baikal"]["seed"] == 3
    raw = make_plate(tmp_path / "raw.zarr", counts)
    refused = baikal_run(plate, raw, "--overwrite")
    assert refused.exit_code == 2
    assert "is not an output for" in refused.stderr
    assert (open_volume(raw / FIELDS[0]).read([0])[0] == counts[0]).all()


@pytest.mark.parametrize("name", [".", "new.zarr", "A/new.zarr"])
def test_a_plate_is_not_written_into_itself(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, name: str
) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts)
    before = sorted(plate.rglob("*"))
    assert baikal_run(plate, plate / name, "--overwrite").exit_code == 2
    assert sorted(plate.rglob("*")) == before


def test_a_dry_run_of_a_plate(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts)
    result = baikal_run(plate, "--dry-run")
    assert result.exit_code == 0, result.output
    assert [f"{number}/3] {field}" in result.stderr for number, field in enumerate(FIELDS, 1)] == [True] * 3
    assert "3 of 3 images can be denoised" in result.stderr
    assert list(tmp_path.iterdir()) == [plate]


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_all_series_of_a_store(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, zarr_format: Format
) -> None:
    store = group(tmp_path / "a.zarr", zarr_format, {"bioformats2raw.layout": 3})
    group(store / "OME", zarr_format, {"series": ["1", "0"]})
    (store / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    for number in range(2):
        image(store / str(number), counts + 50 * number, zarr_format, f"image {number}")
    result = baikal_run(store)
    assert result.exit_code == 0, result.output
    output = tmp_path / "a_denoised.ome.zarr"
    assert_valid(output)
    assert attributes(output)["ome"] == {"version": "0.5", "bioformats2raw.layout": 3}
    assert attributes(output / "OME")["ome"]["series"] == ["1", "0"]
    assert (output / "OME" / "METADATA.ome.xml").read_text() == "<OME/>"
    with (store / "OME" / "METADATA.ome.xml").open("r+b") as xml:
        xml.truncate(2**26 + 1)
    result = baikal_run(store, other := tmp_path / "other.zarr")
    assert result.exit_code == 2
    assert "METADATA.ome.xml: is larger than any metadata, of 67108865 bytes; move it away" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not other.exists()
    assert [open_volume(output, series).info.name for series in range(2)] == ["image 1", "image 0"]
    one = baikal_run(store, "--series", "1")
    assert one.exit_code == 0, one.output
    assert open_volume(tmp_path / "a_series1_denoised.ome.zarr").info.name == "image 0"


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_a_plate_in_0_4(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, zarr_format: Format
) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts[:1, :32, :32], zarr_format)
    result = baikal_run(plate, "--ngff", "0.4")
    assert result.exit_code == 0, result.output
    output = tmp_path / "a_denoised.ome.zarr"
    assert not list(output.rglob("zarr.json"))
    for path in (output, *(output / field for field in FIELDS)):
        assert_valid(path)
    found = json.loads((output / ".zattrs").read_bytes())
    assert found["plate"]["version"] == "0.4"
    assert found["baikal"]["complete"] is True
    well = json.loads((output / "A" / "1" / ".zattrs").read_bytes())["well"]
    assert well == {"images": [{"path": f, "acquisition": 1} for f in "01"], "version": "0.4"}
    assert open_volume(output / FIELDS[1]).info.name == f"field {FIELDS[1]}"
    again = baikal_run(plate, "--ngff", "0.4")
    assert "3 of 3 images denoised (3 of them before), 0 failed" in again.stderr
    assert baikal_run(plate).exit_code == 2


def test_a_store_of_several_images_in_0_4(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    store = group(tmp_path / "a.zarr", 3, {"bioformats2raw.layout": 3})
    group(store / "OME", 3, {"series": ["1", "0"]})
    for number in range(2):
        image(store / str(number), counts[:1, :32, :32] + 50 * number, 3, f"image {number}")
    result = baikal_run(store, output := tmp_path / "out.zarr", "--ngff", "0.4")
    assert result.exit_code == 0, result.output
    assert_valid(output)
    assert json.loads((output / ".zattrs").read_bytes())["bioformats2raw.layout"] == 3
    assert json.loads((output / "OME" / ".zattrs").read_bytes()) == {"series": ["1", "0"]}
    assert [open_volume(output, series).info.name for series in range(2)] == ["image 1", "image 0"]


def test_what_is_for_one_image_is_refused(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts)
    for arguments in (["--preview", "look.png"], ["--mask", "mask.zarr"], ["out.tif"]):
        result = baikal_run(plate, *arguments)
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [plate]


def test_what_becomes_of_bad_planes_may_change_when_a_plate_goes_on(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    plate = make_plate(tmp_path / "a.zarr", counts)
    array = plate / FIELDS[1] / "0"
    zarr.create_array(array, data=counts, chunks=(1, 96, 80), overwrite=True)
    (array / "c" / "1" / "0" / "0").write_bytes(b"rubbish")
    assert baikal_run(plate).exit_code == 1
    again = baikal_run(plate, "--on-error", "zero", "--memory", "60%")
    assert again.exit_code == 0, again.output
    assert "3 of 3 images denoised (2 of them before), 0 failed" in again.stderr
