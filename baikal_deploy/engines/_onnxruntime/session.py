"""Base of the engines of ONNX Runtime. The only file that imports it."""

from __future__ import annotations

import contextlib
import ctypes
import io
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError, EngineUnavailable, ModelError
from baikal_deploy.host.extras import install
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

if TYPE_CHECKING:
    import onnxruntime

Providers = list[str | tuple[str, dict[str, Any]]]
_CONVOLUTION = (
    b'\x08\x08\x12\x00:\x96\x01\n"\n\x01x\n\x01w\x12\x01y"\x04Conv*\x11\n\x04pads@\x01@\x01@\x01@\x01\xa0\x01\x07'
    b'\x12\x01g*3\x08\x01\x08\x01\x08\x03\x08\x03\x10\x01"$' + 9 * b"\x00\x00\x80?" + b"B\x01w"
    b"Z\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x08\n\x02\x08\x08"
    b"b\x1b\n\x01y\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x08\n\x02\x08\x08B\x04\n\x00\x10\x14"
)
"""An ONNX model of one convolution: planes x (1, 1, 8, 8), and their sums over 3 x 3 pixels y."""
_NO_NODES = (
    b'\x08\n:#\x12\x01g*\r\x08\x01\x10\x01"\x04\x00\x00\x00\x00B\x01a'
    b"b\x0f\n\x01a\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x14"
)
"""An ONNX model whose output is a constant. It loads at once on any provider that can be had."""
_WARNING, _ERROR, _FATAL = 2, 3, 4
"""Severities of ONNX Runtime's log; the first is its default."""
_LIBRARIES = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "tensorrt"}


class OnnxRuntimeEngine(Engine):
    """A session whose execution providers are those that were asked for, and no other.

    Asked for a provider that it cannot have, ONNX Runtime logs a line and computes on the CPU.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, manifest: ModelManifest, options: EngineOptions
    ) -> None:
        self.manifest, self.precision = manifest, options.precision
        self._session: onnxruntime.InferenceSession | None = session

    @classmethod
    def version(cls) -> str:
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        feed = {"x_t": np.ascontiguousarray(x_t), "timesteps": np.full(len(x_t), t, dtype=np.float32)}
        try:
            outputs = self.session.run(None, feed)
        except Exception as error:  # ONNX Runtime has no common base for what it raises here
            raise EngineError(f"engine {self.name}: evaluation failed ({first_line(error)})") from error
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The open session. Raises EngineError after ``close``."""
        if self._session is None:
            raise EngineError(f"engine {self.name}: used after close")
        return self._session

    def close(self) -> None:
        self._session = None


def check_installed(name: str, package: str, extra: str) -> None:
    """Raise EngineUnavailable unless ``package`` provides ONNX Runtime, no other package does, and it loads.

    ``onnxruntime`` and ``onnxruntime-gpu`` install the same files: the last one wins, and removing
    either breaks both.
    """
    installed = [one for one in ("onnxruntime", "onnxruntime-gpu") if _is_installed(one)]
    if find_spec("onnxruntime") is None:
        raise EngineUnavailable(f"engine {name}: ONNX Runtime is not installed", install(extra))
    if len(installed) == 2:
        raise EngineUnavailable(
            f"engine {name}: onnxruntime and onnxruntime-gpu are both installed and overwrite each other",
            f"pip uninstall onnxruntime onnxruntime-gpu, then {install(extra)}",
        )
    if package == "onnxruntime-gpu" and installed == ["onnxruntime"]:
        raise EngineUnavailable(
            f"engine {name}: the installed ONNX Runtime is the one for CPUs",
            f"pip uninstall onnxruntime, then {install(extra)}",
        )
    try:
        import onnxruntime  # noqa: F401
    except Exception as error:  # a missing library, one of another version, or whatever it runs into
        raise EngineUnavailable(
            f"engine {name}: ONNX Runtime cannot be imported ({first_line(error)})",
            install(extra, again=True),
        ) from error


def check_provider(name: str, provider: str, fix: str, *, convolves: bool = False) -> None:
    """Raise EngineUnavailable, with ``fix``, unless a session gets this execution provider.

    That the package was built with it, which is all that ``get_available_providers`` tells, is not enough.
    Nor is a session: libraries such as cuDNN are loaded when the first convolution is computed.

    Args:
        name: of the engine that needs it.
        provider: its name.
        fix: what to do where it cannot be had.
        convolves: whether a convolution is computed on it.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL
    onnxruntime.set_default_logger_severity(_FATAL)  # what it has to say is said below
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()  # from the packages of NVIDIA's, where the loader would not look
        model = _CONVOLUTION if convolves else _NO_NODES
        session = onnxruntime.InferenceSession(model, settings, providers=[provider], enable_fallback=0)
        if provider not in session.get_providers():
            reason = ""
        elif not convolves or _sums(session):
            return
        else:
            reason = "it computes a convolution wrongly"
    except Exception as error:  # ONNX Runtime has no common base for what it raises here
        reason = first_line(error)
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)
    raise EngineUnavailable(
        f"engine {name}: ONNX Runtime has no {provider} here ({_missing_library(provider) or reason})", fix
    )


def _sums(session: onnxruntime.InferenceSession) -> bool:
    """True if a session of ``_CONVOLUTION`` computes what it should."""
    (found,) = session.run(None, {"x": np.ones((1, 1, 8, 8), np.float32)})
    return bool(found[0, 0, 0, 0] == 4 and found[0, 0, 4, 4] == 9)


def without_waiting() -> onnxruntime.RunOptions:
    """Options of a call that returns before the GPU has done its work."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


def _missing_library(provider: str) -> str:
    """Words of the system's loader about the library of a provider that ONNX Runtime could not load."""
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    for library in folder.glob(f"*onnxruntime_providers_{_LIBRARIES[provider]}.*"):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            return first_line(error)
    return ""


def open_session(
    name: str, path: Path, options: EngineOptions, providers: Providers
) -> onnxruntime.InferenceSession:
    """A session on exactly these providers (and the CPU's, for what they leave over).

    Raises:
        ModelError: ONNX Runtime cannot load the file.
        EngineUnavailable: the session runs on other providers than these.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.cores
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = _ERROR
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=providers, enable_fallback=0)
    except Exception as error:  # as above
        raise ModelError(f"{path}: ONNX Runtime cannot load it ({first_line(error)})") from error
    wanted = [one if isinstance(one, str) else one[0] for one in providers]
    if session.get_providers()[: len(wanted)] != wanted:
        raise EngineUnavailable(
            f"engine {name}: ONNX Runtime could not use {wanted[0]} and would compute on "
            f"{session.get_providers()[0]}",
            "run baikal-doctor to see what is missing",
        )
    return session


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True
