"""Back ends that evaluate the network: one file each, named after its engine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import ConfigError, EngineUnavailable
from baikal_deploy.host.extras import install
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.plugins import load_plugin, plugin_names

AUTO = "auto"
_ON_GPU = ("tensorrt", "tensorrt-rtx", "onnx-tensorrt", "onnx-cuda")
_ON_GPU_FASTEST: tuple[Precision, ...] = ("fp16", "int8", "bf16", "tf32", "fp32")
FASTEST: tuple[str, ...] = (*_ON_GPU, "onnx-cpu", "openvino")
"""Engines in the order that ``auto`` tries them in. docs/engines.md has the measurements."""
ON_ANY_MACHINE = {"onnx-cpu": ("onnxruntime", "cpu"), "openvino": ("openvino", "openvino")}
"""The package of each engine that needs no GPU, and the extra that installs it."""
FASTEST_IN_INT8: tuple[str, ...] = (*_ON_GPU, "openvino", "onnx-cpu")
FASTEST_PAIRS: tuple[tuple[str, Precision], ...] = (
    *((name, precision) for precision in _ON_GPU_FASTEST for name in _ON_GPU),
    ("openvino", "int8"),
    ("openvino", "bf16"),
    ("onnx-cpu", "int8"),
    ("onnx-cpu", "fp32"),
    ("openvino", "fp32"),
    ("onnx-cpu", "fp16"),
)
"""Engines and what they compute in, in the order that the precision ``auto`` tries them in."""


def engine_names() -> list[str]:
    return plugin_names(__name__)


def engine_class(name: str) -> type[Engine]:
    """The class of an engine.

    Raises:
        ConfigError: no engine has that name; the message lists those there are.
    """
    return load_plugin(__name__, name, Engine)  # type: ignore[type-abstract]


def open_engine(
    name: str, path: Path, manifest: ModelManifest, options: EngineOptions | None = None
) -> Engine:
    """The engine of that name, with the model loaded; never another one in its place.

    Raises:
        ConfigError: unknown engine, or a precision that it cannot compute this model in.
        EngineUnavailable: the back end cannot run here.
        ModelError: the back end cannot load the file.
    """
    options = options or EngineOptions()
    kind = engine_class(name)
    check_precision(name, manifest, options.precision)
    return kind.open(path, manifest, options)


def check_precision(name: str, manifest: ModelManifest, precision: Precision) -> None:
    """Raise ConfigError if the engine cannot compute this model in this precision."""
    offered = engine_class(name).COMPUTES.get(manifest.precision, ())
    if precision in offered:
        return
    model = f"model {manifest.name}, stored in {manifest.precision},"
    if offered:
        choice = f"{model} can be computed there in {' or '.join(offered)}"
        raise ConfigError(f"engine {name}: not in {precision}; {choice} (--precision {offered[0]})")
    raise ConfigError(f"engine {name}: {model} cannot be computed there; choose another engine")


def fastest_engine(manifest: ModelManifest, precision: Precision) -> tuple[str, dict[str, str]]:
    """The fastest engine that works here for this model and precision.

    Returns:
        Its name, and why each faster one was passed over, by name.

    Raises:
        ConfigError: no engine computes this model in this precision anywhere.
        EngineUnavailable: none works; with all the reasons, or the one that nothing is installed.
    """
    names = FASTEST_IN_INT8 if precision == "int8" else FASTEST
    if not any(precision in engine_class(name).COMPUTES.get(manifest.precision, ()) for name in names):
        raise ConfigError(
            f"engine auto: no engine computes model {manifest.name}, stored in {manifest.precision}, in "
            f"{precision}; choose --precision {manifest.precision}, or export it with --precision {precision}"
        )
    passed_over: dict[str, str] = {}
    for name in names:
        try:
            check_precision(name, manifest, precision)
            engine_class(name).check(precision)
            return name, passed_over
        except (ConfigError, EngineUnavailable) as error:
            passed_over[name] = str(error)
    if (extra := _extra_missing(manifest, precision)) is not None:
        raise EngineUnavailable("no engine that works here is installed", install(extra))
    reasons = " | ".join(passed_over.values())
    raise EngineUnavailable(
        f"engine auto: none computes model {manifest.name} in {precision} here ({reasons})",
        "run baikal-doctor",
    )


def fastest_pairs(manifest: ModelManifest, engine: str) -> Iterator[tuple[str, Precision]]:
    """Engines and precisions that a model can be computed in, the fastest first.

    Args:
        manifest: of the model.
        engine: name of the one that is asked for, or "auto".
    """
    for name, precision in FASTEST_PAIRS:
        if engine in (AUTO, name) and precision in engine_class(name).COMPUTES.get(manifest.precision, ()):
            yield name, precision


def _extra_missing(manifest: ModelManifest, precision: Precision) -> str | None:
    """The one extra that is enough, where nothing that works on any machine is installed."""
    if any(find_spec(package) for package, _ in ON_ANY_MACHINE.values()):
        return None
    for name, (_, extra) in ON_ANY_MACHINE.items():
        if precision in engine_class(name).COMPUTES.get(manifest.precision, ()):
            return extra
    return None
