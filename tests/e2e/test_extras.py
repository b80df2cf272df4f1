"""Commands without the packages of their extra: one line, with the command that installs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.engines import ON_ANY_MACHINE, engine_class
from baikal_deploy.errors import EngineUnavailable
from baikal_deploy.host.extras import install


def without(packages: list[str], module: str, *words: Any) -> subprocess.CompletedProcess[str]:
    """What a command says in a process where these packages are not to be had."""
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({packages}))\n"
        f"from {module} import main; main({list(map(str, words)) if words else ''})"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [
        *((one, "baikal_training", "train") for one in ("matplotlib", "tensorboard", "torch")),
        *(
            (one, "baikal_export", "export")
            for one in ("torch", "onnx", "onnxscript", "onnxruntime", "skimage")
        ),
        *((one, "baikal_evaluation", "eval") for one in ("torch", "onnx", "skimage")),
    ],
)
def test_an_extra_that_is_missing(package: str, module: str, extra: str) -> None:
    done = without([package], f"{module}.command")
    assert done.returncode == 2
    assert done.stderr == (f"error: the package {package} is not installed: {install(extra)}\n")


def test_a_package_that_cannot_be_loaded(tmp_path: Path) -> None:
    """Such as torch without a library that it needs."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise ImportError('libcudart.so: no such file', name='torch._C')"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom baikal_training.command import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the package torch cannot be loaded (libcudart.so: no such file): "
        f"{install('train', again=True)}\n"
    )


def test_what_is_installed_names_these_commands() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for module in ("baikal_training", "baikal_export", "baikal_evaluation"):
        assert f'"{module}.command:main"' in text


def test_simulating_needs_no_extra(tmp_path: Path) -> None:
    """Nothing of an extra is loaded by it."""
    script = (
        "import sys; from baikal_training.simulate.cli import main\n"
        f"main(['nuclei', {str(tmp_path / 'out')!r}, '--size', '64'], standalone_mode=False)\n"
        "print(sorted({'torch', 'matplotlib', 'tensorboard', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(("options", "extra"), [([], "cpu"), (["--precision", "bf16"], "openvino")])
def test_without_an_engine(noisy_zarr: Path, options: list[str], extra: str) -> None:
    hidden = [package for package, _ in ON_ANY_MACHINE.values()]
    done = without(hidden, "baikal_deploy.cli.run", noisy_zarr, *options)
    assert done.returncode == 2
    assert done.stderr == (f"error: no engine that works here is installed; {install(extra)}\n")


def test_the_engines_that_run_anywhere_are_in_these_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (package, extra) in ON_ANY_MACHINE.items():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(EngineUnavailable, match=re.escape(install(extra))):
            engine_class(name).check()
