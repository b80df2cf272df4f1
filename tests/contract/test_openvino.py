"""What is OpenVINO's own: precision, compiled models in the cache, shapes."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from baikal_deploy.engines import _openvino as compiler
from baikal_deploy.engines import _openvino_engine as shared
from baikal_deploy.engines import open_engine
from baikal_deploy.engines import openvino as engine_module
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError, EngineUnavailable
from baikal_deploy.host.machine import Cpu
from baikal_deploy.models.manifest import METADATA_KEY, Precision, read_manifest
from baikal_deploy.pixels.arrays import Planes
from tests.capabilities import require
from tests.contract.cases import CASES, MODELS, TOLERANCE, Case, error, planes, refused, works
from tests.contract.stored import stored
from tests.models import exported

X = planes(1, 1, 16, 16)
needs_bf16 = pytest.mark.skipif(not works("openvino", "bf16"), reason="this CPU cannot compute in bf16")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines"


def opened(precision: Precision = "fp32", path: Path | None = None) -> Engine:
    path = path or exported()
    return open_engine("openvino", path, read_manifest(path), EngineOptions(1, precision))


def evaluated(precision: Precision = "fp32", x: Planes = X) -> Planes:
    with opened(precision) as engine:
        return engine.predict(x, 300.0)[0]


def kept(cache: Path) -> Path:
    (file,) = cache.glob("*.openvino")
    return file


@pytest.mark.parametrize(
    ("kind", "precision", "computed"),
    [
        ("fp32", "fp32", "f32"),
        pytest.param("fp32", "bf16", "bf16", marks=needs_bf16),
        ("fp16", "fp32", "f32"),
        pytest.param("fp16", "bf16", "bf16", marks=needs_bf16),
        pytest.param("bf16", "bf16", "bf16", marks=needs_bf16),
        ("int8", "int8", "u8"),
    ],
)
def test_convolutions_compute_in_the_precision_that_was_asked_for(
    kind: Precision, precision: Precision, computed: str
) -> None:
    path = stored(kind, *MODELS[1])
    model = compiler.Model(path, read_manifest(path), EngineOptions(1, precision))
    operators = model.compile((1, 1, 16, 16)).get_compiled_model().get_runtime_model().get_ops()
    facts = [operator.get_rt_info() for operator in operators]
    convolutions = [one for one in facts if one["layerType"].astype(str) == "Convolution"]
    assert convolutions
    # Quantised convolutions read u8; the first reads the planes as they are.
    found = [one["runtimePrecision"].astype(str) for one in convolutions]
    assert set(found) == {computed}


def test_openvino_cannot_choose_another_precision_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for fp16 it computes in something else on CPUs that have none."""
    if "FP16" in compiler.capabilities():
        pytest.skip("this CPU computes in fp16")
    model = compiler.Model(exported(), read_manifest(exported()), EngineOptions(1))
    model.hint = model._settings["INFERENCE_PRECISION_HINT"] = "f16"
    with pytest.raises(EngineError, match=r"OpenVINO would compute in (f32|bf16) instead of f16"):
        model.compile((1, 1, 16, 16))


