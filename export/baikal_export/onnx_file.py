"""Writing the .onnx file, once it is known what it loses."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import onnx

from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import ModelError
from baikal_deploy.host.durable import whole_file
from baikal_deploy.models.manifest import METADATA_KEY, ModelManifest
from baikal_deploy.models.onnx_file import CHECKSUM_KEY, checksum
from baikal_export.network import EpsNetwork
from baikal_export.planes import NONE, CleanPlanes
from baikal_export.precision.convert import Converted, convert
from baikal_export.torch_eager import TorchEngine
from baikal_export.verification import FILE, ROUNDED, TORCH, Verification, verify

TOLERANCE = 1e-5
"""Largest relative error (L2) of an fp32 file against torch."""
MAX_LOSS_DB = 0.1
"""PSNR that the denoised planes may lose."""
_ENGINES = {"bf16": "openvino"}
"""Engine that runs a file where ONNX Runtime's CPU provider has no kernels for it."""


def export(
    network: EpsNetwork,
    manifest: ModelManifest,
    path: Path,
    clean: CleanPlanes = NONE,
    calibration: CleanPlanes = NONE,
    max_loss_db: float = MAX_LOSS_DB,
) -> Verification:
    """Write ``path`` in the manifest's precision, after comparing the file with ``network``.

    Args:
        network: the trained network in torch.
        manifest: goes into the file, with the comparison added.
        path: the .onnx file.
        clean: planes to compare on; without any, denoised planes are not compared.
        calibration: planes that int8 is calibrated with.
        max_loss_db: PSNR that the denoised planes may lose.

    Returns:
        What was compared; it is the manifest's ``verification``.

    Raises:
        ModelError: the file cannot be written; fp32 results differ by more than TOLERANCE; or those of
            another precision are not finite, or lose more than ``max_loss_db``. Nothing is left at
            ``path`` then but what was there before.
        EngineUnavailable: what would run the file cannot run here.
    """
    converted = convert(network, manifest, clean, calibration)
    try:
        with whole_file(path) as partial:
            _save(converted.model, manifest, partial)
            verification = _verified(network, manifest, converted, partial, clean)
            _check(path, manifest, verification, max_loss_db)
            _save(converted.model, replace(manifest, verification=verification.as_dict()), partial)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from error
    return verification


def _save(model: onnx.ModelProto, manifest: ModelManifest, path: Path) -> None:
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    model.metadata_props.add(key=CHECKSUM_KEY, value=checksum(model.SerializeToString()))
    onnx.save(model, path)


def _verified(
    network: EpsNetwork, manifest: ModelManifest, converted: Converted, path: Path, clean: CleanPlanes
) -> Verification:
    precision = manifest.precision
    engines: dict[str, Engine] = {TORCH: TorchEngine(network, manifest)}
    with ExitStack() as stack:
        name, options = _ENGINES.get(precision, "onnx-cpu"), EngineOptions(precision=precision)
        engines[FILE] = stack.enter_context(open_engine(name, path, manifest, options))
        if converted.rounded is not None:
            engines[ROUNDED] = TorchEngine(converted.rounded, manifest)
        return verify(engines, path, clean, converted.details)


def _check(path: Path, manifest: ModelManifest, found: Verification, max_loss_db: float) -> None:
    """Raise ModelError if the file must not be kept."""
    error, precision = found.largest_error, manifest.precision
    if not math.isfinite(error) or (precision == "fp32" and not error <= TOLERANCE):
        allowed = f", more than {TOLERANCE:.0e}" if precision == "fp32" else ""
        raise ModelError(f"{path}: not written; ONNX and torch differ by {error:.1e}{allowed}")
    if found.denoised is not None and not found.loss_db <= max_loss_db:
        raise ModelError(
            f"{path}: not written; in {precision}, denoised planes lose {found.loss_db:.2f} dB of PSNR, more "
            f"than {max_loss_db:g}; choose another --precision, or allow it with --max-loss"
        )
