"""What the doctor makes of what engines say of themselves, and of what is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from baikal_deploy.cli._doctor_text import describe
from baikal_deploy.doctor import examine as doctor
from baikal_deploy.doctor.examine import Support, examine, examine_engine
from baikal_deploy.engines import FASTEST, engine_names
from baikal_deploy.engines.base import Engine
from baikal_deploy.errors import EngineUnavailable, ModelError
from baikal_deploy.host import groups, machine
from baikal_deploy.models.manifest import Precision, shipped_models


class MadeUp(Engine):
    """An engine for hardware that no machine of ours has: it computes in fp32, and not in bf16 here."""

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {
        "fp32": ("fp32", "bf16"), "int8": ("int8",)
    }  # fmt: skip
    device = "Abacus 9000"

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        if precision == "bf16":
            raise EngineUnavailable("engine made-up: no beads for bf16", "buy beads")

    @classmethod
    def version(cls) -> str:
        return "beads 1.0"

    @classmethod
    def caution(cls, precision: Precision) -> str:
        return "beads are few" if precision == "int8" else ""

    @classmethod
    def open(cls, *args: Any) -> Any:
        raise AssertionError("the doctor loads no model")

    def _predict(self, *args: Any) -> Any:
        raise AssertionError("the doctor computes nothing")


class Broken(MadeUp):
    """One whose package raises what a broken one may when it is imported."""

    error: ClassVar[BaseException]

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        raise cls.error


def install(monkeypatch: pytest.MonkeyPatch, kind: type[Engine]) -> None:
    """Put an engine in the place of all that there are; ``auto`` takes it."""
    monkeypatch.setattr(doctor, "engine_names", lambda: ["made-up"])
    monkeypatch.setattr("baikal_deploy.engines.FASTEST", ("made-up",))
    monkeypatch.setattr(doctor, "FASTEST", ("made-up",))
    for module in ("baikal_deploy.engines", "baikal_deploy.doctor.examine"):
        monkeypatch.setattr(f"{module}.engine_class", lambda name: kind)


def test_engines_are_in_the_order_of_auto_and_all_there() -> None:
    names = [engine.name for engine in examine("nuclei").engines]
    assert sorted(names) == engine_names()
    automatic = [name for name in names if name in FASTEST]
    assert names[: len(automatic)] == automatic == [name for name in FASTEST if name in names]


def test_each_precision_has_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, MadeUp)
    engine = examine_engine("made-up")
    assert engine.support == Support(True)
    assert (engine.version, engine.device) == ("beads 1.0", "Abacus 9000")
    assert engine.precisions == {
        "fp32": Support(True),
        "bf16": Support(False, "engine made-up: no beads for bf16", "buy beads"),
        "int8": Support(True, caution="beads are few"),
    }
    assert engine.stored == {"fp32": ["fp32"], "bf16": ["fp32"], "int8": ["int8"]}


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ({"fp32", "bf16"}, Support(True, caution="beads are few")),
        ({"fp32", "bf16", "int8"}, Support(False, "no fp32 here", "buy fp32")),
    ],
)
def test_engine_works_if_any_precision_does(
    monkeypatch: pytest.MonkeyPatch, refused: set[Precision], expected: Support
) -> None:
    class Choosy(MadeUp):
        @classmethod
        def check(cls, precision: Precision = "fp32") -> None:
            if precision in refused:
                raise EngineUnavailable(f"no {precision} here", f"buy {precision}")

    install(monkeypatch, Choosy)
    assert examine_engine("made-up").support == expected


def test_auto_is_told_for_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, MadeUp)
    auto = examine("nuclei").auto
    assert auto["fp32"].engine == "made-up"
    assert auto["bf16"].engine is None
    assert auto["bf16"].reason == "none of the engines that could works here"
    assert auto["int8"].reason == "needs a model exported with --precision int8"


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libcudart.so.13: cannot open shared object file"),
        OSError("[WinError 126]\nsecond line"),
        SystemExit(1),
        AttributeError("module has no attribute '__version__'"),
        BaseException("a panic of Rust"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_broken_package_is_a_reason(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(Broken, "error", error, raising=False)
    install(monkeypatch, Broken)
    examination = examine("nuclei")
    (engine,) = examination.engines
    assert not engine.support.works
    assert f"its package is broken ({type(error).__name__}: " in engine.support.reason
    assert "\n" not in engine.support.reason
    assert engine.support.fix
    assert not examination.works
    assert examination.auto["fp32"].engine is None
    assert type(error).__name__ in examination.auto["fp32"].reason


def test_engine_whose_file_cannot_be_imported_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> type[Engine]:
        raise ImportError("cannot import name 'fashion'")

    monkeypatch.setattr(doctor, "engine_class", fail)
    engine = examine_engine("onnx-cpu")
    assert "cannot import name 'fashion'" in engine.support.reason
    assert engine.device == "unknown"


def test_interrupting_is_no_broken_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "error", KeyboardInterrupt(), raising=False)
    install(monkeypatch, Broken)
    with pytest.raises(KeyboardInterrupt):
        examine_engine("made-up")


def test_package_that_cannot_be_asked_for_its_version_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """``check`` of it passes, and so ``auto`` would take it."""

    class Headless(MadeUp):
        @classmethod
        def version(cls) -> str:
            raise ImportError("DLL load failed")

    install(monkeypatch, Headless)
    examination = examine("nuclei")
    assert not examination.works
    assert "DLL load failed" in examination.engines[0].support.reason
    assert examination.auto["fp32"].engine is None
    assert "it would take made-up, but its package is broken" in examination.auto["fp32"].reason


def test_stand_in_is_nothing_to_work_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """The analytic engine runs everywhere, and denoises no image."""
    monkeypatch.setattr(doctor, "engine_names", lambda: ["analytic"])
    monkeypatch.setattr("baikal_deploy.engines.FASTEST", ())
    examination = examine("nuclei")
    assert examination.engines[0].support.works
    assert not examination.works


def test_packages_are_found_without_importing_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ONNX Runtimes, names as old wheels write them, and what a removal left behind."""
    for name, version in (("onnxruntime_gpu", "1.31.0"), ("onnxruntime", "1.30.0"), ("cuda_python", "13")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
    (tmp_path / "tensorrt-10.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    packages = examine("nuclei").packages
    assert packages["onnxruntime"] == "1.30.0"
    assert packages["onnxruntime_gpu"] == "1.31.0"
    assert {"numpy", "zarr", "cuda_python"} <= set(packages)
    assert "pytest" not in packages


def test_report_knows_machine_models_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "a").write_bytes(bytes(300))
    (tmp_path / "b").write_bytes(bytes(11))
    monkeypatch.setattr(doctor, "cache_folder", lambda: tmp_path)
    examination = examine("tribolium")
    assert examination.model.name == "tribolium"
    assert (examination.cache_folder, examination.cache_bytes) == (tmp_path, 311)
    assert examination.models == dict.fromkeys(shipped_models(), "fp32")
    assert examination.threads >= 1
    assert examination.python == ".".join(map(str, sys.version_info[:3]))


def test_cache_that_was_never_used_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cache_folder", lambda: tmp_path / "never")
    assert examine("nuclei").cache_bytes == 0


def test_damaged_shipped_model_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cut.onnx").write_bytes(b"no model")
    monkeypatch.setattr(doctor, "shipped_models", lambda: {"cut": tmp_path / "cut.onnx"})
    assert "not an ONNX file" in examine("nuclei").models["cut"]


def test_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="zebra"):
        examine("zebra")


