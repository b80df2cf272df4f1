"""Models in fewer bits: what is inside the files, and that they compute what the checkpoint does."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

import baikal_export
from baikal_deploy.engines import engine_class, open_engine
from baikal_deploy.engines._tensorrt.family import TENSORRT_RTX
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import EngineUnavailable, ModelError
from baikal_deploy.models.manifest import METADATA_KEY, Stored, read_manifest
from baikal_deploy.models.onnx_file import CHECKSUM_KEY
from baikal_export.engine_files import build_for
from baikal_export.planes import NONE
from baikal_export.precision import convert
from baikal_export.precision.half import HalfNetwork
from baikal_export.precision.int8 import BUDGET, quantised
from baikal_export.tracing import OPSET
from tests.reduced import UNETS, Reduced, reduced

PRECISIONS: list[Stored] = ["fp16", "bf16", "int8"]
HALVES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
ENGINES = {"fp16": "onnx-cpu", "bf16": "openvino", "int8": "onnx-cpu"}
TOLERANCES = {"fp16": 2e-3, "bf16": 1e-2, "int8": 5e-2}
"""Relative errors, and no file may be better than a tenth: then it would not be in that precision."""


def made(precision: Stored) -> Reduced:
    """As ``reduced``; skips what the engine that checks the file needs and this machine has not."""
    try:
        engine_class(ENGINES[precision]).check(precision)
    except EngineUnavailable as unavailable:
        pytest.skip(str(unavailable))
    return reduced(precision)


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stored:
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path))
    return request.param


class Graph:
    """An ONNX graph, asked for dtypes."""

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(path)
        graph = self.model.graph
        self.nodes = list(graph.node)
        self.weights = {weight.name: weight for weight in graph.initializer}
        self.dtypes = {name: weight.data_type for name, weight in self.weights.items()}
        for value in (*graph.value_info, *graph.input, *graph.output):
            self.dtypes[value.name] = value.type.tensor_type.elem_type
        self.makers = {output: node for node in self.nodes for output in node.output}

    def of(self, *kinds: str) -> list[onnx.NodeProto]:
        found = [node for node in self.nodes if node.op_type in kinds]
        assert found, f"no {kinds}"
        return found

    def inputs(self, *kinds: str) -> set[int]:
        """Dtypes that go into all nodes of these kinds."""
        return {self.dtypes[name] for node in self.of(*kinds) for name in node.input if name}


def test_file_is_whole_and_says_what_it_is(precision: Stored) -> None:
    file = made(precision)
    model = onnx.load(file.path)
    onnx.checker.check_model(model, full_check=True)
    (opset,) = [entry.version for entry in model.opset_import if not entry.domain]
    assert opset == (22 if precision == "bf16" else OPSET)
    assert not {"Attention", "GroupNormalization"} & {node.op_type for node in model.graph.node}
    values = [*model.graph.input, *model.graph.output]
    outputs = ["eps", "v"] if UNETS[precision].out_channels == 2 else ["eps"]
    assert [value.name for value in values] == ["x_t", "timesteps", *outputs]
    assert {value.type.tensor_type.elem_type for value in values} == {TensorProto.FLOAT}
    assert read_manifest(file.path).precision == precision
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY, CHECKSUM_KEY]


def test_file_tells_nothing_of_the_machine_that_made_it(precision: Stored) -> None:
    file = made(precision)
    contents = file.path.read_bytes()
    folders = [file.path.parent, Path(torch.__file__).parent, Path(baikal_export.__file__).parent, Path.cwd()]
    traces = [str(folder) for folder in (*folders, Path.home()) if len(folder.parts) > 1]
    for trace in [*traces, ".py", ".png", "site-packages", f"/{getpass.getuser()}/", socket.gethostname()]:
        assert len(trace) < 3 or trace.encode() not in contents, trace


def test_file_computes_what_the_checkpoint_does_at_shapes_that_were_not_traced(precision: Stored) -> None:
    file = made(precision)
    network, generator = file.trained.network(), torch.Generator().manual_seed(5)
    options = EngineOptions(threads=1, precision=precision)
    errors = []
    with (
        open_engine(ENGINES[precision], file.path, read_manifest(file.path), options) as engine,
        torch.no_grad(),
    ):
        for batch, height, width, t in [(1, 4, 6, 3.0), (3, 18, 10, 120.5), (2, 32, 2, 12.0)]:
            x = torch.randn(batch, 1, height, width, generator=generator)
            wanted = network(x, torch.full((batch,), t))
            found = [output for output in engine.predict(x.numpy(), t) if output is not None]
            for output, expected in zip(
                found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True
            ):
                assert output.dtype == np.float32
                errors.append(np.linalg.norm(output - expected.numpy()) / np.linalg.norm(expected.numpy()))
    assert max(errors) <= TOLERANCES[precision]
    assert max(errors) >= TOLERANCES[precision] / 100


@pytest.mark.parametrize("precision", ["fp16", "bf16"], indirect=True)
def test_planes_are_in_16_bits_and_timesteps_norms_and_softmax_in_32(precision: Stored) -> None:
    graph, half = Graph(made(precision).path), HALVES[precision]
    assert graph.inputs("Conv") == {half}
    assert graph.inputs("Gemm", "Sin", "Cos") == {TensorProto.FLOAT}
    assert graph.inputs("InstanceNormalization") == {TensorProto.FLOAT}
    assert half in graph.inputs("Add", "Mul", "Sigmoid", "Concat")
    if precision == "fp16":  # whose network has attention
        assert graph.inputs("MatMul") == {half}
        assert graph.inputs("Softmax") == {TensorProto.FLOAT}
    for name, weight in graph.weights.items():
        if name.startswith("net."):
            timestep = "embed." in name or "modulation." in name
            assert (weight.data_type == half) is not timestep, name
    assert not [node for node in graph.of("Cast") if node.input[0] in graph.weights]


def test_what_a_gpu_rounds_is_computed_with_operators_that_a_cpu_is_fast_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = made("fp16")
    monkeypatch.setattr(convert, "trace", lambda network, manifest: onnx.load(file.path))
    converted = convert.convert(file.trained.network(), read_manifest(file.path), NONE, NONE)
    assert converted.rounded is not None
    assert isinstance(converted.rounded.net, HalfNetwork)
    assert converted.rounded.net.emulated


def test_convolutions_are_in_8_bits_but_for_the_most_sensitive() -> None:
    file = made("int8")
    graph = Graph(file.path)
    kept = read_manifest(file.path).verification["details"]["calibration"]["fp32"]
    convolutions = {node.input[1]: node for node in graph.of("Conv")}
    plain = {name for name in convolutions if name in graph.weights}
    assert plain == {f"net.{name}.weight" for name in kept}
    assert 0 < len(plain) < len(convolutions)
    for name in set(convolutions) - plain:
        data, weights, bias = convolutions[name].input
        assert graph.makers[data].op_type == graph.makers[weights].op_type == "DequantizeLinear"
        assert graph.dtypes[graph.makers[weights].input[0]] == TensorProto.INT8
        assert graph.weights[bias].data_type == TensorProto.FLOAT
        scales = numpy_helper.to_array(graph.weights[graph.makers[weights].input[1]])
        assert len(set(scales.tolist())) == len(scales) > 1
    for node in graph.of("QuantizeLinear", "DequantizeLinear"):
        zero = graph.weights[node.input[2]]
        assert zero.data_type == TensorProto.INT8
        assert not numpy_helper.to_array(zero).any()


def test_network_without_a_convolution_for_int8_is_refused() -> None:
    model = onnx.load(made("int8").path)
    every = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    with pytest.raises(ModelError, match=f"no convolution .* within an error of {BUDGET:.0%}; choose"):
        quantised(model, every, [])


def test_tensorrt_takes_every_precision(
    precision: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path))
    (line,) = build_for(made(precision).path, [TENSORRT_RTX], (86,), "1x2x2,1x32x32,2x32x32")
    assert line.startswith("built tensorrt-rtx engine file")
