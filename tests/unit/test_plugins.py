"""Registries that are folders."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from baikal_deploy import engines
from baikal_deploy.diffusion import samplers
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.engines.base import Engine
from baikal_deploy.errors import ConfigError
from baikal_deploy.plugins import load_plugin, plugin_names

PLUGIN = "class Tool(list):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package "gadgets" with two plug-ins, a base and a private module."""
    made = tmp_path / "gadgets"
    made.mkdir()
    for name in ("__init__", "base", "_private", "two_words", "saw"):
        (made / f"{name}.py").write_text(PLUGIN)
    (made / "notes.txt").write_text("not a module")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("gadgets", "gadgets.saw", "gadgets.two_words"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return made


def test_names_are_those_of_the_files(folder: Path) -> None:
    assert plugin_names("gadgets") == ["saw", "two-words"]


def test_a_new_file_is_a_new_plugin(folder: Path) -> None:
    (folder / "awl.py").write_text(PLUGIN)
    assert plugin_names("gadgets") == ["awl", "saw", "two-words"]


def test_loading(folder: Path) -> None:
    loaded = load_plugin("gadgets", "two-words", list)
    assert (loaded.__name__, loaded.__module__) == ("Tool", "gadgets.two_words")


def test_imported_classes_do_not_count(folder: Path) -> None:
    (folder / "saw.py").write_text(f"from gadgets.two_words import Tool as Other\n{PLUGIN}")
    assert load_plugin("gadgets", "saw", list).__module__ == "gadgets.saw"


@pytest.mark.parametrize("name", ["base", "_private", "private", "two_words", "Saw", "", "saw.Tool"])
def test_unknown_names_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown gadget '{name}'; choose one of saw, two-words"):
        load_plugin("gadgets", name, list)


@pytest.mark.parametrize(("package", "base"), [(samplers, Sampler), (engines, Engine)])
def test_real_registries(package: ModuleType, base: type) -> None:
    stems = {path.stem for path in Path(str(package.__file__)).parent.glob("*.py")} - {"__init__", "base"}
    names = {stem.replace("_", "-") for stem in stems if not stem.startswith("_")}
    assert names
    assert set(plugin_names(package.__name__)) == names
    if base is Sampler:
        assert names >= {"forward-backward", "mixing", "repaint"}
        assert all(issubclass(samplers.sampler_class(name), Sampler) for name in names)
