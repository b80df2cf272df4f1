"""Engine files that are built when a model is exported; by the real builder of TensorRT for RTX."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._kept_files import engine_folder, sidecar_path
from baikal_deploy.engines._tensorrt.cache import EngineKey, find_or_build
from baikal_deploy.engines._tensorrt.family import TENSORRT, TENSORRT_RTX, Family
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError, EngineBuildError, EngineUnavailable, ModelError
from baikal_deploy.models.manifest import read_manifest
from baikal_export.engine_files import build_for, check, parse_sm
from tests.models import exported

MANIFEST = read_manifest(exported("eps"))
FROM_HERE = replace(TENSORRT_RTX, portable=False)
"""A family that builds for the GPU of this machine, as TensorRT, which cannot be installed everywhere."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path / "cache"))
    return engine_folder()


@pytest.fixture
def rtx() -> Any:
    return pytest.importorskip(
        "tensorrt_rtx", reason="TensorRT for RTX is not installed; the extra dev has it"
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("86", (86,)), ("120,86,89", (86, 89, 120)), (" 75, 86 ,86", (75, 86))]
)
def test_compute_capabilities_are_read(text: str, expected: tuple[int, ...]) -> None:
    assert parse_sm(text) == expected


@pytest.mark.parametrize("text", ["", "8.6", "86,", "sm86", "86;89", "8", "-86", "8600", "all"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"needed are compute capabilities .* such as 86,89,120") as caught:
        parse_sm(text)
    assert f"--sm {text}:" in str(caught.value)


@pytest.mark.parametrize(
    ("families", "sms", "profile", "message"),
    [
        ((), (86,), None, "--sm goes with --tensorrt-rtx"),
        ((TENSORRT,), (86,), None, "--sm goes with --tensorrt-rtx"),
        ((), (), "1x8x8,1x8x8,1x8x8", "--profile goes with --tensorrt or --tensorrt-rtx"),
        ((TENSORRT_RTX,), (86,), "large", "profile 'large': needed are min,opt,max"),
        ((TENSORRT_RTX,), (86,), "1x6x8,1x8x8,1x8x8", "multiples of 4, not 6x8"),
    ],
)
def test_options_that_make_no_sense_are_found_before_anything_is_exported(
    families: Sequence[Family], sms: Sequence[int], profile: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(families, sms, profile, MANIFEST)


def test_nothing_asked_for_is_nothing_to_check() -> None:
    check((), (), None, MANIFEST)
    assert list(build_for(exported("eps"), (), (), None)) == []


@pytest.mark.parametrize("family", [TENSORRT, TENSORRT_RTX], ids=lambda family: family.name)
def test_a_missing_family_is_found_before_anything_is_exported(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, family.module, None)
    with pytest.raises(EngineUnavailable, match=f"engine {family.name}: .* is not installed"):
        check((family,), (), None, MANIFEST)


def test_a_gpu_that_is_not_built_for_is_found_before_anything_is_exported(rtx: Any) -> None:
    with pytest.raises(
        EngineBuildError, match=r"cannot build for compute capability 90; .* builds for 75, 80"
    ):
        check((TENSORRT_RTX,), (86, 90), None, MANIFEST)


def test_without_a_gpu_only_portable_engine_files_are_built(rtx: Any, folder: Path) -> None:
    try:
        _cuda.check("tensorrt", "tensorrt")
    except EngineUnavailable as error:
        reason = error.reason
    else:
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineUnavailable) as caught:
        list(build_for(exported("eps"), (replace(FROM_HERE, name="tensorrt"),), (), None))
    assert caught.value.reason == reason
    assert not folder.exists()


def test_a_file_is_built_once_and_then_found(rtx: Any, folder: Path) -> None:
    (first,) = build_for(exported("eps"), (TENSORRT_RTX,), (86, 120), "1x8x8,1x16x16,2x16x16")
    (second,) = build_for(exported("eps"), (TENSORRT_RTX,), (86, 120), "1x8x8,1x16x16,2x16x16")
    (path,) = folder.glob("*.engine")
    for line, verb in ((first, "built"), (second, "found")):
        assert line.startswith(f"{verb} tensorrt-rtx engine file {path} (")
        assert f"({path.stat().st_size / 1e6:.1f} MB, " in line
        assert "compute capability 86, 120, shapes 1x8x8,1x16x16,2x16x16" in line


def test_other_shapes_and_other_gpus_are_built_even_if_a_file_covers_them(rtx: Any, folder: Path) -> None:
    """Who names shapes wants them to be the ones that are tuned for."""
    for sms, profile in [
        ((86, 89), "1x8x8,1x16x16,2x16x16"), ((86,), "1x8x8,1x16x16,2x16x16"), ((86,), "1x8x8,1x8x8,1x8x8")
    ]:  # fmt: skip
        (line,) = build_for(exported("eps"), (TENSORRT_RTX,), sms, profile)
        assert line.startswith("built ")
    assert len(list(folder.glob("*.engine"))) == 3


def test_by_default_a_run_with_default_options_finds_the_file_on_any_gpu_but_turing(
    rtx: Any, folder: Path
) -> None:
    path = exported("eps")
    (line,) = build_for(path, (TENSORRT_RTX,), (), None)
    assert "compute capability 80, 86, 89, 120" in line
    manifest = read_manifest(path)
    profile = Profile.default(EngineOptions(), manifest)
    for target in (86, 120):
        key = EngineKey.of(TENSORRT_RTX, path, manifest, profile, (target,))
        assert not find_or_build(key, lambda: b"").built
    turing = EngineKey.of(TENSORRT_RTX, path, manifest, profile, (75,))
    assert find_or_build(turing, lambda: b"").built


def test_a_failed_build_names_the_model_and_leaves_no_file(rtx: Any, folder: Path) -> None:
    with pytest.raises(EngineBuildError, match=r"\.onnx: .* FP32 GEMM is not supported"):
        list(build_for(exported("eps"), (TENSORRT_RTX,), (75,), None))
    assert not list(folder.glob("*.engine*"))


def test_sides_that_the_model_does_not_take_are_refused(rtx: Any, folder: Path) -> None:
    with pytest.raises(ConfigError, match="multiples of 4, not 6x8"):
        list(build_for(exported("eps"), (TENSORRT_RTX,), (86,), "1x6x8,1x8x8,1x8x8"))
    assert not folder.exists()


def test_a_damaged_model_is_refused(rtx: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        list(build_for(path, (TENSORRT_RTX,), (86,), None))


def test_the_sidecar_tells_for_what_it_was_built(rtx: Any, folder: Path) -> None:
    list(build_for(exported("eps"), (TENSORRT_RTX,), (86, 89), "1x8x8,1x16x16,2x16x16"))
    (path,) = folder.glob("*.engine")
    key = json.loads(sidecar_path(path).read_text())["key"]
    assert (key["family"], key["version"], key["gpu"]) == ("tensorrt-rtx", rtx.__version__, "")
    assert (key["compute_capabilities"], key["profile"]) == ([86, 89], "1x8x8,1x16x16,2x16x16")
    assert key["precision"] == "fp32"
