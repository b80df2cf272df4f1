"""Names and arguments of the vendors' that the engines use and the fakes stand in for: the real ones.

None of these can run here, but all can be imported and asked. They lie in folders of their own, since
versions of one package cannot be installed beside each other; ``make test`` brings them.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._tensorrt import evaluation as _trt_evaluation
from baikal_deploy.engines._tensorrt import family as _trt_compat
from baikal_deploy.engines._tensorrt import runtime as _trt_runtime
from tests.fakes import cuda_runtime, tensorrt

BINDINGS = Path(sys.prefix) / "bindings"
PACKAGES = {
    "tensorrt-10.16": ["tensorrt-cu13-bindings==10.16.1.11"],
    "tensorrt-11.4": ["tensorrt-cu13-bindings==11.4.0.106"],
    "cuda": ["cuda-bindings==13.5.0", "cuda-pathfinder==1.9.0"],
    "cupy": ["cupy-cuda13x==14.2.0"],
}
"""What lies in each folder."""
FAMILIES = ["tensorrt-10.16", "tensorrt-11.4", "tensorrt_rtx"]
MISSING_LIBRARIES = {
    "nvinfer": ["createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
                "getBuilderPluginRegistry", "getPluginRegistry"],
    "nvinfer_plugin": ["initLibNvInferPlugins"],
    "nvonnxparser": ["createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL",
                     "getNvOnnxParserVersion"],
}  # fmt: skip
"""Libraries of TensorRT that its bindings do not import without, and the functions that they look for."""
CLASSES = (
    tensorrt.ExecutionContextAllocationStrategy, tensorrt.ICudaEngine, tensorrt.IExecutionContext,
    tensorrt.ILogger, tensorrt.IRuntimeConfig, tensorrt.Runtime, tensorrt.TensorIOMode,
)  # fmt: skip
RTX_CLASSES = (
    tensorrt.ComputeCapability,
    tensorrt.CudaGraphStrategy,
    tensorrt.DynamicShapesKernelSpecializationStrategy,
    tensorrt.IRuntimeCache,
)
SURVEY = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
classes = {name: one for name, one in vars(module).items() if isinstance(one, type)}
found = {name: {at: getattr(one, at).__doc__ for at in dir(one)} for name, one in classes.items()}
found[""] = {name: one.__doc__ for name, one in vars(module).items()}
print(json.dumps(found, default=str))
"""

Survey = dict[str, dict[str, str | None]]
"""Documentation of each attribute of each class; "" is the module."""


def folder(name: str) -> Path:
    """That of a package; skips the test, with the command that brings it, where it is missing."""
    if not (BINDINGS / name).is_dir():
        packages = " ".join(PACKAGES[name])
        pytest.skip(f"bring the package: pip install --no-deps --target {BINDINGS / name} {packages}")
    return BINDINGS / name


