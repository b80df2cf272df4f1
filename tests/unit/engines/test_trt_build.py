"""Engine files are built by the real builder of TensorRT for RTX, which needs no GPU for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from baikal_deploy.engines._kept_files import engine_folder, sidecar_path
from baikal_deploy.engines._tensorrt import build as _trt_build
from baikal_deploy.engines._tensorrt.build import Profile, build_engine
from baikal_deploy.engines._tensorrt.family import TENSORRT_RTX, first_error, forget_errors, load, logger
from baikal_deploy.errors import ConfigError, EngineBuildError, EngineUnavailable, ModelError
from baikal_deploy.models.manifest import Precision
from tests.models import exported, tiny_checkpoint, tiny_manifest

SMALL = Profile((1, 8, 8), (1, 32, 32), (2, 64, 64))
FROM_HERE = replace(TENSORRT_RTX, portable=False)
"""Takes the way of TensorRT, with its timing cache; its real builder cannot be had without a GPU."""
MANIFEST = tiny_manifest(tiny_checkpoint("eps"))


@pytest.fixture(scope="session")
def rtx() -> Any:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed; the extra dev has it")
    return load(TENSORRT_RTX)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path / "cache"))
    return engine_folder()


def in_half(model: onnx.ModelProto, dtype: int, leave: int = 0) -> onnx.ModelProto:
    """The network with its convolutions in ``dtype``, but for the last ``leave`` of them."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    nodes = []
    for node in model.graph.node:
        if node not in convolutions[: len(convolutions) - leave]:
            nodes.append(node)
            continue
        casts = [helper.make_node("Cast", [one], [f"{node.name}/{one}"], to=dtype) for one in node.input]
        back = helper.make_node("Cast", [f"{node.name}/out"], [node.output[0]], to=TensorProto.FLOAT)
        node.input[:], node.output[0] = [f"{node.name}/{one}" for one in node.input], f"{node.name}/out"
        nodes += [*casts, node, back]
    return with_nodes(model, nodes)


def quantised(model: onnx.ModelProto, dtype: int) -> onnx.ModelProto:
    """The network with the inputs and weights of its convolutions in ``dtype``."""
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.05])
    model.graph.initializer.extend([scale, helper.make_tensor("zero", dtype, [], [0])])
    nodes = []
    for node in model.graph.node:
        for index in range(2 if node.op_type == "Conv" else 0):
            kept, name = node.input[index], f"{node.name}/{index}"
            nodes.append(helper.make_node("QuantizeLinear", [kept, "scale", "zero"], [f"{name}/q"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}/q", "scale", "zero"], [name]))
            node.input[index] = name
        nodes.append(node)
    return with_nodes(model, nodes)


def with_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(kept)
    return model


def of_one_node(operator: str, opset: int = 20, domain: str = "", **values: Any) -> onnx.ModelProto:
    """A graph with the interface of a model, whose eps one node gives."""
    shapes = {"x_t": ["n", 1, "h", "w"], "timesteps": ["n"], "eps": ["n", 1, "h", "w"]}
    info = {
        key: helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in shapes.items()
    }
    inputs = values.pop("inputs", ["x_t"])
    node = helper.make_node(operator, inputs, ["eps"], name="the_node", domain=domain, **values)
    graph = helper.make_graph([node], "one", [info["x_t"], info["timesteps"]], [info["eps"]])
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=11)


@pytest.fixture
def tiny() -> onnx.ModelProto:
    return onnx.load(exported("eps"))


@pytest.fixture
def build(rtx: Any, tmp_path: Path) -> Callable[..., bytes]:
    """Build for a graph that claims a precision."""

    def built(
        model: onnx.ModelProto | Path,
        precision: Precision = "fp32",
        sms: tuple[int, ...] = (86,),
        profile: Profile = SMALL,
        **claims: Any,
    ) -> bytes:
        path = model if isinstance(model, Path) else tmp_path / "model.onnx"
        if not isinstance(model, Path):
            onnx.save(model, path)
        manifest = replace(MANIFEST, precision=precision, **claims)
        return build_engine(TENSORRT_RTX, path, manifest, profile, sms)

    return built


@pytest.mark.parametrize("sms", [(86,), (120,), (80, 86, 89, 120)], ids=str)
def test_fp32_is_built_for_each_gpu_that_is_named(build: Callable[..., bytes], sms: tuple[int, ...]) -> None:
    assert len(build(exported("eps"), sms=sms)) > 100_000


def test_both_outputs_are_built_with_learned_range(build: Callable[..., bytes]) -> None:
    path = exported("eps", "learned_range")
    assert len(build(path, variance="learned_range")) > 100_000
    with pytest.raises(EngineBuildError, match="its outputs are eps, v, not eps;"):
        build(path)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)]
)
def test_half_precisions_are_built(
    build: Callable[..., bytes], tiny: onnx.ModelProto, precision: str, dtype: int
) -> None:
    assert len(build(in_half(tiny, dtype), precision)) > 100_000


