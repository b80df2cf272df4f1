"""TensorRT and TensorRT for RTX: the vendor's modules, and all in which they and their versions differ.

TensorRT for RTX has nearly the API of TensorRT 11. It builds engine files for GPUs that need not be
there, and compiles them on the GPU that first uses them. TensorRT 11 no longer has the builder's flags
for precisions and explicit batches that 10.16 has; none of them is used here, so that one way of
calling serves all.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from baikal_deploy.errors import EngineBuildError, EngineUnavailable
from baikal_deploy.host.extras import install

API = (
    "Builder.build_serialized_network", "Builder.create_builder_config", "Builder.create_network",
    "Builder.create_optimization_profile", "BuilderFlag.TF32", "DataType.BF16", "DataType.BOOL",
    "DataType.FLOAT", "DataType.HALF", "DataType.INT32", "DataType.INT64", "DataType.INT8",
    "IBuilderConfig.add_optimization_profile",
    "IBuilderConfig.clear_flag", "IBuilderConfig.create_timing_cache", "IBuilderConfig.get_timing_cache",
    "IBuilderConfig.set_timing_cache",
    "ILayer.get_input", "ILayer.get_output", "ILayer.name", "ILayer.num_inputs", "ILayer.num_outputs",
    "ILayer.type", "ILogger.ERROR", "INetworkDefinition.get_input", "INetworkDefinition.get_layer",
    "INetworkDefinition.get_output", "INetworkDefinition.num_inputs", "INetworkDefinition.num_layers",
    "INetworkDefinition.num_outputs", "IOptimizationProfile.set_shape", "ITensor.dtype", "ITensor.name",
    "ITimingCache.serialize", "LayerType.CONVOLUTION", "LayerType.QUANTIZE",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED", "OnnxParser.get_error",
    "OnnxParser.parse_from_file", "ParserError.code", "ParserError.desc", "ParserError.node_name",
    "ParserError.node_operator",
)  # fmt: skip
"""Every name of the vendor's that building an engine file uses; all versions of both families have them."""
RTX_API = (
    "ComputeCapability.__members__", "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
)  # fmt: skip
"""Names that only TensorRT for RTX has."""
FLAGS = ("strongly typed", "no TF32")
"""Flags that all engine files are built with. With TF32, which the vendor's default allows, fp32 would not be
fp32.
"""
MOST_ERRORS = 100
WINDOWS = sys.platform == "win32"
_CUDA_MAJORS = (13, 12)
_SOURCE = re.compile(r"\s*\bIn \w+ at /\S+:\d+")
"""Place in the vendor's own source, as its messages name it."""


@dataclass(frozen=True)
class Family:
    """A TensorRT.

    Attributes:
        name: of the engine that wraps it, and how the names of its packages begin.
        module: what its package is imported as.
        extra: of this package, that installs it.
        portable: whether engine files are built ahead of time, for named compute capabilities,
            rather than for the GPU of this machine.
        title: what the vendor calls it.
        oldest: the first version (major, minor) that can be used.
        below: the first major version that cannot be any more.
    """

    name: str
    module: str
    extra: str
    portable: bool
    title: str
    oldest: tuple[int, int]
    below: int


TENSORRT = Family("tensorrt", "tensorrt", "tensorrt", False, "TensorRT", (10, 16), 12)
TENSORRT_RTX = Family("tensorrt-rtx", "tensorrt_rtx", "tensorrt-rtx", True, "TensorRT for RTX", (1, 4), 2)


def load(family: Family) -> Any:
    """The vendor's module.

    Raises:
        EngineUnavailable: not installed, cannot be imported, or of another version.
    """
    try:
        module = _import(family)
    except Exception as error:  # a missing library, one of another version, or whatever it runs into
        if isinstance(error, ModuleNotFoundError) and error.name == family.module:
            use = ", which NVIDIA makes for PCs with Windows" if WINDOWS and family.portable else ""
            raise EngineUnavailable(
                f"engine {family.name}: {family.title}{use} is not installed", install(family.extra)
            ) from error
        raise EngineUnavailable(
            f"engine {family.name}: {family.title} cannot be imported ({_one_line(str(error))})",
            install(family.extra, again=True),
        ) from error
    _check_version(family, module, install(family.extra))
    return module


