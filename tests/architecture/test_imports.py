"""What may import what, and what importing the package costs."""

from __future__ import annotations

import ast
import json
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import baikal_deploy

PACKAGE = Path(baikal_deploy.__file__).parent
ROOT = PACKAGE.parent
HEAVY = {"torch", "distributed", "onnxruntime", "onnx", "zarr", "yaozarrs", "pydantic", "tifffile", "PIL"}
EVERYWHERE = {"numpy", "scipy", "click", "rich", "rich_click"}
"""Third-party packages that any module of the runtime may use."""
MOST_SECONDS = 0.15

MEASURE = """
import json, sys, time
started = time.process_time()
import baikal_deploy
seconds = time.process_time() - started
print(json.dumps([seconds, sorted(name for name in sys.modules if "." not in name)]))
"""


def measured() -> tuple[float, set[str]]:
    """CPU seconds of the import in a fresh interpreter, and the packages loaded after it."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout)
    return seconds, set(modules)


def test_importing_loads_no_heavy_package_and_takes_no_time() -> None:
    runs = [measured() for _ in range(5)]
    assert "baikal_deploy" in runs[0][1]
    assert not runs[0][1] & HEAVY
    assert statistics.median(seconds for seconds, _ in runs) < MOST_SECONDS


def test_public_names_are_loaded_when_first_used() -> None:
    code = "import baikal_deploy, sys; baikal_deploy.BaikalError; print('zarr' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    for name in baikal_deploy.__all__:
        assert getattr(baikal_deploy, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Surprise'"):
        _ = baikal_deploy.Surprise


def test_import_contracts_hold() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which(
        "lint-imports"
    )
    if command is None:
        pytest.skip("import-linter is not installed")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the contracts are in pyproject.toml, which an installed package does not have")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Top-level names of all packages that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def third_party() -> dict[str, set[str]]:
    """The files of the runtime that import each third-party package."""
    users: dict[str, set[str]] = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        for name in imports_of(ast.parse(file.read_text(encoding="utf-8"))):
            if name not in sys.stdlib_module_names and name != "baikal_deploy":
                users[name].add(file.relative_to(PACKAGE).as_posix())
    return users


def test_every_vendor_is_in_the_contract() -> None:
    """The contract says where each is wrapped, and fails for a file that wraps it no more."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (vendors,) = (contract for contract in contracts if contract["name"].startswith("A vendor's package"))
    assert set(third_party()) == EVERYWHERE | set(vendors["forbidden_modules"])
