"""What is told of the licences of extras."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from baikal_deploy.doctor.licences import CONDITIONS, conditions

ROOT = Path(__file__).parents[3]


def test_what_is_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != "bm3d":
            raise metadata.PackageNotFoundError(name)
        return "4.0.3"

    monkeypatch.setattr(metadata, "version", version)
    assert conditions() == {"bm3d": "non-commercial use alone"}


def test_the_page_has_every_extra_that_brings_one() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, packages in extras.items():
        own = {name for name in CONDITIONS if any(one.startswith(name) for one in packages)}
        if extra != "dev" and own:
            assert f"`{extra}`" in page, extra
    for name in CONDITIONS:
        assert name.lower() in page.lower() or name.startswith(("nvidia", "tensorrt"))


def test_only_its_own_extra_and_that_of_developers_bring_bm3d() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for extra, packages in extras.items() if any("bm3d" in one for one in packages)}
    assert named == {"bm3d", "dev"}