def asked(code: str, *args: str, folders: tuple[Path, ...] = (), libraries: Path | None = None) -> Any:
    """What a program prints as JSON, that sees packages in these folders."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    command = [sys.executable, "-W", "ignore", "-c", code, *args]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Libraries with nothing in them in place of those that only NVIDIA's own index has."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, to make libraries that TensorRT's bindings can be imported with")
    made = tmp_path_factory.mktemp("libraries")
    for name, functions in MISSING_LIBRARIES.items():
        source = made / f"{name}.c"
        source.write_text("".join(f"void *{function}(void) {{ return 0; }}\n" for function in functions))
        for major in (10, 11):
            target = made / f"lib{name}.so.{major}"
            subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(target)], check=True)
    return made


@pytest.fixture(scope="session", params=FAMILIES)
def survey(request: pytest.FixtureRequest) -> tuple[str, Survey]:
    """Name of a TensorRT, and what it has."""
    name = request.param
    if name == "tensorrt_rtx":
        pytest.importorskip("tensorrt_rtx", reason="the extra dev brings tensorrt_rtx")
        return name, asked(SURVEY, name)
    where = folder(name)
    stubs = request.getfixturevalue("libraries")
    return name, asked(SURVEY, "tensorrt_bindings", folders=(where,), libraries=stubs)


def public(one: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(one).items():
        if not name.startswith("_"):
            yield name, value


def arguments(text: str | None, name: str) -> list[list[str]]:
    """Names of the arguments that a function takes by its documentation, one list for each way."""
    lines = [line for line in (text or "").splitlines() if re.match(rf"(\d+\. )?{name}\((?!\*args)", line)]
    inside = [re.search(r"\((.*?)\)(?: ->|$)", line) for line in lines]
    return [_names(match[1]) for match in inside if match]


def _names(inside: str) -> list[str]:
    """Of "self: Runtime, name: str = 'a'" as of "dst, size_t count"."""
    parts = [re.split(r"[:=]", part)[0].split() for part in re.split(r", (?=[\w ]+(?:[:,=]|$))", inside)]
    return [part[-1] for part in parts if part and part[-1] != "self"]


def own(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_versions_are_those_that_are_meant(survey: tuple[str, Survey]) -> None:
    name, found = survey
    assert "BuilderFlag" in found
    assert ("create_execution_context_without_device_memory" in found["ICudaEngine"]) == (
        name == "tensorrt-10.16"
    )


def test_names_of_running_exist_and_take_the_same_arguments(survey: tuple[str, Survey]) -> None:
    name, found = survey
    classes = [*CLASSES, *(RTX_CLASSES if name == "tensorrt_rtx" else ())]
    for one in classes:
        for attribute, value in public(one):
            where = f"{name}: {one.__name__}.{attribute}"
            assert attribute in found[one.__name__], where
            if inspect.isfunction(value):
                assert own(value) in arguments(found[one.__name__][attribute], attribute), where
    if name == "tensorrt_rtx":
        for attribute in ("create_runtime_cache", "set_runtime_cache"):
            value = getattr(tensorrt.RtxRuntimeConfig, attribute)
            assert own(value) in arguments(found["IRuntimeConfig"][attribute], attribute), attribute


def test_settings_of_tensorrt_rtx_exist_there_alone(survey: tuple[str, Survey]) -> None:
    name, found = survey
    for setting in tensorrt.RtxRuntimeConfig.__slots__:
        assert (setting in found["IRuntimeConfig"]) == (name == "tensorrt_rtx")


def test_names_of_building_exist(survey: tuple[str, Survey]) -> None:
    name, found = survey
    for one in _trt_compat.API + (_trt_compat.RTX_API if name == "tensorrt_rtx" else ()):
        holder, _, attribute = one.partition(".")
        assert attribute in found[holder], f"{name}: {one}"


def test_the_fakes_have_every_name_that_running_uses(survey: tuple[str, Survey]) -> None:
    _, found = survey
    classes = [one for one in CLASSES + RTX_CLASSES if one.__name__ in found]
    vendors = set(found[""]).union(*(found[one.__name__] for one in classes))
    fakes = {name for one in classes for name, _ in public(one)} | {one.__name__ for one in classes}
    used = set[str]()
    for module in (_trt_runtime, _trt_evaluation):
        nodes = ast.walk(ast.parse(inspect.getsource(module)))
        used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    ours = {"logger", "name", "profile", "uint8"} | set(tensorrt.RtxRuntimeConfig.__slots__)
    assert used & vendors - ours <= fakes


@pytest.fixture(scope="session")
def cuda() -> Survey:
    return asked(SURVEY, "cuda.bindings.runtime", folders=(folder("cuda"),))


def test_functions_of_cuda_exist_and_take_the_same_arguments(cuda: Survey) -> None:
    for name, value in public(cuda_runtime.Runtime):
        assert name in cuda[""], name
        if inspect.isfunction(value):
            assert own(value) in arguments(cuda[""][name], name), name
        elif isinstance(value, type):
            assert {member.name for member in value} <= cuda[name].keys()


def test_the_fake_has_every_function_of_cuda_that_is_called() -> None:
    called = set(re.findall(r"runtime(?:\(\))?\.(cuda\w+)", inspect.getsource(_cuda)))
    assert called == {name for name, _ in public(cuda_runtime.Runtime)} - {"cudaError_t"}


CALLS = """
import json
from cuda.bindings import runtime
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.errors import EngineError
numbers = {"cudaSuccess": _cuda.SUCCESS, "cudaErrorMemoryAllocation": _cuda.OUT_OF_MEMORY,
           "cudaErrorInsufficientDriver": _cuda.DRIVER_TOO_OLD, "cudaErrorNoDevice": _cuda.NO_DEVICE}