def _import(family: Family) -> Any:
    if family.module == "tensorrt_rtx":
        import tensorrt_rtx

        return tensorrt_rtx
    import tensorrt

    return tensorrt


def _check_version(family: Family, module: Any, install: str) -> None:
    found = version(module)
    numbers = re.match(r"(\d+)\.(\d+)", found)
    usable = numbers is not None and family.oldest <= (int(numbers[1]), int(numbers[2])) < (family.below, 0)
    if not usable:
        oldest = ".".join(map(str, family.oldest))
        raise EngineUnavailable(
            f"engine {family.name}: {family.title} {found} is installed; needed is {oldest} or later, "
            f"below {family.below}",
            f"{install} --upgrade",
        )


def version(module: Any) -> str:
    """All four numbers of the version: engine files of one version cannot be read by any other."""
    return str(getattr(module, "__version__", "of unknown version"))


def cuda_major(family: Family) -> int | None:
    """The CUDA that the installed package was built for, which its version does not say; None if unknown."""
    for major in _CUDA_MAJORS:
        try:
            metadata.distribution(f"{family.name}-cu{major}")
        except metadata.PackageNotFoundError:
            continue
        return major
    return None


@functools.cache
def logger(module: Any) -> Any:
    """A logger of the vendor's class that keeps errors (see ``first_error``) and prints nothing.

    There is one for each module, since the vendor's libraries heed only the first that they are given.
    """

    class Kept(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(module.ILogger.ERROR) and len(self.errors) < MOST_ERRORS:
                self.errors.append(message)

    return Kept()


def forget_errors(module: Any) -> None:
    """Forget all errors, before something of which ``first_error`` shall tell why it failed."""
    logger(module).errors.clear()


def first_error(module: Any) -> str:
    """The first error since ``forget_errors``, in one line; those after it are mostly its consequences."""
    errors = logger(module).errors
    return _one_line(errors[0]) if errors else "it gave no reason"


def parser_error(error: Any) -> str:
    """A ParserError in one line, with the node that it is about."""
    reason = f"{error.code().name}: {_one_line(error.desc())}"
    return f"node {error.node_name()} ({error.node_operator()}), {reason}" if error.node_name() else reason


def network_and_config(module: Any, builder: Any) -> tuple[Any, Any]:
    """An empty network and the builder's settings, with FLAGS."""
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    config = builder.create_builder_config()
    config.clear_flag(module.BuilderFlag.TF32)
    return network, config


def set_targets(family: Family, module: Any, config: Any, compute_capabilities: tuple[int, ...]) -> None:
    """Let a portable family build for these GPUs; the other builds for the one that is there.

    Raises:
        EngineBuildError: no GPU is named, or one that the family does not build for.
    """
    if not family.portable:
        return
    check_targets(family, module, compute_capabilities)
    if not compute_capabilities:
        raise EngineBuildError(f"engine {family.name}: no compute capability is named to build for")
    known = target_names(module)
    config.num_compute_capabilities = len(compute_capabilities)
    for index, one in enumerate(compute_capabilities):
        config.set_compute_capability(known[one], index)


def check_targets(family: Family, module: Any, compute_capabilities: Sequence[int]) -> None:
    """Raise EngineBuildError if a portable family does not build for one of these GPUs."""
    known = target_names(module)
    for one in compute_capabilities:
        if one not in known:
            raise EngineBuildError(
                f"engine {family.name}: cannot build for compute capability {one}; {family.title} "
                f"{version(module)} builds for {', '.join(map(str, known))}"
            )


def target_names(module: Any) -> dict[int, Any]:
    """The vendor's names of the compute capabilities that can be built for, by number: 8.6 is 86."""
    members = module.ComputeCapability.__members__
    return {int(name[2:]): value for name, value in members.items() if name.startswith("SM")}


def _one_line(text: str) -> str:
    return " ".join(_SOURCE.sub("", text).split()) or "it gave no reason"
