"""baikal-doctor, and the smoke run, tried on engines that compute on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from baikal_deploy.cli.doctor import main
from baikal_deploy.doctor.examine import PRECISIONS, examine, examine_engine
from baikal_deploy.doctor.smoke import gpu_engines, smoke
from baikal_deploy.doctor.smoke.steps import STEPS
from baikal_deploy.engines import engine_names
from baikal_deploy.errors import EngineUnavailable
from baikal_deploy.models.manifest import find_model
from tests.models import exported

COMMAND = [sys.executable, "-c", "from baikal_deploy.cli.doctor import main; main()"]


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def in_a_process(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run baikal-doctor, with a folder of packages before all others."""
    environment = os.environ | ({} if path is None else {"PYTHONPATH": before(path)})
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def before(path: Path) -> str:
    """A PYTHONPATH on which a folder comes first."""
    return os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])


def engine(data: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in data["engines"] if one["name"] == name)
    return found


def test_table_begins_with_what_matters() -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "Denoising works here: baikal-run takes engine onnx-cpu."
    for name in engine_names():
        assert any(line.startswith(f"  {name} ") for line in lines)
    assert all(len(line) <= 80 for line in lines if "  > " not in line and "/" not in line)


def test_json_is_all_that_is_on_stdout() -> None:
    done = in_a_process("--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["works"] is True
    assert data["model"] == {"name": "general", "precision": "fp32"}
    assert sorted(one["name"] for one in data["engines"]) == engine_names()
    assert set(data["auto"]) == set(PRECISIONS)
    assert data["auto"]["fp32"] == {"engine": "onnx-cpu", "reason": ""}
    assert data["packages"]["onnxruntime"]
    for one in data["engines"]:
        assert one["support"]["works"] or one["support"]["reason"]


@pytest.mark.parametrize(
    "code",
    [
        "raise ImportError('libonnx.so: cannot open shared object file')",
        "raise OSError('broken\\nin two lines')",
        "raise SystemExit(3)",
        "print('hello from a vendor')",
    ],
    ids=["import error", "os error", "exit", "empty"],
)
def test_broken_package_is_a_line_in_the_table(tmp_path: Path, code: str) -> None:
    (tmp_path / "onnxruntime.py").write_text(code)
    table, data = in_a_process(path=tmp_path), json.loads(in_a_process("--json", path=tmp_path).stdout)
    assert "Traceback" not in table.stdout + table.stderr
    assert not engine(data, "onnx-cpu")["support"]["works"]
    assert engine(data, "onnx-cpu")["support"]["reason"]
    assert table.returncode == (0 if data["works"] else 1)


def test_both_onnxruntimes_at_once_are_told(tmp_path: Path) -> None:
    """Found by the folders that pip leaves, which are all that is made up here."""
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-1.31.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.31.0\n")
    data = json.loads(in_a_process("--json", path=tmp_path).stdout)
    support = engine(data, "onnx-cpu")["support"]
    assert not support["works"]
    assert "both installed" in support["reason"]
    assert support["fix"].startswith("pip uninstall onnxruntime onnxruntime-gpu")
    assert data["packages"]["onnxruntime_gpu"] == "1.31.0"


def test_missing_bf16_of_the_cpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenVINO says of a CPU without it is made up, where the CPU has it."""
    pytest.importorskip("openvino")
    monkeypatch.setattr("baikal_deploy.engines._openvino.capabilities", lambda: ["FP32", "INT8"])
    result = doctor()
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "not bf16: this CPU cannot compute in bf16" in text
    assert "--precision bf16 none: none of the engines that could works here" in text


def test_unknown_model_and_file_are_refused(tmp_path: Path) -> None:
    for arguments, words in (
        (["--model", "zebra"], "model 'zebra'"),
        (["--gpu-smoke", "out.txt"], "must end in .json"),
        (["--gpu-smoke", tmp_path / "no" / "out.json"], "its folder does not exist"),
    ):
        result = doctor(*arguments)
        assert result.exit_code == 2, result.output
        assert words in result.stderr.splitlines()[-1]


def test_smoke_run_without_gpu_says_so_and_why(tmp_path: Path) -> None:
    if any(one.support.works for one in examine("nuclei").engines if one.device != "CPU"):
        pytest.skip("a GPU engine works here")
    result = doctor("--gpu-smoke", tmp_path / "out.json")
    assert result.exit_code == 1, result.output
    assert "no GPU engine works here" in result.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["complete"] is True
    assert data["runs"] == {}
    assert set(data["unavailable"]) == set(gpu_engines(examine("nuclei")))
    assert all(found["reason"] for found in data["unavailable"].values())
    assert data["doctor"]["works"] is True


def run_smoke(path: Path, engines: list[str], **options: Any) -> dict[str, Any]:
    """What a smoke run of CPU engines with the tiny model wrote."""
    model = str(exported())
    smoke(path, model, examine(model), engines, lambda line: None, **options)
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert data["complete"] is True
    return data["runs"]


@pytest.mark.parametrize(
    "name",
    ["onnx-cpu", pytest.param("openvino", marks=pytest.mark.slow)],
)
def test_smoke_run_measures_an_engine_that_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines of the CPU stand for those of a GPU."""
    if not examine_engine(name).support.works:
        pytest.skip(f"{name} does not work here")
    model = exported() if name == "onnx-cpu" else find_model("nuclei")
    monkeypatch.setattr("baikal_deploy.cli.doctor.gpu_engines", lambda examination: [name])
    result = doctor("--gpu-smoke", tmp_path / "out.json", "--model", model)
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "out.json").read_text())
    run = data["runs"][f"{name} fp32"]
    assert run["problems"] == []
    assert f"{name} fp32: does all that it should" in result.stderr
    assert "  1x1x512x512: " in result.stderr
    assert list(run["steps"]) == ["open", *STEPS]
    assert run["steps"]["agreement"]["relative_error"] < 1e-5
    assert run["steps"]["repeated"]["same_bits"] is True
    assert run["steps"]["denoised"]["lost_db"] == pytest.approx(0, abs=0.01)
    assert all(0 < row["seconds"] < 60 for row in run["steps"]["timing"]["table"])
    assert data["complete"] is True