assert all(getattr(runtime.cudaError_t, name) == number for name, number in numbers.items())
said = {"driver": runtime.cudaDriverGetVersion()[1]}
ints = {"copy_to_device": 4, "copy_to_host": 4, "copy_on_device": 4, "record": 2, "order": 2, "launch": 2,
        "gpu": 0, "create_stream": 0, "create_event": 0}
for name in [*ints, "destroy_stream", "finish", "destroy_event", "wait", "allocate_host", "free_host",
             "destroy_graph", "capture", "check"]:
    args = {"capture": (1, print), "check": ("some", "extra")}.get(name, (1,) * ints.get(name, 1))
    try:
        said["driver"] or getattr(_cuda, name)(*args)
    except EngineError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def test_cuda_takes_what_it_is_given_and_says_that_there_is_no_driver() -> None:
    """Nothing can be called wrongly that the real package has answered: it converts arguments first."""
    said = asked(CALLS, folders=(folder("cuda"),))
    if said.pop("driver"):
        pytest.skip("there is a driver: the calls would be made")
    assert said.pop("check") == (
        "engine some: no NVIDIA driver is installed; install the NVIDIA driver for CUDA 13 (R580 or later)"
    )
    functions = {name for name, one in public(_cuda) if getattr(one, "__module__", "") == _cuda.__name__}
    assert said.keys() == functions - {"Gpu", "check", "no_gpu"}
    for message in said.values():
        assert re.match(r"CUDA: cuda\w+ failed \(cudaErrorInsufficientDriver: CUDA driver version", message)


CUPY = """
import inspect, json
import cupy
from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.errors import EngineUnavailable
from cupy.cuda import memory, runtime
from cupy.cuda.memory import OutOfMemoryError
from cupy.cuda.runtime import CUDARuntimeError
names = {name: list(inspect.signature(getattr(cupy, name)).parameters)
         for name in ("asarray", "ascontiguousarray", "asnumpy", "empty", "full")}
names["array"] = [name for name in ("data", "dtype", "nbytes", "shape") if hasattr(cupy.ndarray, name)]
names["pointer"] = [hasattr(memory.MemoryPointer, "ptr"), cupy.cuda.Stream.null.ptr]
names["stream"] = callable(cupy.cuda.get_current_stream) and callable(cupy.cuda.Stream.synchronize)
try:
    _cupy.check("some", "extra")
    names["check"] = ""
except EngineUnavailable as error:
    names["check"] = str(error)
print(json.dumps(names))
"""


@pytest.mark.slow
def test_functions_of_cupy_exist_and_it_says_that_there_is_no_driver() -> None:
    found = asked(CUPY, folders=(folder("cupy"), folder("cuda")))
    assert found["asarray"][:1] == found["ascontiguousarray"][:1] == found["asnumpy"][:1] == ["a"]
    assert found["empty"][:2] == ["shape", "dtype"]
    assert found["full"][:3] == ["shape", "fill_value", "dtype"]
    assert found["array"] == ["data", "dtype", "nbytes", "shape"]
    assert found["pointer"] == [True, 0]
    assert found["stream"]
    assert found["check"] in ("", f"engine some: no NVIDIA driver is installed; {no_driver()}")
    used = set(re.findall(r"cupy\.(\w+)", inspect.getsource(_cupy))) - {"cuda", "ndarray"}
    assert used <= found.keys()


def no_driver() -> str:
    return _cuda.no_gpu("some", _cuda.DRIVER_TOO_OLD, "", 0).fix
