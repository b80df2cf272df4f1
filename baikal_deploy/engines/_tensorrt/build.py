"""Building engine files: from an .onnx file to what TensorRT, or TensorRT for RTX, can run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.engines._tensorrt.audit import audit
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.engines._tensorrt.timing import TimingCache
from baikal_deploy.errors import EngineBuildError, EngineUnavailable, ModelError
from baikal_deploy.models.manifest import ModelManifest

__all__ = ["Profile", "build_engine"]

_one_at_a_time = threading.Lock()
"""Lock for builds: the vendor keeps one logger for a process, whose errors could be another build's."""


def build_engine(
    family: compat.Family,
    path: Path,
    manifest: ModelManifest,
    profile: Profile,
    compute_capabilities: tuple[int, ...] = (),
) -> bytes:
    """The contents of an engine file for a model; takes seconds to minutes.

    Args:
        path: the .onnx file.
        compute_capabilities: of the GPUs to build for, such as 86 for 8.6; of a portable family,
            since the others build for the GPU of this machine.

    Raises:
        EngineUnavailable: the family is not installed, or needs a GPU and finds none.
        ConfigError: the model does not take the profile's shapes.
        ModelError: not an ONNX file.
        EngineBuildError: an operator, a precision or a GPU that the family cannot build for, or a
            network that does not compute in the manifest's precision; with what the vendor says.
    """
    profile.check(manifest)
    trt = compat.load(family)
    with _one_at_a_time:
        compat.forget_errors(trt)
        builder = _builder(family, trt)
        network, config = compat.network_and_config(trt, builder)
        compat.set_targets(family, trt, config, compute_capabilities)
        parser = trt.OnnxParser(network, compat.logger(trt))  # holds the weights until they are built
        _parse(parser, path)
        audit(trt, network, manifest, path)
        _add_profile(builder, config, profile)
        plan = _build(family, trt, builder, network, config)
        if plan is None:
            raise EngineBuildError(
                f"{path}: {family.title} {compat.version(trt)} cannot build it for profile {profile} "
                f"({compat.first_error(trt)})"
            )
        return bytes(plan)


def _builder(family: compat.Family, trt: Any) -> Any:
    try:
        return trt.Builder(compat.logger(trt))
    except TypeError as error:  # what the bindings make of a null pointer
        raise EngineUnavailable(
            f"engine {family.name}: {family.title} finds no GPU to build for ({compat.first_error(trt)})",
            "run baikal-doctor to see what is missing",
        ) from error


def _parse(parser: Any, path: Path) -> None:
    if parser.parse_from_file(str(path)):
        return
    error = parser.get_error(0)
    kind = EngineBuildError if error.node_operator() else ModelError
    raise kind(f"{path}: cannot be parsed ({compat.parser_error(error)})")


def _add_profile(builder: Any, config: Any, profile: Profile) -> None:
    shapes = builder.create_optimization_profile()
    ends = profile.min, profile.opt, profile.max
    shapes.set_shape("x_t", *((batch, 1, height, width) for batch, height, width in ends))
    shapes.set_shape("timesteps", *((batch,) for batch, _, _ in ends))
    config.add_optimization_profile(shapes)


def _build(family: compat.Family, trt: Any, builder: Any, network: Any, config: Any) -> Any:
    if family.portable:  # nothing is timed ahead of time
        return builder.build_serialized_network(network, config)
    timing = TimingCache(family, trt)
    timing.give(config)
    plan = builder.build_serialized_network(network, config)
    timing.keep(config)
    return plan