CRASHING = """
import ctypes, os
__version__ = "1.0"
class SessionOptions: pass
class GraphOptimizationLevel: ORT_ENABLE_ALL = 0
def InferenceSession(*args, **kwargs):
    print("last words of a vendor", flush=True)
    print("cache", os.environ["BAIKAL_CACHE"], flush=True)
    ctypes.string_at(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the exit code of a crash is another one")
def test_engine_that_crashes_leaves_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up ONNX Runtime kills its process, at once or where the reference is opened."""
    (tmp_path / "onnxruntime.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", before(tmp_path))
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path / "cache"))
    runs = run_smoke(tmp_path / "out.json", ["onnx-cpu", "analytic"])
    assert list(runs) == ["onnx-cpu fp32", "analytic fp32"]
    assert runs["onnx-cpu fp32"]["steps"] == {}
    assert list(runs["analytic fp32"]["steps"]) == ["open"]
    for run in runs.values():
        assert (run["state"], run["exit_code"]) == ("ended", -11)
        assert "SIGSEGV" in run["problems"][0]
        assert "last words of a vendor" in run["log"]
        (cache,) = (line for line in run["log"] if line.startswith("cache "))
        assert cache != f"cache {tmp_path / 'cache'}"  # but an empty one
        assert any("open_session" in line for line in run["log"])  # where it crashed


def test_engine_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = CRASHING.replace("ctypes.string_at(0)", "import time; time.sleep(600)")
    (tmp_path / "onnxruntime.py").write_text(hanging)
    monkeypatch.setenv("PYTHONPATH", before(tmp_path))
    run = run_smoke(tmp_path / "out.json", ["onnx-cpu"], longest=3)["onnx-cpu fp32"]
    assert run["state"] == "timed out"
    assert "did not finish in time" in run["problems"][0]


def test_smoke_run_needs_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with TensorRT alone; the file then holds the report."""
    model, path = str(exported()), tmp_path / "out.json"
    examination = examine(model)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineUnavailable, match="not installed"):
        smoke(path, model, examination, ["analytic"], lambda line: None)
    assert json.loads(path.read_text())["doctor"]["works"] is True


def test_smoke_run_with_problems_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", before(tmp_path))
    monkeypatch.setattr("baikal_deploy.cli.doctor.gpu_engines", lambda examination: ["onnx-cpu"])
    result = doctor("--gpu-smoke", tmp_path / "out.json")
    assert result.exit_code == 1, result.output
    assert "onnx-cpu fp32: has problems" in result.stderr
    assert "SIGSEGV" in result.stderr
