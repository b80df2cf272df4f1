"""Stores whose metadata names what is not theirs: nothing is read, written or removed there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.volumes.zarr.labels import copy_labels
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun
from tests.e2e.test_collection import attributes, image, make_plate
from tests.e2e.test_labels import NAMES, labelled
from tests.unit.volumes.test_collections import FORMATS, Format, group
from tests.unit.volumes.test_names import kinds_of_badness

Change = Callable[[dict[str, Any]], object]


def edit(group: Path, change: Change) -> None:
    """Changes the NGFF attributes of a group of any format."""
    if (group / ".zattrs").exists():
        block = json.loads((group / ".zattrs").read_bytes())
        change(block)
        (group / ".zattrs").write_text(json.dumps(block))
    else:
        content = json.loads((group / "zarr.json").read_bytes())
        change(content["attributes"].get("ome", content["attributes"]))
        (group / "zarr.json").write_text(json.dumps(content))


def name_label(store: Path, name: object) -> None:
    edit(store / "labels", lambda block: block.update(labels=[NAMES[0], name]))


def name_label_array(store: Path, name: object) -> None:
    edit(store / "labels" / NAMES[1], lambda block: block["multiscales"][0]["datasets"][1].update(path=name))


def name_array(store: Path, name: object) -> None:
    edit(store, lambda block: block["multiscales"][0]["datasets"][0].update(path=name))


def name_well(store: Path, name: object) -> None:
    edit(store, lambda block: block["plate"]["wells"][1].update(path=name))


def name_field(store: Path, name: object) -> None:
    edit(store / "A/1", lambda block: block["well"]["images"][1].update(path=name))


def name_series(store: Path, name: object) -> None:
    edit(store / "OME", lambda block: block.update(series=["0", name]))


def series_store(path: Path, pixels: np.ndarray, zarr_format: Format = 3) -> Path:
    group(path, zarr_format, {"bioformats2raw.layout": 3})
    group(path / "OME", zarr_format, {"series": ["0", "1"]})
    for number in "01":
        image(path / number, pixels, zarr_format, f"image {number}")
    return path


REFUSED = {
    "array": (labelled, name_array),
    "well": (make_plate, name_well),
    "field": (make_plate, name_field),
    "series": (series_store, name_series),
}
"""How a store is made, and how a name in its metadata is changed for one that it is refused for."""
LEFT_OUT = {"label": name_label, "array of a label": name_label_array}


@pytest.fixture
def others(tmp_path: Path, counts: np.ndarray) -> dict[Path, bytes]:
    """A store beside the input that is nobody's business, at every place that a name may lead to."""
    labelled(tmp_path / "x", counts, 3)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("mine")
    return contents(tmp_path)


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def untouched(folder: Path, before: dict[Path, bytes], *made: Path) -> None:
    """Nothing that was there has changed, and nothing is there that was not but below certain folders."""
    after = contents(folder)
    assert {file: after.get(file) for file in before} == before
    new = [file for file in after if file not in before and not any(file.is_relative_to(one) for one in made)]
    assert [file for file in new if "in" not in file.relative_to(folder).parts] == []


def refused(result: Any) -> str:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert "its metadata" in result.stderr
    return str(result.stderr)


