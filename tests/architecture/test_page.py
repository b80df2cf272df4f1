"""docs/how-it-is-built.md names what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import baikal_deploy

PACKAGE = Path(baikal_deploy.__file__).parent
ROOT = PACKAGE.parent
PAGE = ROOT / "docs" / "how-it-is-built.md"
ROOMS = {
    path.stem
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").is_file())
    and path.stem not in ("__init__", "__main__")
}


@pytest.fixture
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_table_has_every_room(page: str) -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == ROOMS - {"_version"}


def test_the_picture_shows_the_layers_of_the_contract(page: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(layer.split(" | ")) for layer in contracts[0]["layers"] if layer != "__main__"]
    picture = page.split("```text\n")[1].split("```")[0]
    assert [set(row.split()) for row in picture.splitlines()] == layers
    assert set.union(*layers) == ROOMS


def test_the_files_that_it_names_are_there(page: str) -> None:
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*/(?:\w+\.py)?)`", page)
    assert len(named) > 15
    missing = [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()]
    assert missing == []


def test_the_way_of_a_plane_names_classes_that_are_there(page: str) -> None:
    picture = page.split("```text\n")[2].split("```")[0]
    classes = set(re.findall(r"\b([A-Z]\w+)", picture))
    assert len(classes) > 8
    code = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert {name for name in classes if not re.search(rf"^class {name}\b", code, re.MULTILINE)} == set()
