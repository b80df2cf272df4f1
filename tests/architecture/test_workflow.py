"""The workflow for three systems, held against pyproject.toml, the Makefile and README's commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    assert found[True].keys() == {"push", "pull_request", "workflow_dispatch"}  # YAML takes "on" for true
    (job,) = found["jobs"].values()
    return dict(job)


def commands(job: dict[str, Any]) -> list[str]:
    return [line for step in job["steps"] for line in step.get("run", "").splitlines()]


def on_windows(readme: str) -> list[str]:
    """README's commands without make, as they are spelled on other systems."""
    lines = readme.partition("without make")[2].partition("It has been run")[0].splitlines()
    spelled = (line.strip().replace("\\", "/") for line in lines if line.startswith("    "))
    return [line.replace(".venv/Scripts/", "") for line in spelled]


def test_three_systems_and_the_oldest_and_newest_python(job: dict[str, Any], project: dict[str, Any]) -> None:
    matrix = job["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "windows", "macos"]
    assert int(matrix["os"][2].partition("-")[2]) >= 14  # from which on these machines are arm64
    assert matrix["python"] == ["3.11", "3.13"]  # none is claimed before it has run: test_packaging
    assert project["requires-python"] == f">={matrix['python'][0]}"
    assert job["env"]["PYTHONUTF8"] == "0"
    assert job["defaults"]["run"]["shell"] == "bash"


def test_it_does_what_the_readme_says(job: dict[str, Any], project: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    make = re.sub(r"\\\n\s*", "", (ROOT / "Makefile").read_text(encoding="utf-8"))
    told, done = on_windows(readme), commands(job)
    run = next(line for line in told if line.startswith("baikal-run"))
    assert f"{run} > demo/said.txt 2>&1" in done
    assert run.removeprefix("baikal-run") in make
    for extra in ("cpu", "dev"):
        install = f'python -m pip install -c constraints.txt -e ".[{extra}]"'
        assert extra in project["optional-dependencies"]
        assert install in told
        assert install in done
        assert f'-e ".[{extra}]"' in make
    test = next(line for line in told if "pytest" in line)
    assert test in done
    assert test.removeprefix("python -m ") in make
    order = [done.index(line) for line in done if "baikal-run" in line or "pip" in line or line == test]
    assert order == sorted(order)


def test_nothing_is_said_to_run_where_it_has_not(project: dict[str, Any]) -> None:
    systems = [one for one in project["classifiers"] if one.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]
    for page in ("README.md", "docs/systems.md"):
        assert re.search(r"has run on Windows\s+or macOS yet", (ROOT / page).read_text(encoding="utf-8"))


def test_what_has_no_wheels_for_macos_is_left_out_there(project: dict[str, Any]) -> None:
    packaging = pytest.importorskip("packaging.requirements")
    dev = [packaging.Requirement(text) for text in project["optional-dependencies"]["dev"]]
    for system, missing in (
        ("linux", set()),
        ("win32", set()),
        ("darwin", {"acquire-zarr", "tensorrt-rtx-cu13"}),
    ):
        left_out = {
            one.name for one in dev if one.marker and not one.marker.evaluate({"sys_platform": system})
        }
        assert left_out == missing
