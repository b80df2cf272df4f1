"""The contract of every engine in the folder: what it refuses, in words that help."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import onnx
import pytest

from baikal_deploy.engines import engine_class, engine_names, open_engine
from baikal_deploy.engines._tensorrt.runtime import TensorRtEngine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError, EngineBuildError, EngineError, EngineUnavailable, ModelError
from baikal_deploy.host.extras import install
from baikal_deploy.models.manifest import Precision, Stored, read_manifest
from tests.contract.cases import (
    LOADERS,
    planes,
    predict,
)
from tests.models import exported


@pytest.mark.parametrize("name", engine_names())
def test_a_precision_that_an_engine_does_not_offer_is_refused_with_those_it_does(name: str) -> None:
    for kind in get_args(Stored):
        manifest = replace(read_manifest(exported()), precision=kind)
        offered = engine_class(name).COMPUTES.get(kind, ())
        for precision in set(get_args(Precision)) - set(offered):
            with pytest.raises(ConfigError) as caught:
                open_engine(name, exported(), manifest, EngineOptions(precision=precision))
            message = str(caught.value)
            assert f"engine {name}: " in message
            assert f"stored in {kind}" in message
            assert all(one in message for one in offered)


def test_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown engine 'abacus'") as caught:
        open_engine("abacus", exported(), read_manifest(exported()))
    assert all(name in str(caught.value) for name in engine_names())


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("onnx-cpu", "onnxruntime", "cpu"), ("openvino", "openvino", "openvino")]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(exported())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineUnavailable, match=f"engine {name}: .* is not installed") as caught:
        open_engine(name, exported(), manifest)
    assert caught.value.fix == install(extra)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "random"])
def test_damaged_model_file_is_named(
    name: str, damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, path = exported().read_bytes(), tmp_path / "damaged.onnx"
    contents = {"empty": b"", "truncated": whole[: len(whole) // 2], "random": planes(1000).tobytes()}
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(ModelError) as caught:
        open_engine(name, path, read_manifest(exported()))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("name", LOADERS)
def test_graph_of_another_contract_fails_as_an_engine_error(name: str, tmp_path: Path) -> None:
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Neg", ["image"], ["result"])
    graph = onnx.helper.make_graph([node], "foreign", [image], [result])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "foreign.onnx")
    manifest, path = read_manifest(exported()), tmp_path / "foreign.onnx"
    if issubclass(engine_class(name), TensorRtEngine):  # it looks at the graph before it builds anything
        with pytest.raises(EngineBuildError, match="its inputs are image, not x_t, timesteps") as caught:
            open_engine(name, path, manifest)
    else:
        with (
            open_engine(name, path, manifest) as engine,
            pytest.raises(EngineError, match="evaluation failed") as caught,
        ):
            predict(engine, planes(1, 1, 4, 4), 1.0)
    assert "\n" not in str(caught.value)
