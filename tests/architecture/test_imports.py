"""What may import what, and what importing the package costs."""

from __future__ import annotations

import ast
import json
import shutil
import statistics
import subprocess
import sys
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
VENDORS = {
    "array_api_compat": {"arrays.py"},
    "cuda": {"engines/_cuda.py"},
    "cupy": {"engines/_cupy.py"},
    "dask_jobqueue": {"cluster/schedulers.py"},
    "distributed": {
        "cluster/client.py",
        "cluster/private.py",
        "cluster/schedulers.py",
        "cluster/tasks.py",
        "cluster/worker.py",
    },
    "jinja2": {"look/templates.py"},
    "filelock": {"engines/_cache_files.py", "locks.py"},
    "ndstorage": {"volumes/ndtiff.py"},
    "obstore": {"volumes/urls.py"},
    "onnxruntime": {"engines/_onnxruntime.py"},
    "openvino": {"engines/_openvino.py", "engines/openvino.py"},
    "platformdirs": {"engines/_cache.py"},
    "pymmcore_plus": {"live/pymmcore.py"},
    "prometheus_client": {"serve/watch.py"},
    "starlette": {f"serve/{name}.py" for name in ("answers", "app", "body", "gate", "infer", "server")},
    "tensorrt": {"engines/_trt_compat.py"},
    "tensorrt_rtx": {"engines/_trt_compat.py"},
    "tifffile": {"volumes/tiff_file.py", "volumes/tiff_output.py"},
    "zarr": {
        "volumes/groups.py",
        "volumes/labels.py",
        "volumes/output.py",
        "volumes/tiff_file.py",
        "volumes/zarr.py",
    },
    "useq": {"live/acquisition.py", "live/pymmcore.py"},
    "uvicorn": {"serve/connection.py", "serve/server.py"},
    "yaozarrs": {"volumes/ngff.py"},
    "PIL": {"look/grey.py", "look/preview.py", "serve/pictures.py"},
    "pydantic": {"cluster/config.py", "manifest.py", "samplers/__init__.py", "serve/protocol.py"},
    "pydantic_core": {"serve/protocol.py"},
}
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


def test_vendor_packages_appear_only_in_the_file_that_wraps_them() -> None:
    for name, files in third_party().items():
        if name not in EVERYWHERE:
            assert files <= VENDORS.get(name, set()), f"{name} is imported by {sorted(files)}"


def test_wrapping_files_still_wrap() -> None:
    """An entry of VENDORS that nothing needs any more would be a door left open."""
    assert {name: third_party()[name] for name in VENDORS} == VENDORS
