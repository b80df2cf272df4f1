"""The two vendor modules: what is refused, what is kept of their errors, and the names that are used."""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.engines._tensorrt import audit as _trt_audit
from baikal_deploy.engines._tensorrt import build as _trt_build
from baikal_deploy.engines._tensorrt import family as _trt_compat
from baikal_deploy.engines._tensorrt import timing as _trt_timing
from baikal_deploy.engines._tensorrt.family import (
    API,
    RTX_API,
    TENSORRT,
    TENSORRT_RTX,
    Family,
    check_targets,
    cuda_major,
    first_error,
    forget_errors,
    load,
    logger,
    network_and_config,
    set_targets,
    target_names,
    version,
)
from baikal_deploy.errors import EngineBuildError, EngineUnavailable
from baikal_deploy.host.extras import install

BOTH = pytest.mark.parametrize("family", [TENSORRT, TENSORRT_RTX], ids=lambda family: family.name)


@pytest.fixture(scope="session")
def rtx() -> Any:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed; the extra dev has it")
    return load(TENSORRT_RTX)


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a package that stands in for a vendor's: only how its import ends and its version matter."""

    def install(family: Family, code: str) -> None:
        (tmp_path / f"{family.module}.py").write_text(code, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, family.module, raising=False)

    yield install
    for family in (TENSORRT, TENSORRT_RTX):
        if str(tmp_path) in str(getattr(sys.modules.get(family.module), "__file__", "")):
            del sys.modules[family.module]


@BOTH
def test_missing_package_is_unavailable_with_the_command_that_installs_it(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, family.module, None)
    with pytest.raises(EngineUnavailable) as caught:
        load(family)
    assert caught.value.reason == f"engine {family.name}: {family.title} is not installed"
    assert caught.value.fix == install(family.extra)


@BOTH
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "raise ImportError('libnvinfer.so.10:\\n cannot open shared object file')",
            "libnvinfer.so.10: cannot",
        ),
        ("import tensorrt_bindings_gone", "No module named 'tensorrt_bindings_gone'"),
        ("raise AttributeError('undefined symbol: createInfer')", "undefined symbol: createInfer"),
        ("raise FileNotFoundError('Could not find: nvinfer_10.dll')", "Could not find: nvinfer_10.dll"),
    ],
    ids=["library", "bindings", "symbol", "dll"],
)
def test_failing_import_is_unavailable_with_its_reason_in_one_line(
    family: Family, code: str, reason: str, pretend: Any
) -> None:
    pretend(family, code)
    with pytest.raises(EngineUnavailable) as caught:
        load(family)
    assert "cannot be imported" in caught.value.reason
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "number"),
    [
        (TENSORRT, "10.16.0"), (TENSORRT, "10.16.1.11"), (TENSORRT, "11.4.0.106"), (TENSORRT, "11.10.0"),
        (TENSORRT_RTX, "1.4.0.76"), (TENSORRT_RTX, "1.7.1.116"), (TENSORRT_RTX, "1.10.0"),
    ],
)  # fmt: skip
def test_supported_versions_are_taken(family: Family, number: str, pretend: Any) -> None:
    pretend(family, f"__version__ = '{number}'")
    assert version(load(family)) == number


@pytest.mark.parametrize(
    ("family", "number"),
    [
        (TENSORRT, "8.6.1"), (TENSORRT, "10.15.1.29"), (TENSORRT, "12.0.0.1"), (TENSORRT, "nightly"),
        (TENSORRT_RTX, "1.3.0.35"), (TENSORRT_RTX, "2.0.0.1"),
    ],
)  # fmt: skip
def test_other_versions_are_unavailable_with_what_is_needed(
    family: Family, number: str, pretend: Any
) -> None:
    pretend(family, f"__version__ = '{number}'")
    with pytest.raises(EngineUnavailable, match=f"{family.title} {number} is installed; needed is") as caught:
        load(family)
    assert "--upgrade" in caught.value.fix


def test_cuda_is_known_from_the_name_of_the_package(rtx: Any) -> None:
    assert cuda_major(TENSORRT_RTX) in (12, 13)
    assert cuda_major(replace(TENSORRT_RTX, name="tensorrt-of-elsewhere")) is None


