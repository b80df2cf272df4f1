"""The record beside an exported model: what it knows, and what its precisions lose here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import Engine
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.measurement.structure.density import Density
from baikal_deploy.measurement.structure.known import Known
from baikal_deploy.models.losses import Loss
from baikal_deploy.models.manifest import find_model, read_manifest
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.models.record import ModelRecord
from baikal_export.losses import losses
from baikal_export.planes import CleanPlanes, Images
from baikal_export.torch_eager import TorchEngine
from baikal_export.trained import SEEN, TrainedModel


def of_export(path: Path, trained: TrainedModel, clean: CleanPlanes, knows: Sequence[str]) -> list[str]:
    """Write the record of a model that has just been exported.

    Args:
        path: the .onnx file.
        trained: what it was made of, which the losses are against.
        clean: planes to measure them on; without any, they are left out.
        knows: kinds of structure that it learnt.

    Returns:
        Lines for people.

    Raises:
        EngineError: an engine failed.
        ModelError: the record cannot be written.
    """
    manifest = read_manifest(path)
    seen = trained.training.get(SEEN)
    known = Known(tuple(knows), None if seen is None else Density.from_record(seen))
    if known == Known() and not clean.planes and not ModelRecord.place(path).exists():
        return []
    reference = TorchEngine(trained.network(), manifest)
    found = losses(path, manifest, clean, reference) if clean.planes else []
    return _saved(path, known, found)


def of_file(model: Path, images: Images, knows: Sequence[str]) -> list[str]:
    """Write the record of an .onnx file that is there, whose bytes stay as they are.

    Args:
        model: the file, or the name of a shipped model.
        images: clean images to measure the losses on; without any, simulated ones are.
        knows: kinds of structure that it learnt; none: what an earlier record says.

    Returns:
        Lines for people.

    Raises:
        ConfigError: a model that is not stored in fp32, which nothing can be compared with.
        EngineError: an engine failed.
        ModelError: not a model, or the record cannot be written.
        VolumeError: named images cannot be used.
    """
    path = find_model(model)
    manifest = read_manifest(path)
    if manifest.precision != "fp32":
        raise ConfigError(
            f"{path}: is stored in {manifest.precision}, and its loss is measured against the network in "
            "fp32: export it again, which writes its record too"
        )
    ModelRecord.place(path)
    known = Known(tuple(knows)) if knows else _known_before(path)
    clean = images.to_record(manifest)
    with _reference(path) as reference:
        return _saved(path, known, losses(path, manifest, clean, reference))


def _reference(path: Path) -> AbstractContextManager[Engine]:
    return open_engine("onnx-cpu", path, read_manifest(path))


def _known_before(path: Path) -> Known:
    try:
        return ModelRecord.beside(path, file_sha256(path)).known
    except ModelError:  # of another file, or damaged: it is made again
        return Known()


def _saved(path: Path, known: Known, found: Sequence[Loss]) -> list[str]:
    place = ModelRecord(file_sha256(path), known, tuple(found)).save(path)
    return [f"wrote {place}: {_knows(known)}", *_losses(found)]


def _knows(known: Known) -> str:
    told = [*known.structures, *([] if known.density is None else ["images like those it was trained on"])]
    return f"it knows {' and '.join(told)}" if told else "what it knows is not told (--knows)"


def _losses(found: Sequence[Loss]) -> Iterator[str]:
    for loss in found:
        worst = min(level.worst_psnr_change_db for level in loss.levels)
        pixel = max(level.worst_pixel for level in loss.levels)
        yield (
            f"{loss.precision} on {loss.engine}: PSNR {worst:+.4f} dB on the plane that loses most, worst "
            f"pixel {pixel:.1%} of the image's range"
        )
