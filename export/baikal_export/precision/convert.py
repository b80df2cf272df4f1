"""A network in the precision that its manifest names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from onnx import version_converter

from baikal_deploy.models.manifest import ModelManifest
from baikal_export.comparison import noisy_planes, timesteps
from baikal_export.network import EpsNetwork
from baikal_export.planes import CleanPlanes
from baikal_export.precision.half import HalfNetwork
from baikal_export.precision.int8 import quantised, too_sensitive
from baikal_export.precision.range import audit
from baikal_export.precision.rounding import convolution_errors
from baikal_export.tracing import trace

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
BF16_OPSET = 22
"""First opset whose Conv takes bfloat16."""
_CALIBRATION_SEED = 3
_PROBES = 8
"""Calibration planes that single convolutions are tried with."""


@dataclass(frozen=True)
class Converted:
    """A converted network, as it goes into a file.

    Attributes:
        model: the graph.
        rounded: the network in torch, with the result of every operator rounded as a GPU does it;
            only of 16 bits. What runs on a CPU rounds less, or otherwise.
        details: for the record: "range" of fp16 (see ``Range``), "calibration" of int8.
    """

    model: onnx.ModelProto
    rounded: EpsNetwork | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def convert(
    network: EpsNetwork, manifest: ModelManifest, verify: CleanPlanes, calibrate: CleanPlanes
) -> Converted:
    """The network in ``manifest.precision``.

    Args:
        verify: fp16's range is measured with them.
        calibrate: int8 needs them.

    Raises:
        ModelError: what the network computes exceeds the precision's range.
    """
    if manifest.precision in DTYPES:
        return _half(network, manifest, verify)
    if manifest.precision == "int8":
        return _int8(network, manifest, calibrate)
    return Converted(trace(network, manifest))


def _half(network: EpsNetwork, manifest: ModelManifest, verify: CleanPlanes) -> Converted:
    half = HalfNetwork(network.net, manifest.downsampling, DTYPES[manifest.precision])
    reduced = network.around(half)
    model = trace(reduced, manifest)
    half.emulated = True
    if manifest.precision == "bf16":
        return Converted(version_converter.convert_version(model, BF16_OPSET), reduced)
    reach = audit(model, noisy_planes(verify, manifest))
    reach.check()
    return Converted(model, reduced, {"range": reach.as_dict()})


def _int8(network: EpsNetwork, manifest: ModelManifest, calibrate: CleanPlanes) -> Converted:
    steps = timesteps(manifest, len(calibrate.planes))
    inputs = list(calibrate.noised(manifest.schedule.build(), steps, _CALIBRATION_SEED))
    probes = inputs[:: max(1, len(inputs) // _PROBES)]
    fp32 = too_sensitive(convolution_errors(network.net, manifest.downsampling, probes))
    model = quantised(trace(network, manifest), [f"net.{name}" for name in fp32], inputs)
    kept = sorted(name.removesuffix(".weight") for name in fp32)
    calibration = {"planes": len(calibrate.planes), "source": calibrate.source, "fp32": kept}
    return Converted(model, details={"calibration": calibration})
