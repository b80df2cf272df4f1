"""What is published, held against pyproject.toml: wheel, workflow, conda recipe, Containerfile, and docs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy import __version__

ROOT = Path(__file__).parents[2]
yaml = pytest.importorskip("yaml")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return dict(yaml.safe_load(text("conda/recipe.yaml")))


def test_the_wheel_stays_below_40_mb(pyproject: dict[str, Any]) -> None:
    folders = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = [
        file for folder in folders for file in (ROOT / folder).rglob("*") if "__pycache__" not in file.parts
    ]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 40e6
    assert "-lt 40000000" in text("Makefile")


def test_python_is_claimed_as_far_as_it_has_been_tried(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert claimed == re.findall(r"x86-64, with Python (3\.\d+)", text("README.md"))
    assert project["requires-python"] == f">={claimed[0]}"


def test_the_recipe_is_that_of_pyproject(recipe: dict[str, Any], pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    assert (recipe["package"]["name"], recipe["package"]["version"]) == (project["name"], __version__)
    everywhere = [one for one in project["optional-dependencies"]["cpu"] if ";" not in one]
    needed = [f"python{project['requires-python']}", *project["dependencies"], *everywhere]
    assert sorted(one.replace(" ", "") for one in recipe["requirements"]["run"]) == sorted(needed)
    host = {one.replace(" ", "") for one in recipe["requirements"]["host"]}
    assert host == {needed[0], "pip", *pyproject["build-system"]["requires"]}
    scripts = [f"{name} = {place}" for name, place in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    about = recipe["about"]
    assert (about["license"], [about["license_file"]]) == (project["license"], project["license-files"])
    assert about["summary"] == project["description"]


def test_the_citation_is_of_this_version(pyproject: dict[str, Any]) -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert (citation["version"], citation["license"]) == (__version__, pyproject["project"]["license"])
    paper = citation["preferred-citation"]
    assert f"title     = {{{paper['title']}}}" in text("README.md")
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    (told,) = re.findall(r"author    = \{(.+?)\}", text("README.md"), re.DOTALL)
    assert " ".join(told.split()).split(" and ") == names


def test_the_container_holds_what_the_wheel_holds(pyproject: dict[str, Any]) -> None:
    file, project = text("Containerfile"), pyproject["project"]
    copied = [line.split()[1:] for line in file.splitlines() if line.startswith("COPY")]
    assert all((ROOT / name).exists() for words in copied for name in words[:-1])
    assert [words[0] for words in copied[1:]] == pyproject["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    assert all(words[0] == words[1] for words in copied[1:])
    assert {"pyproject.toml", project["readme"], *project["license-files"]} <= set(copied[0])
    (python,) = re.findall(r"^FROM docker\.io/library/python:(3\.\d+)-slim$", file, re.MULTILINE)
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]
    (extra,) = re.findall(r'"\.\[(.+)\]"', file)
    assert extra in project["optional-dependencies"]


def test_publishing_needs_no_password() -> None:
    workflow = yaml.safe_load(text(".github/workflows/publish.yml"))
    assert workflow[True] == {"release": {"types": ["published"]}}  # YAML takes "on" for true
    assert workflow["permissions"] == {"contents": "read"}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert (publish["needs"], publish["environment"]) == ("build", "pypi")
    assert (publish["permissions"], "permissions" in build) == ({"id-token": "write"}, False)
    upload = publish["steps"][-1]
    assert (upload["uses"].partition("@")[0], "with" in upload) == ("pypa/gh-action-pypi-publish", False)
    done = "\n".join(step.get("run", "") for step in build["steps"])
    assert "make package" in done
    assert '"[project.urls]" pyproject.toml' in done
    assert "baikal_deploy/_version.py" in done


def test_nobody_is_told_to_install_what_is_on_no_index() -> None:
    assert "on no package index yet" in text("README.md")  # once it is, this test goes
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.py")]
    folders = [ROOT / top for top in ("baikal_deploy", "training", "export", "evaluation", "plugin")]
    code = [path for folder in folders for path in folder.rglob("*.py")]
    pages += [path for path in code if path.name != "extras.py"]  # which asks where it was installed from
    told = re.compile(r"(pip|conda|mamba|uv|pipx|pixi)\b[^`\n]*\b(install|add)\b[^`\n]*\bbaikal-deploy\b")
    assert not [page.name for page in pages if told.search(page.read_text(encoding="utf-8"))]