def test_bf16_is_refused_by_cpus_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenVINO says of this CPU is replaced, since it cannot be told to see another one."""
    monkeypatch.setattr(compiler, "capabilities", lambda: ["FP32", "INT8", "EXPORT_IMPORT"])
    with pytest.raises(EngineUnavailable, match="this CPU cannot compute in bf16") as caught:
        opened("bf16")
    assert "--precision fp32" in caught.value.fix
    assert evaluated("fp32").shape == X.shape


def test_threads_reach_openvino() -> None:
    for threads in (1, 2):
        model = compiler.Model(exported(), read_manifest(exported()), EngineOptions(threads))
        compiled = model.compile((1, 1, 16, 16)).get_compiled_model()
        assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
        assert compiled.get_property("NUM_STREAMS") == 1
        assert compiled.get_property("ENABLE_CPU_PINNING") is False


def test_few_compiled_models_are_held_whatever_shapes_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MOST_SHAPES", 2)
    sides = [16, 20, 24, 16, 20, 24, 24]
    with opened() as engine, open_engine("onnx-cpu", exported(), engine.manifest) as other:
        for side in sides:
            x = planes(1, 1, side, side)
            np.testing.assert_allclose(engine.predict(x, 300.0)[0], other.predict(x, 300.0)[0], atol=1e-4)
            assert len(engine._requests) <= 2  # type: ignore[attr-defined]


def test_a_compiled_model_is_kept_and_found_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = evaluated()
    key = json.loads((cache / f"{kept(cache).name}.json").read_text())["key"]
    assert (key["shape"], key["precision"]) == ([1, 1, 16, 16], "f32")
    assert compiler.version() in key["openvino"]
    monkeypatch.setattr(compiler.Model, "_compile", None)
    np.testing.assert_array_equal(evaluated(), before)
    with pytest.raises(TypeError):
        evaluated(x=planes(1, 1, 20, 16))


@needs_bf16
def test_each_precision_shape_and_model_has_a_file_of_its_own(cache: Path) -> None:
    evaluated()
    evaluated("bf16")
    evaluated(x=planes(2, 1, 16, 16))
    with opened(path=exported("eps", "learned_range")) as engine:
        engine.predict(X, 300.0)
    assert len(list(cache.glob("*.openvino"))) == 4


def test_files_that_were_not_used_for_longest_are_deleted(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "MOST_FILES", 2)
    evaluated()
    first = kept(cache)
    evaluated(x=planes(1, 1, 20, 16))
    (second,) = set(cache.glob("*.openvino")) - {first}
    half_written = cache / f"{first.name}.of-a-killed-process.partial"
    half_written.touch()
    for age, file in enumerate((half_written, first, second)):
        os.utime(file, (age, age))
    evaluated()
    evaluated(x=planes(1, 1, 24, 16))
    left = set(cache.glob("*.openvino"))
    assert len(left) == 2
    assert second not in left
    assert not half_written.exists()
    assert {file.name for file in cache.glob("*.json")} == {f"{file.name}.json" for file in left}


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :]


DAMAGE = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-1],
    "flipped in the header": lambda data: flipped(data, 60),
    "flipped in the weights": lambda data: flipped(data, len(data) // 3),
    "flipped near the end": lambda data: flipped(data, len(data) - 200),
    "longer": lambda data: data + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_compiled_again_with_a_line_that_says_so(
    damage: str, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, file = evaluated(), kept(cache)
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(evaluated(), before)
    (record,) = caplog.records
    assert str(file) in record.getMessage()
    assert "it is compiled again" in record.getMessage()
    assert "\n" not in record.getMessage()
    caplog.clear()
    np.testing.assert_array_equal(evaluated(), before)
    assert not caplog.records


def test_openvino_itself_would_not_notice_flipped_weights(cache: Path) -> None:
    """Why the cache is ours; if this fails, OpenVINO checks by itself now."""
    before = evaluated()
    data = kept(cache).read_bytes()
    results = []
    for place in range(1000, 20000, 1000):
        try:
            compiled = compiler._core().import_model(flipped(data, place), "CPU")
        except RuntimeError:
            continue
        results.append(compiled({"x_t": X, "timesteps": np.full(1, 300, np.float32)})[0])
    assert any(not np.array_equal(result, before) for result in results)


def test_a_file_with_another_ones_contents_is_refused(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, file = evaluated(), kept(cache)
    with opened(path=exported("eps", "learned_range")) as engine:
        engine.predict(X, 300.0)
    (other,) = set(cache.glob("*.openvino")) - {file}
    for suffix in ("", ".json"):
        shutil.copy(f"{other}{suffix}", f"{file}{suffix}")
    np.testing.assert_array_equal(evaluated(), before)
    assert "is another one: model" in caplog.text


def test_a_file_that_openvino_refuses_is_compiled_again(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its hash fits, as if OpenVINO itself had written what it cannot read."""
    before, file = evaluated(), kept(cache)
    key = json.loads((cache / f"{file.name}.json").read_text())["key"]
    compiler.files.write(file, b"nothing that was compiled", key)
    np.testing.assert_array_equal(evaluated(), before)
    assert "Cannot import compiled blob" in caplog.text


