"""Writing the .onnx file, and proving it equal to the network."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch

from baikal_deploy.engines import open_engine
from baikal_deploy.errors import ModelError
from baikal_deploy.manifest import METADATA_KEY, ModelManifest
from baikal_export.network import EpsNetwork

OPSET = 20
"""From 21 on, GroupNormalization is emitted, for which ONNX Runtime's CPU provider has no kernel."""
TOLERANCE = 1e-5
"""Largest relative error (L2) of the ONNX result against torch."""
_TRACED = (2, 4, 6)
_CHECKED = ((1, 7, 3, 17.0), (3, 2, 9, 801.0), (4, 5, 5, 250.5))
"""(batch, height and width in units of the downsampling, timestep) of what is traced and checked."""


def export(network: EpsNetwork, manifest: ModelManifest, path: Path) -> float:
    """Write ``path`` with the manifest inside, after proving it equal to ``network``.

    Returns:
        The largest relative error against torch, at shapes, batch sizes and timesteps that the
        export did not trace.

    Raises:
        ModelError: the file cannot be written, or the results differ by more than TOLERANCE.
            Nothing is left at ``path`` then but what was there before.
    """
    model = _trace(network, manifest)
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    partial = path.with_name(path.name + ".partial")
    try:
        onnx.save(model, partial)
        error = largest_error(network, manifest, partial)
        if not error <= TOLERANCE:
            raise ModelError(
                f"{path}: not written; ONNX and torch differ by {error:.1e}, more than {TOLERANCE:.0e}"
            )
        os.replace(partial, path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)
    return error


def _trace(network: EpsNetwork, manifest: ModelManifest) -> onnx.ModelProto:
    batch, height, width = _TRACED
    factor = manifest.downsampling
    example = (torch.zeros(batch, 1, height * factor, width * factor), torch.zeros(batch))
    dynamic = torch.export.Dim.DYNAMIC
    outputs = ["eps", "v"] if manifest.variance == "learned_range" else ["eps"]
    with _quiet():
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


def largest_error(network: EpsNetwork, manifest: ModelManifest, path: Path) -> float:
    """Largest relative error ‖onnx − torch‖ / ‖torch‖ over the checked cases and outputs."""
    errors = []
    generator = torch.Generator().manual_seed(0)
    with open_engine("onnx-cpu", path, manifest) as engine, torch.no_grad():
        for batch, height, width, t in _CHECKED:
            shape = (batch, 1, height * manifest.downsampling, width * manifest.downsampling)
            x = torch.randn(shape, generator=generator)
            expected = network(x, torch.full((batch,), t))
            expected = expected if isinstance(expected, tuple) else (expected,)
            for got, wanted in zip(engine.predict(x.numpy(), t), expected, strict=False):
                assert got is not None
                difference = np.linalg.norm(got - wanted.numpy()) / np.linalg.norm(wanted.numpy())
                errors.append(float(difference))
    return float(np.max(errors))  # unlike max(), NaN if any is


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its progress, and torch's own deprecations, to whoever calls it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