def test_json_and_table_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, MadeUp)
    examination = examine("nuclei")
    data = json.loads(json.dumps(examination.as_dict()))
    assert data["works"] is True
    assert data["engines"][0]["precisions"]["bf16"] == {
        "works": False, "reason": "engine made-up: no beads for bf16", "fix": "buy beads", "caution": ""
    }  # fmt: skip
    text = "\n".join(describe(examination, 100))
    assert "beads 1.0, on Abacus 9000: fp32; with models exported so also int8" in text
    assert "not bf16: no beads for bf16" in text
    assert "> buy beads" in text
    assert "int8: beads are few" in text


@pytest.mark.parametrize("width", [80, 200])
def test_table_keeps_to_its_width_but_for_commands(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(Broken, "error", EngineUnavailable("word " * 60, "pip install " * 20), raising=False)
    install(monkeypatch, Broken)
    lines = list(describe(examine("nuclei"), width))
    assert all(len(line) <= width for line in lines if ">" not in line and "/" not in line)
    assert max(map(len, lines)) > 200  # a command is never broken


def test_a_terminal_without_columns() -> None:
    assert list(describe(examine("nuclei"), 0))


def first_lines(monkeypatch: pytest.MonkeyPatch, kind: type[Engine], gpus: list[machine.Gpu]) -> str:
    install(monkeypatch, kind)
    monkeypatch.setattr(machine, "nvidia_gpus", lambda: (gpus, ""))
    lines = list(describe(examine("nuclei"), 100))
    return " ".join(lines[: lines.index("")])


def test_table_begins_with_whether_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "error", EngineUnavailable("no beads"), raising=False)
    gpu = machine.Gpu("NVIDIA T4", "580.1", None, None)
    assert first_lines(monkeypatch, MadeUp, []) == "Denoising works here: baikal-run takes engine made-up."
    broken = first_lines(monkeypatch, Broken, [gpu])
    assert broken.startswith("Denoising does not work here yet.")
    assert "NVIDIA" not in broken
    without = first_lines(monkeypatch, Broken, [])
    assert without.endswith(
        "No NVIDIA GPU with its driver was found. Before anything else, these need one: made-up."
    )


def test_engine_that_only_works_by_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(*args: Any) -> Any:
        raise ImportError("something else is broken")

    monkeypatch.setattr(doctor, "fastest_engine", choose)
    words = first_lines(monkeypatch, MadeUp, [])
    assert words.startswith("Denoising works here with --engine made-up. By itself baikal-run fails: ")
    assert "something else is broken" in words


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("50000 100000", "1 of 8 cores are used; a quota gives this container or job the time of 0.5"),
        ("300000 100000", "3 of 8 cores are used; a quota gives this container or job the time of 3"),
        ("900000 100000", "8 of 8 cores are used"),
        ("max 100000", "8 of 8 cores are used"),
    ],
)
def test_a_quota_is_named_where_it_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(groups, "PROC", tmp_path)
    monkeypatch.setattr(groups, "GROUPS", tmp_path)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: list(range(8)), raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 8)
    report = examine("nuclei")
    (line,) = (line for line in describe(report, 100) if line.startswith("  threads "))
    assert line.removeprefix("  threads").strip() == words
    assert report.as_dict()["threads"] == report.threads
    assert report.as_dict()["cpu_quota"] == groups.cpu_quota()