def test_without_a_cache_it_computes_all_the_same_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = evaluated()
    (tmp_path / "file").write_text("no folder can be made here")
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(evaluated(), before)
    assert str(tmp_path / "file") in caplog.text
    assert "set BAIKAL_CACHE to a folder that can" in caplog.text


def test_a_cache_that_others_can_write_to_is_not_read(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    require("modes")
    before = evaluated()
    cache.chmod(0o777)
    np.testing.assert_array_equal(evaluated(), before)
    assert "who could put code there" in caplog.text


def without_numbers(folder: Path) -> Path:
    """The tiny model with a weight that is NaN."""
    model = onnx.load(exported())
    weight = next(one for one in model.graph.initializer if len(one.dims) == 4)
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    del model.metadata_props[:]  # among them the hash of the weights
    model.metadata_props.add(key=METADATA_KEY, value=read_manifest(exported()).to_json())
    onnx.save(model, folder / "nan.onnx")
    return folder / "nan.onnx"


def test_planes_that_become_nan_are_an_error(cache: Path, tmp_path: Path) -> None:
    with (
        opened(path=without_numbers(tmp_path)) as engine,
        pytest.raises(EngineError, match=r"gave NaN for planes of numbers, in fp32; try another"),
    ):
        engine.predict(X, 300.0)


def test_nan_of_a_plane_itself_is_no_error(cache: Path) -> None:
    x = planes(2, 1, 16, 16)
    before = evaluated(x=x)
    x[1, 0, 3, 3] = np.nan
    after = evaluated(x=x)
    np.testing.assert_array_equal(after[0], before[0])
    assert np.isnan(after[1]).any()


@pytest.mark.parametrize(
    ("features", "refused"), [({"AMX": True}, True), ({"AMX": False}, False), (None, True)]
)
def test_narrow_planes_are_refused_where_amx_would_compute_them(
    cache: Path, monkeypatch: pytest.MonkeyPatch, features: dict[str, bool] | None, refused: bool
) -> None:
    """The CPU is made up, since there is one here only."""
    monkeypatch.setattr(engine_module.machine, "cpu", lambda: Cpu(None, None, features))
    path = stored("int8", *MODELS[1])
    with opened("int8", path) as engine:
        if refused:
            with pytest.raises(EngineError, match=r"4 pixels wide wrongly in int8 .* at least 8 wide"):
                engine.predict(planes(2, 1, 64, 4), 300.0)
        else:
            engine.predict(planes(2, 1, 64, 4), 300.0)
        engine.predict(planes(1, 1, 4, 8), 300.0)
    evaluated(x=planes(2, 1, 64, 4))  # in fp32
    assert bool(engine_module.OpenVino.caution("int8")) is refused
    assert not engine_module.OpenVino.caution("fp32")


REPEATS = int(os.environ.get("BAIKAL_REPEATS", "50"))
"""Evaluations of each shape by each of two compiled models, by each number of threads."""
SHAPES = [
    (1, 1, 4, 4),
    (1, 1, 8, 12),
    (2, 1, 64, 4),
    (3, 1, 20, 16),
    (7, 1, 12, 36),
    (1, 1, 64, 64),
    (2, 1, 36, 132),
]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("case", [case for case in CASES if case.engine == "openvino"], ids=str)
def test_repeated_evaluations_are_the_same_and_right(case: Case, threads: int, cache: Path) -> None:
    """Whatever is read that nobody wrote shows as bits that differ, as NaN, or as too large an error.

    Each round compiles anew, into memory that others have left behind. BAIKAL_REPEATS=1000 looks longer.
    """
    path = stored("fp32", *case.model)
    with open_engine("onnx-cpu", path, read_manifest(path), EngineOptions(1)) as reference:
        expected = {shape: reference.predict(planes(*shape), 300.0)[0] for shape in SHAPES}
    found: dict[tuple[int, ...], Planes] = {}
    for _ in range(2):
        with case.open(threads) as engine:
            for number, shape in product(range(REPEATS), SHAPES):
                if refused(engine, shape):
                    continue
                eps, _ = engine.predict(planes(*shape), 300.0)
                same = np.array_equal(found.setdefault(shape, eps), eps)
                assert same, f"evaluation {number} of {shape} differs from the first"
    for shape, eps in found.items():
        assert error(eps, expected[shape]) < TOLERANCE[case.precision] + TOLERANCE[case.stored], shape


CRASH = """
import sys
from pathlib import Path
import numpy as np
from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import read_manifest
path, x = Path(sys.argv[1]), np.ones((1, 1, 32, 32), np.float32)
with (
    open_engine("openvino", path, read_manifest(path), EngineOptions(1)) as engine,
    open_engine("onnx-cpu", path, read_manifest(path), EngineOptions(1)) as other,
):
    found, expected = engine.predict(x, 3.0)[0], other.predict(x, 3.0)[0]
    engine.predict(x[..., :16], 3.0)
    assert list(engine._requests) == [(-1, 1, -1, -1)]
print(float(np.abs(found - expected).max() / np.abs(expected).max()))
"""


def test_scaled_group_norms_of_opset_21_do_not_crash_in_fp32(cache: Path, tmp_path: Path) -> None:
    """In a process of its own: OpenVINO 2026.4 ends it if they are compiled for a fixed shape."""
    path = tmp_path / "norms.onnx"
    onnx.save(scaled_norms(), path)
    command = [sys.executable, "-c", CRASH, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5


def scaled_norms() -> onnx.ModelProto:
    """Convolution, group norm, scale and shift that follow from the timestep, convolution."""
    generator = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)

    def values(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    node = helper.make_node
    nodes = [
        node("Conv", ["x_t", "first", "bias"], ["h"], pads=[1] * 4),
        node("GroupNormalization", ["h", "gain", "offset"], ["normed"], num_groups=4),
        node("Unsqueeze", ["timesteps", "axis_1"], ["t"]),
        node("Gemm", ["t", "embedding", "embedding_bias"], ["embedded"]),
        node("Unsqueeze", ["embedded", "axes_2_3"], ["film"]),
        node("Split", ["film"], ["scale", "shift"], axis=1, num_outputs=2),
        node("Add", ["scale", "one"], ["gain_1"]),
        node("Mul", ["normed", "gain_1"], ["scaled"]),
        node("Add", ["scaled", "shift"], ["shifted"]),
        node("Conv", ["shifted", "last"], ["eps"], pads=[1] * 4),
    ]
    inputs = [values("x_t", "n", 1, "h", "w"), values("timesteps", "n")]
    constants = [
        weights("first", 16, 1, 3, 3), weights("bias", 16), weights("gain", 16), weights("offset", 16),
        weights("embedding", 1, 32), weights("embedding_bias", 32), weights("last", 1, 16, 3, 3),
        onnx.numpy_helper.from_array(np.float32(1), "one"),
        onnx.numpy_helper.from_array(np.array([1]), "axis_1"),
        onnx.numpy_helper.from_array(np.array([2, 3]), "axes_2_3"),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "norms", inputs, [values("eps", "n", 1, "h", "w")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    manifest = replace(read_manifest(exported()), name="norms")
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    return model