def test_targets_are_those_of_the_version(rtx: Any) -> None:
    assert {75, 86, 89, 120} <= set(target_names(rtx))
    assert list(target_names(rtx)) == sorted(target_names(rtx))
    assert target_names(rtx)[86] == rtx.ComputeCapability.SM86
    check_targets(TENSORRT_RTX, rtx, tuple(target_names(rtx)))


@pytest.mark.parametrize("wrong", [90, 61, 8])
def test_other_targets_are_refused_with_the_list(rtx: Any, wrong: int) -> None:
    with pytest.raises(EngineBuildError, match=f"cannot build for compute capability {wrong};") as caught:
        check_targets(TENSORRT_RTX, rtx, (86, wrong))
    assert "75, 80, 86, 89, 120" in str(caught.value)


def test_a_portable_family_takes_the_targets_and_needs_some(rtx: Any) -> None:
    _, config = network_and_config(rtx, rtx.Builder(logger(rtx)))
    set_targets(TENSORRT_RTX, rtx, config, (86, 120))
    found = [config.get_compute_capability(i) for i in range(config.num_compute_capabilities)]
    assert found == [rtx.ComputeCapability.SM86, rtx.ComputeCapability.SM120]
    with pytest.raises(EngineBuildError, match="no compute capability is named"):
        set_targets(TENSORRT_RTX, rtx, config, ())


def test_networks_are_strongly_typed_and_fp32_is_fp32(rtx: Any) -> None:
    network, config = network_and_config(rtx, rtx.Builder(logger(rtx)))
    assert network.get_flag(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert not config.get_flag(rtx.BuilderFlag.TF32)
    assert config.flags == 0


def test_the_first_error_is_kept_and_nothing_is_printed(rtx: Any, capfd: pytest.CaptureFixture[str]) -> None:
    forget_errors(rtx)
    builder = rtx.Builder(logger(rtx))
    profile = builder.create_optimization_profile()
    profile.set_shape("x", (4,), (2,), (1,))
    assert first_error(rtx) == "it gave no reason"
    assert builder.create_builder_config().add_optimization_profile(profile) == -1
    assert "satisfy MIN<=OPT<=MAX" in first_error(rtx)
    assert "/_src/" not in first_error(rtx)
    assert "\n" not in first_error(rtx)
    assert len(logger(rtx).errors) > 1
    forget_errors(rtx)
    assert first_error(rtx) == "it gave no reason"
    assert capfd.readouterr() == ("", "")


def test_warnings_are_no_errors_and_a_flood_is_cut_short(rtx: Any) -> None:
    forget_errors(rtx)
    logger(rtx).log(rtx.ILogger.WARNING, "the logger passed differs")
    assert first_error(rtx) == "it gave no reason"
    for number in range(1000):
        logger(rtx).log(rtx.ILogger.INTERNAL_ERROR, f"number {number}")
    assert first_error(rtx) == "number 0"
    assert len(logger(rtx).errors) == _trt_compat.MOST_ERRORS
    forget_errors(rtx)


def test_there_is_one_logger(rtx: Any) -> None:
    """The vendor would ignore a second one, and its errors would be lost."""
    assert logger(rtx) is logger(rtx)


def test_what_is_no_engine_file_is_none_with_a_reason(rtx: Any) -> None:
    forget_errors(rtx)
    assert rtx.Runtime(logger(rtx)).deserialize_cuda_engine(b"no engine file") is None
    assert first_error(rtx) != "it gave no reason"


def test_names_exist_in_the_vendors_module(rtx: Any) -> None:
    for name in API + RTX_API:
        holder, _, attribute = name.partition(".")
        assert hasattr(getattr(rtx, holder), attribute), name


def test_names_are_those_that_the_sources_use(rtx: Any) -> None:
    """An attribute in the sources that a class of the vendor's has must be listed, and no other."""
    listed = {name.rpartition(".")[2] for name in API + RTX_API}
    classes = [value for value in vars(rtx).values() if isinstance(value, type)]
    vendors = {name for one in classes for name in dir(one) if not name.startswith("_")}
    sources = "".join(inspect.getsource(one) for one in (_trt_audit, _trt_build, _trt_compat, _trt_timing))
    nodes = ast.walk(ast.parse(sources.replace("from __future__ import annotations", "")))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    also_ours = {"append", "clear", "items", "logger", "max", "min", "opt", "read", "title", "write"}
    assert used & vendors - also_ours <= listed
    assert {name for name in listed if sources.count(name) < 2} == set()
