"""The graph of a stream: frames are averaged with what is known of those before, as ``LiveDenoiser`` does.

What is known comes in and goes out as tensors, so that whoever calls keeps them from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from baikal_deploy.denoising.running import MOST_FRAMES
from baikal_deploy.diffusion.samplers.matched import Matched
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.matched.comparing import GateValues, change
from baikal_export.fused.matched.equaliser import Measured
from baikal_export.fused.matched.graph import Channel, Shapes, as_model, given, scalars
from baikal_export.fused.matched.inputs import INPUTS
from baikal_export.fused.matched.surroundings import base_of, between_cells, cell_means
from baikal_export.fused.matched.walk import Network
from baikal_export.fused.nodes import Nodes, Value

_PLANES: list[str | int] = ["N", 1, "H", "W"]
_CELLS: list[str | int] = ["N", 1, "cell_rows", "cell_columns"]
STATE = {"estimate": _PLANES, "left": _CELLS, "frames": _PLANES}
"""Shapes of what is known of the frames before: see ``Running``. Zeros in the last one begin a stream."""
_LEAST_FRAMES = 1e-6


def build_live(network: onnx.ModelProto, manifest: ModelManifest, sampler: Matched) -> onnx.ModelProto:
    """The model that denoises the next frame of a stream, without metadata.

    Args:
        network: the model that ``manifest`` describes.
        sampler: its options.
    """
    nodes = Nodes()
    channel = Channel(nodes.given("image"), Network(network.graph, manifest), sampler)
    found = given(nodes)
    allowed, coarse = scalars(nodes, "gate", 2)
    gate = GateValues(allowed, coarse, nodes.given("shares"))
    own = channel.result(found, sampler)
    least = float(manifest.schedule.build().noise_levels[0])
    left = gate.left(own, _variance(own, found, least))
    after = _State(*(nodes.given(name) for name in STATE)).after(own, left, gate)
    varied = channel.varied(found)
    raw = after.estimate * found.half + (found.low + found.half)
    nodes.named(nodes.where(varied, raw, channel.image), "denoised")
    kept = _State(after.estimate, after.left, nodes.where(varied, after.frames, 0.0))
    for name in STATE:
        nodes.named(getattr(kept, name), f"next_{name}")
    inputs: Shapes = {"image": _PLANES, **INPUTS, "gate": [2], "shares": ["K", 2], **STATE}
    outputs = {"denoised": _PLANES, **{f"next_{name}": shape for name, shape in STATE.items()}}
    return as_model(nodes, inputs, outputs, network)


@dataclass(frozen=True)
class _State:
    """``Running`` as values of the graph.

    Attributes:
        estimate, frames: (N, 1, H, W).
        left: of each cell.
    """

    estimate: Value
    left: Value
    frames: Value

    def after(self, own: Value, left: Value, gate: GateValues) -> _State:
        """See ``Running.after``."""
        q, frames = left.at_most(self.left) * gate.allowed, cell_means(self.frames).at_least(_LEAST_FRAMES)
        difference = self.estimate - own
        beyond = change(difference, q + q / frames, gate.coarse) * frames
        whole = q + beyond
        ratio = q.nodes.where(whole <= 0.0, 0.0, q / whole)  # NaN stays NaN
        weight = self.frames * between_cells(ratio, own)
        return _State(own + weight / (weight + 1.0) * difference, left, (weight + 1.0).at_most(MOST_FRAMES))


def _variance(own: Value, found: Measured, least: float) -> Value:
    """See ``Recipe.variance``; ``least`` is the least noise level of the model."""
    nodes, total = own.nodes, (found.even_level() / found.half * found.correlation.std).at_least(least)
    raw = (base_of(own) + 1.0) * found.half + found.low
    spread = nodes.where(found.gain > 0.0, found.std(raw) / found.even_level(), 1.0) * total
    return spread * spread
