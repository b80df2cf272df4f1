from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest
import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.cleanup import sweep
from baikal_deploy.volumes.paths import (
    PROVENANCE,
    check_output,
    discard,
    is_zarr,
    partial_path,
    require_store,
)
from baikal_deploy.volumes.places import check_paths
from baikal_deploy.volumes.replacing import aside_path, replace_store, settle_replaced
from tests.capabilities import require

ZarrFormat = Literal[2, 3]


def make_store(path: Path, value: int = 1, zarr_format: ZarrFormat = 3) -> Path:
    zarr.create_group(path, zarr_format=zarr_format)
    array = zarr.create_array(path / "0", shape=(4, 4), dtype="u1", zarr_format=zarr_format)
    array[...] = value
    return path


def stored_value(path: Path) -> int:
    array = zarr.open_array(path / "0", mode="r")
    return int(array[0, 0])  # type: ignore[arg-type]


def test_zarr_stores_are_known_by_their_metadata(tmp_path: Path) -> None:
    assert not is_zarr(tmp_path)
    assert not is_zarr(tmp_path / "nothing")
    formats: tuple[ZarrFormat, ...] = (2, 3)
    for zarr_format in formats:
        store = make_store(tmp_path / str(zarr_format), zarr_format=zarr_format)
        assert is_zarr(store)
        assert is_zarr(store / "0")
        assert not is_zarr(store / "zarr.json")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_stores_are_removed(tmp_path: Path, zarr_format: ZarrFormat) -> None:
    store = make_store(tmp_path / "a", zarr_format=zarr_format)
    (store / f"zarr.{'0f' * 16}.partial").touch()  # what zarr-python leaves when killed
    discard(store)
    assert not store.exists()


@pytest.mark.parametrize(
    "name", ["thesis.docx", "0/c/0/notes.txt", "0/data.csv", "photos/1.jpg", ".git/HEAD"]
)
def test_a_store_with_a_users_file_in_it_is_never_removed(tmp_path: Path, name: str) -> None:
    store = make_store(tmp_path / "a")
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_text("years of work")
    with pytest.raises(VolumeError, match=rf"a: will not be overwritten, as .*{name} is not part of a Zarr"):
        require_store(store)
    with pytest.raises(VolumeError, match=rf"a: cannot be removed, as .*{name} is not part of a Zarr"):
        discard(store)
    with pytest.raises(VolumeError, match="is not part of a Zarr"):
        replace_store(make_store(tmp_path / "new"), store)
    assert (store / name).read_text() == "years of work"
    assert stored_value(store) == 1


@pytest.mark.parametrize("kind", ["file", "empty folder", "folder"])
def test_what_is_no_store_is_never_removed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "file":
        path.write_text("precious")
    else:
        path.mkdir()
    if kind == "folder":
        make_store(path / "inner.zarr")
    with pytest.raises(VolumeError, match="a: is not a Zarr store and will not be overwritten"):
        check_output(path, overwrite=True)
    assert path.exists()


def test_links_inside_a_store_are_not_followed(tmp_path: Path) -> None:
    require("links")
    outside = make_store(tmp_path / "outside")
    store = make_store(tmp_path / "a")
    (store / "link").symlink_to(outside)
    discard(store)
    assert stored_value(outside) == 1


