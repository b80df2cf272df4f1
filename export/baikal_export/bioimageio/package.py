"""Writing a model as a resource of bioimage.io: a ZIP file of graph, description, test tensors and cover."""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from baikal_deploy.engines._onnxruntime.session import open_session
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.host.durable import whole_file
from baikal_deploy.models.manifest import ModelManifest, read_manifest
from baikal_deploy.pixels.arrays import Plane
from baikal_export.bioimageio.description import described, readme
from baikal_export.fused import parse, write
from baikal_export.fused.matched.sampler import FusedMatched
from baikal_training.simulate import morphologies, simulate

SAMPLER = "matched,symmetries=2"
"""What the package does: the same as a run by default."""
SHAPE = (203, 181)
"""Of the test image; no multiple of anything."""
_GAIN, _READ, _OFFSET, _PHOTONS = 2.0, 4.0, 100.0, 60.0
_COVER = 180
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Written:
    """What is in a package.

    Attributes:
        difference: largest difference of the graph from the runtime, on the network's scale, with the same
            measurement.
        noisy_db, denoised_db: PSNR of the test image, before and after.
    """

    difference: float
    noisy_db: float
    denoised_db: float


def check(path: Path, manifest: ModelManifest) -> FusedMatched:
    """The sampler of a package, before anything is written.

    Args:
        path: of the package.
        manifest: of the model.

    Raises:
        ConfigError: a path that is no ZIP file's, or a model that cannot be packaged.
    """
    if path.suffix != ".zip":
        raise ConfigError(f"--bioimageio {path}: name a file that ends in .zip")
    made = parse(SAMPLER, manifest)
    assert isinstance(made, FusedMatched)
    return replace(made, form="alone")


def write_package(model: Path, path: Path) -> Written:
    """Write a model as a resource of bioimage.io.

    Args:
        model: .onnx file of the model.
        path: of the ZIP file.

    Raises:
        ConfigError: see ``check``.
        ModelError: the file cannot be written, or the graph differs from the runtime.
    """
    manifest = read_manifest(model)
    made = check(path, manifest)
    with tempfile.TemporaryDirectory(prefix="baikal-") as folder:
        difference = write(replace(made, form="told"), model, Path(folder) / "told.onnx")
        graph = made.build(onnx.load(model), manifest)
        onnx.checker.check_model(graph, full_check=True)
        onnx.save(graph, Path(folder) / "model.onnx")
        clean, noisy = _test_image(manifest)
        denoised = _denoised(Path(folder) / "model.onnx", noisy, manifest)
        found = Written(difference, _psnr(clean, noisy), _psnr(clean, denoised))
        files = {
            "model.onnx": (Path(folder) / "model.onnx").read_bytes(),
            "test_input.npy": _npy(noisy),
            "test_output.npy": _npy(denoised),
            "cover.png": _cover(noisy, denoised),
        }
    files["README.md"] = readme(manifest, found.noisy_db, found.denoised_db).encode()
    described_as = described(manifest, files, graph.opset_import[0].version, datetime.now(UTC))
    files["bioimageio.yaml"] = json.dumps(described_as, indent=2, ensure_ascii=False).encode()  # JSON is YAML
    _save(files, path)
    return found


def _denoised(graph: Path, noisy: Plane, manifest: ModelManifest) -> Plane:
    options = EngineOptions(precision=manifest.precision)
    session = open_session("onnx-cpu", graph, options, ["CPUExecutionProvider"])
    (result,) = session.run(None, {"image": noisy[None, None]})
    if not np.isfinite(result).all():
        raise ModelError(f"model {manifest.name}: makes values of the test image that are not finite")
    plane: Plane = result[0, 0]
    return plane


def _test_image(manifest: ModelManifest) -> tuple[Plane, Plane]:
    """A simulated plane as a camera would see it, without and with noise, in grey values."""
    morphology = manifest.name if manifest.name in morphologies() else morphologies()[0]
    plane = simulate(morphology, (1, 1, *SHAPE), 7)[0, 0].astype(np.float64)
    low, high = plane.min(), np.percentile(plane, 99.8)
    photons = _PHOTONS * (0.05 + (plane - low) / (high - low))
    random = np.random.default_rng(7)
    clean = _OFFSET + _GAIN * photons
    noisy = _OFFSET + _GAIN * random.poisson(photons) + random.normal(0, _READ, SHAPE)
    return clean.astype(np.float32), np.rint(noisy).astype(np.float32)


def _psnr(clean: Plane, other: Plane) -> float:
    span, error = np.ptp(clean), np.mean(np.square(other - clean))
    return float(10 * np.log10(span**2 / error))


def _npy(plane: Plane) -> bytes:
    file = BytesIO()
    np.save(file, plane[None, None])
    return file.getvalue()


def _cover(noisy: Plane, denoised: Plane) -> bytes:
    """The test image before and after, side by side, twice as wide as high."""
    side = min(_COVER, *noisy.shape)
    sides = [plane[:side, :side] for plane in (noisy, denoised)]
    low, high = np.percentile(noisy, [1, 99.8])
    grey: NDArray[np.uint8] = (np.clip((np.hstack(sides) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def _save(files: dict[str, bytes], path: Path) -> None:
    try:
        with whole_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in files.items():
                packed.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from error
