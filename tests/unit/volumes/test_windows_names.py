"""Names and files that other systems do not have, or have of their own; said before anything is written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.host import machine
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.targets import check_places
from baikal_deploy.volumes import names
from baikal_deploy.volumes.create import check_output_place
from baikal_deploy.volumes.names import fault_on_windows, member
from baikal_deploy.volumes.paths import check_output, is_half_made, partial_path
from baikal_deploy.volumes.places import LONGEST_INSIDE, check_writable
from baikal_deploy.volumes.urls import Url
from baikal_deploy.volumes.zarr.groups import write_groups
from tests.unit.volumes.test_collections import group

BAD = {
    "CON": "a device", "nul.zarr": "a device", "Com1.ome.zarr": "a device", "out.zarr.": "ends in a dot",
    "out ": "ends in a dot or a space", "a:b.zarr": "':'", "a?.zarr": "'?'", "a<b>|*.zarr": "'<' '>' '|' '*'",
    'a".zarr': "'\"'", "a\tb": "'\\t'",
}  # fmt: skip
GOOD = (
    "out.ome.zarr",
    "contrast.zarr",
    "com10.zarr",
    "zellen ä 細胞.zarr",
    "a.b-c_(1)+[2].tif",
    ".hidden.zarr",
)


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_windows_cannot_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert BAD[name] in fault_on_windows(name)
    monkeypatch.setattr(names, "WINDOWS", True)
    for option in ("", "--mask"):
        with pytest.raises(VolumeError, match=r"its name .* name another (OUTPUT|file)") as caught:
            check_writable(tmp_path / name, option)
        assert str(caught.value).isprintable() or "\t" in name
    assert not list(tmp_path.iterdir())
    for folder in (tmp_path, Url("s3://data/a.zarr")):  # nor is it taken from the metadata of a plate
        with pytest.raises(VolumeError, match="correct the metadata"):
            member(folder, name, "a label image")


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_windows_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert not fault_on_windows(name)
    monkeypatch.setattr(names, "WINDOWS", True)
    check_writable(tmp_path / name)
    assert member(tmp_path, name, "a label image") == tmp_path / name


@pytest.mark.skipif(os.name == "nt", reason="names that Windows cannot have")
def test_other_systems_have_such_names(tmp_path: Path) -> None:
    for name in ("a:b.zarr", "a?.zarr", "CON.zarr"):
        check_output_place(tmp_path / name)


def test_260_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "longest_path", lambda: 259)
    room = 259 - LONGEST_INSIDE - len(str(tmp_path / ".zarr"))
    check_output_place(tmp_path / f"{room * 'x'}.zarr")
    with pytest.raises(
        VolumeError, match=r"--mask .*x\.zarr: has files with paths of 260 characters.*long paths"
    ):
        check_output_place(tmp_path / f"{(room + 1) * 'x'}.zarr", "--mask")
    check_writable(tmp_path / f"{(room + 1) * 'x'}.png")  # a file has nothing inside
    monkeypatch.setattr(machine, "longest_path", lambda: None)
    check_output_place(tmp_path / f"{(room + 1) * 'x'}.zarr")


@pytest.mark.parametrize(("value", "longest"), [(1, None), (0, 259), (None, 259)])
def test_windows_tells_whether_it_has_long_paths(
    monkeypatch: pytest.MonkeyPatch, value: int | None, longest: int | None
) -> None:
    class Key:
        def __enter__(self) -> Key:
            return self

        def __exit__(self, *exc: object) -> None:
            pass

    def query(key: Key, name: str) -> tuple[int, int]:
        assert name == "LongPathsEnabled"
        if value is None:
            raise FileNotFoundError(name)
        return value, 4

    registry = SimpleNamespace(HKEY_LOCAL_MACHINE=0, OpenKey=lambda *place: Key(), QueryValueEx=query)
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    assert machine.longest_path() == longest


def test_names_that_differ_in_case_alone_are_one_output(tmp_path: Path) -> None:
    config = RunConfig(tmp_path / "in.zarr", tmp_path / "Out.zarr", mask=tmp_path / "out.ZARR")
    with pytest.raises(VolumeError, match=r"two outputs of one name \(small and capital"):
        check_places(config, [])


LITTER = [
    ".DS_Store",
    "._0",
    "._zarr.json",
    "desktop.ini",
    "Desktop.ini",
    "Thumbs.db",
    ".nfs000000a1",
    ".fuse_hidden0a",
]


@pytest.mark.parametrize("name", LITTER)
def test_what_systems_put_into_folders_hinders_nothing(tmp_path: Path, name: str) -> None:
    store = tmp_path / "out.zarr"
    group(store, 3)
    for folder in (store, store / "0"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"of nobody")
    assert check_output(store, overwrite=True) == partial_path(store)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / name).write_bytes(b"of nobody")
    assert is_half_made(tmp_path / "begun")


@pytest.mark.parametrize("name", ["/A/1/0", "C:/A/1/0", "C:\\A\\1\\0", "\\\\server\\A", "A\\1\\0", "../A/0"])
def test_groups_are_written_for_images_inside_alone(tmp_path: Path, name: str) -> None:
    source, target = tmp_path / "plate.zarr", tmp_path / "out.zarr"
    group(source, 3)
    with pytest.raises(VolumeError, match="does not lie in it by that name"):
        write_groups(source, target, ["A/1/1", name], {}, "0.5")
    assert not target.exists()