def test_claiming_an_output(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    assert check_output(path, overwrite=True) == check_output(path, overwrite=False) == path
    make_store(path)
    with pytest.raises(VolumeError, match=r"out\.zarr: exists already; choose another output, or allow over"):
        check_output(path, overwrite=False)
    assert check_output(path, overwrite=True) == tmp_path / "out.zarr.partial"
    assert stored_value(path) == 1


@pytest.mark.parametrize("mark", [None, {"complete": False}, {"complete": False, "run": 32 * "a"}, "broken"])
def test_what_no_record_of_this_run_tells_of_is_never_removed(tmp_path: Path, mark: Any) -> None:
    """An image that is not complete may be another run's."""
    path = make_store(tmp_path / "out.zarr")
    leftover = make_store(partial_path(path), 5)
    if mark == "broken":
        (leftover / "zarr.json").write_bytes(b"[" * 100_000)
    elif mark is not None:
        zarr.open_group(leftover).update_attributes({PROVENANCE: mark})
    with pytest.raises(VolumeError, match=r"out\.zarr\.partial: is in the way.*; move it away, or remove it"):
        check_output(path, overwrite=True)
    assert stored_value(leftover) == 5
    assert check_output(path, overwrite=True, leftovers=[leftover]) == leftover


def test_an_empty_folder_in_the_way_is_never_removed(tmp_path: Path) -> None:
    path = make_store(tmp_path / "out.zarr")
    partial_path(path).mkdir()
    with pytest.raises(VolumeError, match="is in the way"):
        check_output(path, overwrite=True)


def test_replacing_leaves_the_new_store_only(tmp_path: Path) -> None:
    old, new = make_store(tmp_path / "a", 1), make_store(tmp_path / "b", 2)
    replace_store(new, old)
    assert stored_value(old) == 2
    assert os.listdir(tmp_path) == ["a"]


MINE, OTHER = 32 * "a", 32 * "b"


def killed_while_replacing(path: Path, run: str) -> Path:
    """A folder with the store that was to be replaced, as a kill leaves it."""
    aside = aside_path(path, run)
    aside.mkdir()
    return make_store(aside / path.name, 7)


def test_what_this_run_had_put_aside_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = make_store(tmp_path / "out.zarr")
    mine, other = (killed_while_replacing(path, run) for run in (MINE, OTHER))
    looks_like_it = make_store(tmp_path / "out.zarr.replaced-backup")
    settle_replaced(path, MINE)
    assert not mine.parent.exists()
    assert (stored_value(other), stored_value(looks_like_it), stored_value(path)) == (7, 1, 1)


def test_what_was_put_aside_is_put_back_where_nothing_is(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    killed_while_replacing(path, MINE)
    settle_replaced(path, MINE)
    assert stored_value(path) == 7
    assert os.listdir(tmp_path) == ["out.zarr"]


def test_a_users_file_beside_what_was_put_aside_is_kept(tmp_path: Path) -> None:
    path = make_store(tmp_path / "out.zarr")
    old = killed_while_replacing(path, MINE)
    (old / "notes.txt").write_text("years")
    with pytest.raises(VolumeError, match=r"notes\.txt is not part of a Zarr store; move that file away"):
        settle_replaced(path, MINE)
    (old / "notes.txt").rename(old.parent / "notes.txt")
    with pytest.raises(VolumeError, match=r"replaced-aaaaaaaa: cannot be settled"):
        settle_replaced(path, MINE)
    assert (old.parent / "notes.txt").read_text() == "years"


def test_a_replacement_that_was_killed_before_it_began_is_made(tmp_path: Path) -> None:
    old, new = make_store(tmp_path / "a", 1), make_store(tmp_path / "b", 2)
    aside_path(old, MINE).mkdir()
    replace_store(new, old, MINE)
    assert stored_value(old) == 2
    assert os.listdir(tmp_path) == ["a"]


def test_a_users_file_in_an_unfinished_output_is_never_swept(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a")
    (store / "0" / "notes.txt").write_text("years")
    with pytest.raises(VolumeError, match=r"cannot be continued, as .*notes\.txt is not part of a Zarr"):
        sweep(store, set())
    assert stored_value(store) == 1


def test_a_failed_replacement_puts_the_old_store_back(tmp_path: Path) -> None:
    old = make_store(tmp_path / "a", 1)
    with pytest.raises(VolumeError, match=r"a: cannot be replaced .*missing\): No such file"):
        replace_store(tmp_path / "missing", old)
    assert stored_value(old) == 1
    assert os.listdir(tmp_path) == ["a"]


def test_an_output_apart_from_the_input_is_accepted(tmp_path: Path) -> None:
    source = make_store(tmp_path / "in.zarr")
    check_paths(source, tmp_path / "out.zarr")
    check_paths(source, make_store(tmp_path / "in.zarr.old"))
    check_paths(source / "0", tmp_path / "deep" / "out.zarr")


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("in.zarr", "in.zarr", "the output is the input"),
        ("in.zarr", "in.zarr/../in.zarr", "the output is the input"),
        ("in.zarr", "link", "the output is the input"),
        ("link", "in.zarr", "the output is the input"),
        ("in.zarr", "in.zarr/new", "the output lies inside the input"),
        ("in.zarr", "link/deep/new", "the output lies inside the input"),
        ("in.zarr/0", "in.zarr", "the input .* lies inside the output"),
        ("link/0", "in.zarr", "the input .* lies inside the output"),
        ("link to 0", "in.zarr", "the input .* lies inside the output"),
        ("out.partial", "out", "the input .* lies where an output"),
        ("out.partial/0", "out", "the input .* lies where an output"),
    ],
)
def test_an_output_that_would_damage_the_input_is_refused(
    tmp_path: Path, source: str, output: str, expected: str
) -> None:
    require("links")
    make_store(tmp_path / "in.zarr")
    make_store(tmp_path / "out.partial")
    (tmp_path / "link").symlink_to(tmp_path / "in.zarr")
    (tmp_path / "link to 0").symlink_to(tmp_path / "in.zarr" / "0")
    with pytest.raises(VolumeError, match=f"{output}: {expected}"):
        check_paths(tmp_path / source, tmp_path / output)
