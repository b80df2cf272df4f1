"""Names in metadata stand for what lies below the metadata's own folder, and for nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.names import Taken, folded, member, members
from baikal_deploy.volumes.urls import Url
from tests.capabilities import require

GOOD = [
    "0",
    "A/1/0",
    "zellen ä",
    "nuclei.v2",
    "c",
    "labels",
    "..a",
    "a..b",
    "ab:c",
    "50%",
    "نام‌ها",
    "x" * 200,
]
BAD: dict[str, Any] = {
    "absolute": "/baikal-names-nowhere/x", "above": "..", "itself": ".", "far above": "../../x",
    "detour": "a/../../x", "here": "./a", "empty": "", "empty part": "a//b", "open end": "a/",
    "backslash": "..\\x", "drive": "C:/x", "relative drive": "c:x", "share": "\\\\server\\x",
    "newline": "a\nb", "zero": "a\0b", "escape": "a\x1b[2Jb", "C1": "a\x9bb", "turned": "a\u202eb",
    "surrogate": "a\udcffb", "blank": " ", "dots": "...", "end of a dot": "a.", "end of a space": ".. /x",
    "device": "NUL", "device with an end": "con.txt", "port": "a/com1/b", "metadata": "zarr.json",
    "old metadata": "a/.zattrs", "capitals": "ZARR.JSON", "replacement": "0.partial", "journal": "0.journal",
    "lock": "0.lock", "aside": "0.replaced-1", "long": "x" * 201, "long in bytes": "ä" * 101,
    "long in all": "x/" * 500 + "x", "number": 5, "none": None, "true": True, "list": ["a"],
    "table": {"a": 1}, "real": 1.5,
}  # fmt: skip
"""Never the name of a folder that exists outside a test's own: code that is wrong removes what they lead to,
and did. An existing one is always below ``tmp_path``."""
BAD_REMOTE = {
    "encoded": "%2e%2e/x", "capitals": "a/%2E%2E/x", "slash": "a%2fb", "query": "a?b", "fragment": "a#b",
}  # fmt: skip
"""Bad at a URL only."""
kinds_of_badness = pytest.mark.parametrize("name", BAD.values(), ids=BAD)
REMOTE = Url("s3://data/a.zarr")


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_name_is_taken(tmp_path: Path, name: str) -> None:
    assert member(tmp_path, name, "an image") == tmp_path / name
    assert member(REMOTE, name, "an image") == Url(f"s3://data/a.zarr/{name}")


def refusal(folder: Path | Url, name: object) -> str:
    with pytest.raises(VolumeError) as caught:
        member(folder, name, "an image")
    text = str(caught.value)
    assert text.startswith(f"{folder}: its metadata names an image ")
    assert text.isprintable()
    assert len(text) < len(str(folder)) + 300
    return text


@kinds_of_badness
@pytest.mark.parametrize("remote", [False, True])
def test_any_other_is_refused(tmp_path: Path, name: Any, remote: bool) -> None:
    refusal(REMOTE if remote else tmp_path, name)


@pytest.mark.parametrize("name", BAD_REMOTE.values(), ids=BAD_REMOTE)
def test_what_a_url_takes_for_something_else_is_refused(tmp_path: Path, name: str) -> None:
    assert "is not a plain part of a URL" in refusal(REMOTE, name)
    assert member(tmp_path, name, "an image") == tmp_path / name


@pytest.mark.parametrize("to", ["..", "../..", ".", "circle", "../other/a", "nothing/../../x"])
@pytest.mark.parametrize("rest", ["", "/0"])
def test_a_link_must_not_lead_out(tmp_path: Path, to: str, rest: str) -> None:
    require("links")
    folder = tmp_path / "a.zarr"
    (tmp_path / "other" / "a").mkdir(parents=True)
    folder.mkdir()
    (folder / "circle").symlink_to(to)
    if (to, rest) != (".", "/0"):
        assert "leads out of it through a link" in refusal(folder, f"circle{rest}")


def test_a_link_may_lead_to_what_lies_below(tmp_path: Path) -> None:
    require("links")
    folder = tmp_path / "a.zarr"
    (folder / "1").mkdir(parents=True)
    (folder / "0").symlink_to("1")
    (tmp_path / "b.zarr").symlink_to("a.zarr")  # and the folder itself may be one
    assert member(tmp_path / "b.zarr", "0", "an image") == tmp_path / "b.zarr" / "0"


@pytest.mark.parametrize(
    "names", [["a", "a"], ["a", "A"], ["straße", "STRASSE"], ["é", "e\u0301"], ["a", "a/b"], ["a/b/c", "A"]]
)
def test_two_names_for_one_place_are_refused(tmp_path: Path, names: list[str]) -> None:
    for order in (names, names[::-1]):
        with pytest.raises(VolumeError, match="at, above or below the same place"):
            members(tmp_path, order, "an image")


def test_neighbours_are_no_clash(tmp_path: Path) -> None:
    names = ["a/b", "a/c", "ab", "a b"]
    assert members(tmp_path, names, "an image") == names


def test_many_names_take_no_time(tmp_path: Path) -> None:
    taken = Taken()
    for number in range(50_000):
        taken.add(tmp_path, f"A/{number}", "an image")
    assert os.path.basename(folded("A/É")) == folded("e\u0301")
