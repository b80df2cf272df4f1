"""OpenVINO's devices: models compiled for a shape, and kept once compiled. The only file that imports it.

OpenVINO has a cache of its own, but takes from it whatever is there: with some bits of the weights
flipped it computed other pixels and said nothing. So compiled models are kept as engine files are.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baikal_deploy.engines import _kept_files as files
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import EngineError, EngineUnavailable, ModelError
from baikal_deploy.host import machine
from baikal_deploy.host.extras import install
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.models.onnx_file import model_sha256

if TYPE_CHECKING:
    import openvino

Shape = tuple[int, ...]
"""Shape (N, 1, H, W) of planes; -1 for a side that may be any."""
ANY: Shape = (-1, 1, -1, -1)
CPU, GPU = "CPU", "GPU"
"""Devices, as OpenVINO calls them; of several GPUs it takes the first."""
MOST_FILES = 32
"""Compiled models that are kept on disk; those used last."""

_log = logging.getLogger(__name__)


def check(name: str, precision: Precision) -> None:
    """Raise EngineUnavailable unless OpenVINO is installed and this CPU has what the precision needs."""
    features = machine.cpu().features
    if precision == "bf16" and features is not None and not features["BF16"]:
        raise _no_bf16(name)  # without the time that importing OpenVINO takes
    if find_spec("openvino") is None:
        raise EngineUnavailable(f"engine {name}: OpenVINO is not installed", install("openvino"))
    try:
        import openvino  # noqa: F401

        found = capabilities()
    except Exception as error:  # a missing library, one of another version, or whatever it runs into
        raise EngineUnavailable(
            f"engine {name}: OpenVINO cannot be used ({reason(error)})", install("openvino", again=True)
        ) from error
    if precision == "bf16" and "BF16" not in found:
        raise _no_bf16(name)


def _no_bf16(name: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"engine {name}: this CPU cannot compute in bf16 (it has neither AVX512-BF16 nor AMX-BF16)",
        "choose --precision fp32, or a CPU that can (AMD from Zen 4, Intel Xeon from Sapphire Rapids)",
    )


def capabilities() -> list[str]:
    """Types that OpenVINO can compute in on this CPU, such as "FP32" and "BF16"."""
    return list(_core().get_property(CPU, "OPTIMIZATION_CAPABILITIES"))


def check_gpu(name: str) -> None:
    """Raise EngineUnavailable unless OpenVINO, which is installed, finds a GPU."""
    try:
        gpu_name()
    except RuntimeError as error:
        raise EngineUnavailable(
            f"engine {name}: OpenVINO finds no Intel GPU with its driver ({reason(error)})",
            "install the driver of the Intel GPU; on Linux intel-opencl-icd too",
        ) from error


def gpu_name() -> str:
    """Name of the GPU. Raises RuntimeError where there is none."""
    return str(_core().get_property(GPU, "FULL_DEVICE_NAME"))


def version() -> str:
    """Version of OpenVINO in full, with the build."""
    import openvino

    return str(openvino.__version__)


class Model:
    """A model in a precision, to be compiled for one shape after the other.

    Attributes:
        hint: the precision, as OpenVINO calls it.
        outputs: how many there are; once compiled it may have more.
        any_shape: whether it can only be compiled for any shape.

    Raises:
        ModelError: OpenVINO cannot read the file.
    """

    def __init__(
        self, path: Path, manifest: ModelManifest, options: EngineOptions, device: str = CPU
    ) -> None:
        # A file that stores int8 or bf16 says itself what is computed in what; the hint is for the rest.
        stored = manifest.precision in ("int8", "bf16")
        self.hint = "bf16" if options.precision == "bf16" and not stored else "f32"
        self._device = device
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self.hint,  # OpenVINO's own choice may be bf16, or fp16 on a GPU
            "NUM_STREAMS": 1,
        }
        if device == CPU:
            self._settings |= {
                "INFERENCE_NUM_THREADS": options.cores,
                "ENABLE_CPU_PINNING": False,  # other processes may have been given the same cores
            }
        self._sha256 = model_sha256(path)  # first, since OpenVINO would try to read anything as something
        try:
            self._model = _core().read_model(path)
            self.outputs = len(self._model.outputs)
            if self.hint == "bf16":
                _keep_timesteps_precise(self._model)
        except RuntimeError as error:
            raise ModelError(f"{path}: OpenVINO cannot load it ({reason(error)})") from error
        operators = {operator.get_type_name() for operator in self._model.get_ops()}
        # compile_model of 2026.4 crashes on scaled and shifted group norms of a fixed shape in fp32.
        self.any_shape = self.hint == "f32" and "GroupNormalization" in operators

    def compile(self, shape: Shape) -> openvino.InferRequest:
        """The model for planes of this shape, or of ANY, ready to compute.

        Raises:
            EngineError: it would compute in another precision than it should.
            RuntimeError: OpenVINO cannot compile it.
        """
        key = self._key(shape)
        # What is compiled for a GPU depends on its driver, which OpenVINO does not name: it is not kept.
        compiled = (self._device == CPU and self._kept(key)) or self._compile(key)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if precision != self.hint:
            raise EngineError(f"OpenVINO would compute in {precision} instead of {self.hint}")
        return compiled.create_infer_request()

    def _key(self, shape: Shape) -> dict[str, Any]:
        return {
            "model": self._sha256,
            "openvino": version(),
            "precision": self.hint,
            "shape": list(shape),
            "cpu": f"{_core().get_property(CPU, 'FULL_DEVICE_NAME')} {' '.join(capabilities())}",
        }

    def _kept(self, key: dict[str, Any]) -> openvino.CompiledModel | None:
        """The compiled model that was kept under this key, unless a check fails."""
        path = _path(key)
        if not path.exists():
            return None
        try:
            files.check_folder()
            compiled = _core().import_model(files.read(path, key), CPU, self._settings)
            with contextlib.suppress(OSError):  # it is as good where nothing can be written
                path.touch()
            return compiled
        except (files.Refused, RuntimeError) as error:
            _log.warning("compiled model %s %s; it is compiled again", path, reason(error))
        except EngineError as error:
            _log.warning("%s; the model is compiled again", error)
        return None

    def _compile(self, key: dict[str, Any]) -> openvino.CompiledModel:
        shape = key["shape"]
        self._model.reshape({"x_t": shape, "timesteps": shape[:1]})
        compiled = _core().compile_model(self._model, self._device, self._settings)
        if self._device != CPU:
            return compiled
        try:
            _keep(key, compiled.export_model().getvalue())
        except EngineError as error:  # it serves all the same, and is compiled again next time
            _log.warning("%s", error)
        return compiled


def _keep_timesteps_precise(model: openvino.Model) -> None:
    """Make an output of the model of what the embedding of the timesteps is computed from.

    In bf16 timesteps from 512 on would be rounded to multiples of 4, and the phases of their embedding
    likewise. But between the last matrix product and an output OpenVINO computes in fp32.
    """
    planes, timesteps = ({model.input(name).get_node().get_name()} for name in ("x_t", "timesteps"))
    sources = []
    for operator in model.get_ordered_ops():
        inputs = [one.get_source_output() for one in operator.inputs()]
        kind, names = operator.get_type_name(), {one.get_node().get_name() for one in inputs}
        if kind != "ShapeOf" and not planes.isdisjoint(names):
            planes.add(operator.get_name())
        elif kind in ("MatMul", "Convolution"):
            sources += [one for one in inputs if one.get_node().get_name() in timesteps]
        elif not timesteps.isdisjoint(names):
            timesteps.add(operator.get_name())
    model.add_outputs(sources)


@functools.cache
def _core() -> openvino.Core:
    import openvino

    return openvino.Core()


def _path(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return files.engine_folder() / f"{digest}.openvino"


def _keep(key: dict[str, Any], data: bytes) -> None:
    """Keep a compiled model, without the lock of engine files, which may take minutes to build.

    Of two processes that keep the same one prevails; a mixture of theirs would be refused.
    """
    folder = files.engine_folder()
    files.write(_path(key), data, key)
    kept = [*folder.glob("*.openvino"), *folder.glob("*.openvino*.partial")]  # the latter of killed processes
    with contextlib.suppress(FileNotFoundError):  # another process was quicker
        for old in sorted(kept, key=lambda path: path.stat().st_mtime)[:-MOST_FILES]:
            files.discard(old)


def reason(error: Exception) -> str:
    """One line of OpenVINO's message, without the place in its source that it names."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    return " ".join(told) or type(error).__name__
