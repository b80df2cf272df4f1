"""Network -> ONNX graph."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch

from baikal_deploy.models.manifest import ModelManifest
from baikal_export.network import EpsNetwork

OPSET = 20
"""Opset of the files. From 21 on, GroupNormalization is emitted, for which ONNX Runtime's CPU provider has no
kernel.
"""
_TRACED = (2, 4, 6)
"""Shape of what is traced: batch, and height and width in units of the downsampling."""


def trace(network: EpsNetwork, manifest: ModelManifest) -> onnx.ModelProto:
    """The graph of a network, for any batch, height and width."""
    batch, height, width = _TRACED
    factor = manifest.downsampling
    example = (torch.zeros(batch, 1, height * factor, width * factor), torch.zeros(batch))
    dynamic = torch.export.Dim.DYNAMIC
    outputs = ["eps", "v"] if manifest.variance == "learned_range" else ["eps"]
    with quiet():
        program = torch.onnx.export(
            network.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic}, {0: dynamic}),
            input_names=["x_t", "timesteps"],
            output_names=outputs,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        # The exporter records source lines and paths of the machine that ran it.
        del node.metadata_props[:]
        node.doc_string = ""
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters' reports of progress, and torch's own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