def test_int8_is_built(build: Callable[..., bytes], tiny: onnx.ModelProto) -> None:
    assert len(build(quantised(tiny, TensorProto.INT8), "int8")) > 100_000


def test_two_threads_may_build_and_each_gets_its_own_error(
    build: Callable[..., bytes], tmp_path: Path
) -> None:
    attention = tmp_path / "attention.onnx"
    onnx.save(of_one_node("Attention", opset=23, inputs=["x_t", "x_t", "x_t"]), attention)

    def reason(number: int) -> str:
        path, sms = (attention, (86,)) if number % 2 else (exported("eps"), (75,))
        with pytest.raises(EngineBuildError) as caught:
            build(path, sms=sms)
        return str(caught.value)

    with ThreadPoolExecutor(4) as pool:
        for number, text in enumerate(pool.map(reason, range(12))):
            assert ("Attention operation" if number % 2 else "FP32 GEMM") in text


# What cannot be built


def refused(
    error: type[Exception], match: str, function: Callable[..., bytes], *args: Any, **more: Any
) -> str:
    with pytest.raises(error, match=match) as caught:
        function(*args, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert ".onnx" in message
    return message


@pytest.mark.parametrize("operator", ["Det", "Unique"])
def test_an_operator_that_is_not_supported_is_named_with_its_node(
    build: Callable[..., bytes], operator: str
) -> None:
    message = refused(EngineBuildError, "cannot be parsed", build, of_one_node(operator))
    assert f"node the_node ({operator}), UNSUPPORTED_NODE" in message


def test_an_operator_of_an_unknown_plugin_is_named(build: Callable[..., bytes]) -> None:
    message = refused(EngineBuildError, "cannot be parsed", build, of_one_node("Bogus", domain="a.domain"))
    assert "node the_node (Bogus)" in message
    assert "Plugin not found" in message


def test_attention_of_opset_23_parses_and_cannot_be_built_in_fp32(build: Callable[..., bytes]) -> None:
    model = of_one_node("Attention", opset=23, inputs=["x_t", "x_t", "x_t"])
    message = refused(
        EngineBuildError, "TensorRT for RTX .* cannot build it for profile 1x8x8,", build, model
    )
    assert "Attention operation was not supported" in message


def test_a_wrong_size_is_an_axis_mismatch(build: Callable[..., bytes]) -> None:
    """Where the manifest is wrong about the downsampling, which is 4; else the profile is refused."""
    odd = Profile((1, 6, 6), (1, 6, 6), (1, 6, 6))
    refused(
        EngineBuildError,
        "axis 2 dimensions must be equal",
        build,
        exported("eps"),
        profile=odd,
        downsampling=2,
    )
    with pytest.raises(ConfigError, match="multiples of 4, not 6x6"):
        build(exported("eps"), profile=odd)


def test_shapes_without_a_profile_are_refused_by_the_builder(
    build: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_trt_build, "_add_profile", lambda builder, config, profile: None)
    refused(EngineBuildError, "no optimization profile has been defined", build, exported("eps"))


def test_a_graph_of_fixed_shape_is_refused_for_others(build: Callable[..., bytes]) -> None:
    model = of_one_node("Neg")
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    refused(EngineBuildError, "cannot build it for profile", build, model)


@pytest.mark.parametrize("sms", [(75,), (75, 86)], ids=str)
def test_turing_has_no_matrix_products_in_fp32(build: Callable[..., bytes], sms: tuple[int, ...]) -> None:
    refused(EngineBuildError, r"Turing \(SM75\): FP32 GEMM is not supported", build, exported("eps"), sms=sms)


def test_bf16_is_refused_for_a_gpu_that_lacks_it(build: Callable[..., bytes], tiny: onnx.ModelProto) -> None:
    model = in_half(tiny, TensorProto.BFLOAT16)
    refused(EngineBuildError, "HW-specific datatypes: b16", build, model, "bf16", sms=(75,))


@pytest.mark.parametrize("sms", [(), (90,), (86, 100)], ids=str)
def test_other_gpus_are_refused(build: Callable[..., bytes], sms: tuple[int, ...]) -> None:
    with pytest.raises(EngineBuildError, match="compute capability"):
        build(exported("eps"), sms=sms)


@pytest.mark.parametrize("contents", [b"no protobuf at all", None], ids=["garbage", "missing"])
def test_what_is_no_model_file_is_a_model_error(
    build: Callable[..., bytes], contents: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.onnx"
    if contents is not None:
        path.write_bytes(contents)
    refused(ModelError, "damaged.onnx: cannot be parsed", build, path)


def test_a_builder_that_finds_no_gpu_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock of TensorRT's module: the real one, which fails like this, needs libraries that are not here."""

    class Tensorrt:
        __version__ = "11.4.0.106"

        class ILogger:
            ERROR = 1

        class Builder:
            def __init__(self, logger: Any) -> None:
                logger.log(1, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setitem(sys.modules, "tensorrt", Tensorrt)
    with pytest.raises(EngineUnavailable, match=r"finds no GPU to build for \(CUDA initialization failure"):
        build_engine(_trt_build.compat.TENSORRT, exported("eps"), MANIFEST, SMALL)


# The dtype audit


@pytest.mark.parametrize(
    ("claimed", "problem"),
    [("fp16", "convolution .* has FLOAT, not HALF"), ("bf16", "convolution .* has FLOAT, not BF16"),
     ("int8", "nothing in it is quantised")],
)  # fmt: skip
def test_an_fp32_graph_that_claims_another_precision_is_refused(
    build: Callable[..., bytes], claimed: str, problem: str
) -> None:
    refused(EngineBuildError, f"not a model in {claimed}.*{problem}", build, exported("eps"), claimed)


@pytest.mark.parametrize("claimed", ["fp32", "bf16", "int8"])
def test_an_fp16_graph_that_claims_another_precision_is_refused(
    build: Callable[..., bytes], tiny: onnx.ModelProto, claimed: str
) -> None:
    model = in_half(tiny, TensorProto.FLOAT16)
    refused(EngineBuildError, f"not a model in {claimed}.* has .*HALF", build, model, claimed)


def test_one_convolution_that_stayed_in_fp32_is_found(
    build: Callable[..., bytes], tiny: onnx.ModelProto
) -> None:
    model = in_half(tiny, TensorProto.FLOAT16, leave=1)
    last = [node.name for node in tiny.graph.node if node.op_type == "Conv"][-1]
    refused(EngineBuildError, f"convolution {last} has FLOAT, not HALF", build, model, "fp16")


def test_fp8_is_none_of_our_precisions(build: Callable[..., bytes], tiny: onnx.ModelProto) -> None:
    model = quantised(tiny, TensorProto.FLOAT8E4M3FN)
    refused(EngineBuildError, "not a model in int8.* has FP8", build, model, "int8", sms=(89,))


def test_fp8_is_refused_by_the_builder_for_a_gpu_that_lacks_it(
    build: Callable[..., bytes], tiny: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_trt_build, "audit", lambda *args: None)
    model = quantised(tiny, TensorProto.FLOAT8E4M3FN)
    refused(
        EngineBuildError, "cannot compile for target.*sm86.*fp8".replace("cannot", ".annot"), build, model
    )


@pytest.mark.parametrize("name", ["x_t", "timesteps", "eps"])
def test_inputs_and_outputs_stay_in_fp32(build: Callable[..., bytes], name: str) -> None:
    model = of_one_node("Neg")
    for value in (*model.graph.input, *model.graph.output):
        if value.name == name or name != "timesteps" != value.name:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    refused(EngineBuildError, "is HALF, not FLOAT", build, model, "fp16")


def test_a_graph_with_other_inputs_is_refused(build: Callable[..., bytes]) -> None:
    model = of_one_node("Neg", inputs=["image"])
    model.graph.input[0].name = "image"
    refused(EngineBuildError, "its inputs are image, timesteps, not x_t, timesteps", build, model)


# The way of TensorRT, with the builder of TensorRT for RTX


@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")
def test_the_timing_cache_is_kept_and_used_again(
    rtx: Any, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert build_engine(FROM_HERE, exported("eps"), MANIFEST, SMALL)
    (kept,) = cache.glob("*.timing")
    assert kept.stat().st_size > 0
    assert not caplog.records
    sidecar_path(kept).write_text("{}")
    assert build_engine(FROM_HERE, exported("eps"), MANIFEST, SMALL)
    (record,) = caplog.records
    assert "has a damaged sidecar; beginning a new one" in record.getMessage()


def test_portable_families_keep_no_timing_cache(build: Callable[..., bytes], cache: Path) -> None:
    build(exported("eps"))
    assert not cache.exists()


def test_an_engine_file_needs_a_driver_to_be_read(rtx: Any, build: Callable[..., bytes]) -> None:
    data = build(exported("eps"))
    forget_errors(rtx)
    if rtx.Runtime(logger(rtx)).deserialize_cuda_engine(data) is not None:
        pytest.skip("this machine has a GPU")
    assert "CUDA driver" in first_error(rtx)
