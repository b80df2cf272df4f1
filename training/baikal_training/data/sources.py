"""Folders, files and Zarr stores -> clean volumes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.sample import sample_windows
from baikal_training.data.copies import find_copies
from baikal_training.data.corpus import Corpus
from baikal_training.data.corpus_file import is_corpus, read_corpus
from baikal_training.data.readers import (
    FORMATS,
    Channel,
    Image,
    Planes,
    care_pair,
    close_files,
    images,
    is_image,
    is_volume,
)
from baikal_training.data.volumes import CleanVolume


@dataclass(frozen=True)
class Catalogue:
    """The volumes that were found, and what was left out.

    Attributes:
        volumes: to learn from, each once.
        skipped: why files could not be used: the messages.
        constant: names of volumes that hold one value and were left out.
        duplicates: names of volumes that were left out, as the same pixels came before.
        excluded: names of volumes that were left out, as they show what a test image shows.
        corpus: that they are of; None for folders and files.
    """

    volumes: tuple[CleanVolume, ...]
    skipped: tuple[str, ...]
    constant: tuple[str, ...]
    duplicates: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    corpus: Corpus | None = None


def open_clean(
    paths: Sequence[Path],
    normalisation: Normalisation,
    channel: Channel = None,
    skip_bad: bool = False,
    exclude: Sequence[Path] = (),
) -> Catalogue:
    """Open clean images. Of each, a bounded sample is read.

    Args:
        paths: files, Zarr stores, and folders, which are searched in sorted order; or the file of a corpus.
        normalisation: percentiles that give each volume its map to the network's scale.
        channel: of images with several.
        skip_bad: continue without the files that cannot be used.
        exclude: files, Zarr stores and folders of test images; what shows the same as one is left out.

    Raises:
        ConfigError: a corpus that cannot be used, or one beside other paths.
        VolumeError: a path that does not exist, a file that cannot be used, or nothing to learn from.
    """
    close_files()
    corpus = _corpus(paths)
    opened: dict[str, CleanVolume] = {}
    skipped: list[str] = []
    constant: list[str] = []
    duplicates: list[str] = []
    bad = skipped if skip_bad else None
    of_corpus = corpus and _of_corpus(corpus, normalisation, channel, bad)
    for volume in of_corpus or _volumes(paths, normalisation, channel, bad):
        if volume.intensity.is_constant:
            constant.append(volume.name)
        elif volume.fingerprint in opened:
            duplicates.append(f"{volume.name} (the same as {opened[volume.fingerprint].name})")
        else:
            opened[volume.fingerprint] = volume
    if not opened:
        raise _nothing(paths, skipped, constant)
    kept, excluded = _without_copies(list(opened.values()), exclude)
    return Catalogue(tuple(kept), tuple(skipped), tuple(constant), tuple(duplicates), tuple(excluded), corpus)


def _corpus(paths: Sequence[Path]) -> Corpus | None:
    """The corpus that is meant by paths, if one is."""
    files = [path for path in paths if is_corpus(path)]
    if files and len(paths) > 1:
        raise ConfigError(
            f"{files[0]}: a corpus says how often each image is drawn, and is trained on alone; "
            f"add the other images to it, each as a [[source]]"
        )
    return read_corpus(files[0]) if files else None


def _of_corpus(
    corpus: Corpus, normalisation: Normalisation, channel: Channel, skipped: list[str] | None
) -> Iterator[CleanVolume]:
    for source, paths in corpus.paths():
        for volume in _volumes(paths, normalisation, channel, skipped):
            yield source.marked(volume)


def _without_copies(
    volumes: list[CleanVolume], exclude: Sequence[Path]
) -> tuple[list[CleanVolume], list[str]]:
    """Volumes that show nothing that a test image shows, and the names of the others."""
    tests = [planes for path in exclude for planes in _tests(path)]
    copies = {copy.volume: copy for copy in find_copies([v.planes for v in volumes], tests)} if tests else {}
    kept = [volume for number, volume in enumerate(volumes) if number not in copies]
    excluded = [f"{volumes[number].name} (shows what {copy.test} shows)" for number, copy in copies.items()]
    if not kept:
        raise VolumeError(f"every image shows what a test image of --exclude shows; the first: {excluded[0]}")
    return kept, excluded


def _tests(path: Path) -> list[Planes]:
    """Every channel of the test images in a file or folder; of CARE's, both sides."""
    found = [image for file in _inputs([path]) for image in _both_sides(file)]
    if not found:
        raise _nothing([path], [], [])
    return [planes for image in found for planes in image.all_planes()]