def path_of(tmp_path: Path) -> Path:
    """Two folders down, so that names can lead up."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    return tmp_path / "in" / "deep" / "a.zarr"


@kinds_of_badness
@pytest.mark.parametrize("kind", REFUSED)
def test_no_name_leads_out_of_a_store(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, others: dict[Path, bytes], kind: str, name: Any
) -> None:
    make, change = REFUSED[kind]
    store = make(path_of(tmp_path), counts, 3)
    change(store, name)
    refused(baikal_run(store, tmp_path / "out.zarr"))
    assert not (tmp_path / "out.zarr").exists()
    untouched(tmp_path, others)


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("kind", REFUSED)
def test_no_absolute_name_or_link_does(
    tmp_path: Path,
    baikal_run: BaikalRun,
    counts: np.ndarray,
    others: dict[Path, bytes],
    kind: str,
    zarr_format: Format,
) -> None:
    require("links")
    make, change = REFUSED[kind]
    store = make(path_of(tmp_path), counts, zarr_format)
    for place in (store, store / "A/1"):
        if place.exists():
            (place / "link").symlink_to(tmp_path / "x")
    for name in (str(tmp_path / "x"), "link"):
        change(store, name)
        refused(baikal_run(store, tmp_path / "out.zarr"))
    assert not (tmp_path / "out.zarr").exists()
    untouched(tmp_path, others)


@kinds_of_badness
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_label_image_of_a_bad_name_is_left_out(
    tmp_path: Path, counts: np.ndarray, others: dict[Path, bytes], kind: str, name: Any
) -> None:
    store, output = labelled(path_of(tmp_path), counts, 3), group(tmp_path / "out.zarr", 3)
    LEFT_OUT[kind](store, name)
    check_one_copied(copy_labels(store / "labels", output, "0.5"), output)
    untouched(tmp_path, others, output)


def check_left_out(result: Any, output: Path) -> None:
    assert result.exit_code == 0, result.output
    check_one_copied([line for line in result.stderr.splitlines() if "left out" in line], output)


def check_one_copied(notes: list[str], output: Path) -> None:
    assert len(notes) == 1
    assert "left out" in notes[0]
    assert attributes(output / "labels")["ome"]["labels"] == NAMES[:1]
    assert sorted(path.name for path in (output / "labels").iterdir()) == [NAMES[0], "zarr.json"]
    assert not (output / "labels.partial").exists()


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("kind", LEFT_OUT)
@pytest.mark.parametrize("where", ["absolute", "link", "damaged"])
def test_a_label_image_elsewhere_is_left_out(
    tmp_path: Path,
    baikal_run: BaikalRun,
    counts: np.ndarray,
    others: dict[Path, bytes],
    kind: str,
    where: str,
    zarr_format: Format,
) -> None:
    """What a name leads to is not removed either, where it cannot be read."""
    require("links")
    store = labelled(path_of(tmp_path), counts, zarr_format)
    for place in (store / "labels", store / "labels" / NAMES[1]):
        (place / "link").symlink_to(tmp_path / "x")
    LEFT_OUT[kind](
        store, {"absolute": str(tmp_path / "x"), "link": "link", "damaged": str(tmp_path / "etc")}[where]
    )
    check_left_out(baikal_run(store, tmp_path / "out.zarr"), tmp_path / "out.zarr")
    untouched(tmp_path, others, tmp_path / "out.zarr")


@pytest.mark.parametrize("names", [[NAMES[0], NAMES[0]], [NAMES[0], "Nuclei"], [NAMES[0], f"{NAMES[0]}/0"]])
def test_a_label_image_at_the_place_of_another_is_left_out(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, names: list[str]
) -> None:
    store = labelled(path_of(tmp_path), counts, 3)
    if not (store / "labels" / names[1]).exists():
        shutil.copytree(store / "labels" / NAMES[0], store / "labels" / names[1])
    edit(store / "labels", lambda block: block.update(labels=names))
    check_left_out(baikal_run(store, tmp_path / "out.zarr"), tmp_path / "out.zarr")


def test_a_group_of_labels_elsewhere_is_left_out(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    require("links")
    store = labelled(tmp_path / "a.zarr", counts, 3)
    (store / "labels").rename(tmp_path / "labels")
    (store / "labels").symlink_to(tmp_path / "labels")
    result = baikal_run(store)
    assert result.exit_code == 0, result.output
    assert "leads out of it through a link" in result.stderr
    assert not (tmp_path / "a_denoised.ome.zarr" / "labels").exists()


@pytest.mark.parametrize("name", ["OME", "OME/x", "ome"])
def test_a_series_is_not_written_over_the_group_that_lists_it(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, name: str
) -> None:
    store = series_store(tmp_path / "a.zarr", counts)
    name_series(store, name)
    assert "'OME', which is not an image" in refused(baikal_run(store))
    edit(store / "OME", lambda block: block.update(series="0"))
    assert "no list of series" in refused(baikal_run(store))


def test_a_file_of_metadata_elsewhere_is_not_copied(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    require("links")
    store = series_store(tmp_path / "a.zarr", counts)
    (tmp_path / "secret").write_text("mine")
    (store / "OME" / "METADATA.ome.xml").symlink_to(tmp_path / "secret")
    assert "leads out of it through a link" in refused(baikal_run(store))
    assert not (tmp_path / "a_denoised.ome.zarr").exists()


@pytest.mark.parametrize("separator", ["/../", "/../../", "\\", ""])
def test_chunks_have_no_other_names_either(tmp_path: Path, baikal_run: BaikalRun, separator: str) -> None:
    array = tmp_path / "a.zarr"
    zarr.create_array(array, data=np.ones((4, 8, 8), "u2"), chunks=(1, 8, 8))
    content = json.loads((array / "zarr.json").read_bytes())
    content["chunk_key_encoding"]["configuration"]["separator"] = separator
    (array / "zarr.json").write_text(json.dumps(content))
    result = baikal_run(array)
    assert result.exit_code == 2, result.output
    assert "its Zarr metadata cannot be understood" in result.stderr