def _both_sides(file: Path) -> Sequence[Image]:
    return care_pair(file) if file.suffix.lower() == ".npz" else images(file)


def noisy_sample(path: Path, channel: Channel = None) -> tuple[list[NDArray[Any]], str]:
    """A bounded sample of a noisy volume, windows (h, w), and the volume's fingerprint.

    Raises:
        VolumeError: it does not exist, cannot be read, or is more than one image.
    """
    close_files()
    if not path.exists():
        raise VolumeError(f"{path}: no such noisy volume; check the path")
    if path.suffix.lower() == ".npz":  # of these, the clean side is read
        raise VolumeError(f"{path}: is training data of CARE, not a noisy volume; save it as .npy")
    found = images(path)
    if len(found) != 1:
        raise VolumeError(f"{path}: holds {len(found)} images; give a noisy volume that is one")
    planes = found[0].planes(channel)
    sample = _sample(planes)
    return sample, _fingerprint(planes, sample)


def _volumes(
    paths: Sequence[Path], normalisation: Normalisation, channel: Channel, skipped: list[str] | None
) -> Iterator[CleanVolume]:
    """Every volume; bad files go to ``skipped``, or end it all."""
    for path in _inputs(paths):
        try:
            found = [_measured(image.planes(channel), normalisation) for image in images(path)]
        except VolumeError as error:
            if skipped is None:
                raise
            skipped.append(str(error))
            continue
        yield from found


def _nothing(paths: Sequence[Path], skipped: Sequence[str], constant: Sequence[str]) -> VolumeError:
    where = ", ".join(map(str, paths))
    if skipped:
        return VolumeError(f"{where}: no file can be used ({len(skipped)} bad); the first: {skipped[0]}")
    if constant:
        return VolumeError(
            f"{where}: every image is constant, all background; there is nothing to learn from"
        )
    return VolumeError(f"{where}: no images in it; {FORMATS} are read: give a folder with some")


def _inputs(paths: Sequence[Path]) -> Iterator[Path]:
    """The files and Zarr stores among paths, and in the folders among them."""
    for path in paths:
        try:
            if not path.exists():
                raise VolumeError(f"{path}: no such file or folder of images; check the path")
            yield from _below(path, ()) if path.is_dir() and not is_volume(path) else (path,)
        except OSError as error:
            raise VolumeError(
                f"{error.filename or path}: cannot be looked at: {error.strerror or error}; "
                f"check the path and its permissions"
            ) from error


def _below(folder: Path, parents: tuple[Path, ...]) -> Iterator[Path]:
    """Inputs in a folder. Hidden entries do not count: macOS leaves "._" files that only look like images."""
    resolved = folder.resolve()
    if resolved in parents:  # a link to a folder above
        return
    for entry in sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
        if entry.is_dir() and not is_volume(entry):
            yield from _below(entry, (*parents, resolved))
        elif entry.is_dir() or is_image(entry):
            yield entry


def _measured(planes: Planes, normalisation: Normalisation) -> CleanVolume:
    sample = _sample(planes)
    if not all(np.isfinite(window).all() for window in sample):
        raise VolumeError(
            f"{planes.name}: holds NaN or infinite pixels; clean images must not: "
            f"replace them, or take the file away"
        )
    return CleanVolume(planes.name, planes, normalisation.of(sample), _fingerprint(planes, sample))


def _sample(planes: Planes) -> list[NDArray[Any]]:
    count, *sides = planes.shape
    windows = sample_windows(count, (sides[0], sides[1]))
    return [planes.read(plane, rows, columns) for plane, rows, columns in windows]


def _fingerprint(planes: Planes, sample: Sequence[NDArray[Any]]) -> str:
    digest = hashlib.sha256(f"{planes.shape} {planes.dtype.name}".encode())
    for window in sample:
        digest.update(window.astype(window.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
