"""Data sets of the paper's Table 1: CARE's own, or simulated ones in their place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_evaluation.pairs import Pair, find_pairs
from baikal_training.simulate.pairs import PairSet

PUBLISHED = {
    "planaria": "Denoising_Planaria/train_data/data_label.npz",
    "tribolium": "Denoising_Tribolium/train_data/data_label.npz",
    "flywing": "Projection_Flywing/train_data/data_label.npz",
}
"""Files of CARE's data (Weigert et al. 2018) below the folder that they were unpacked to. Its test sets are
scaled differently; so, like the paper's authors, we split the training sets."""
TEST_SHARE, VALIDATION_SHARE = 10, 10
"""Shares of the images in percent. No method here chooses anything by the validation part; it is left out."""
SIMULATED = {
    "planaria": PairSet("planaria", (1, 8, 96, 96), psnr=12),
    "tribolium": PairSet("tribolium", (1, 8, 96, 96), psnr=12, correlated=0.6),
    "flywing": PairSet("flywing", (1, 8, 96, 96), psnr=9),
}
"""Simulated sets, of volumes of 8 planes of 96². The paper's Tribolium has correlated noise, its Flywing the
strongest."""
PARTS = {"training": (40, 1), "test": (8, 2)}
"""Images and seed of each part of a simulated data set."""


@dataclass(frozen=True)
class DataSet:
    """Pairs of one kind of specimen.

    Attributes:
        name: a key of PUBLISHED.
        training: every method learns from these.
        test: the figures are of these.
    """

    name: str
    training: tuple[Pair, ...]
    test: tuple[Pair, ...]


def simulated(name: str, folder: Path, most: int | None = None) -> DataSet:
    """The simulator's data set, which is made below a folder if it is not there.

    Args:
        name: a key of SIMULATED.
        folder: of all data sets.
        most: test images at the most; None: all of them.
    """
    training, test = (_simulated(name, part, folder / name / "images" / part) for part in PARTS)
    return DataSet(name, training, test[:most])


def _simulated(name: str, part: str, place: Path) -> tuple[Pair, ...]:
    count, seed = PARTS[part]
    pair_set = replace(SIMULATED[name], count=count, seed=seed)
    wanted = [path for pair in pair_set.targets(place, "tiff") for path in pair.values()]
    if not all(path.is_file() for path in wanted):
        for _ in pair_set.write(place, "tiff", overwrite=True):
            pass
    return tuple(find_pairs(place))


def published(name: str, folder: Path, most: int | None = None) -> DataSet:
    """A training set of CARE's, split by a hash of each pair's name.

    Args:
        name: a key of PUBLISHED.
        folder: that CARE's data was unpacked to.
        most: test images at the most; None: all of them.

    Raises:
        VolumeError: it is not there, or cannot be read.
    """
    path = folder / PUBLISHED[name]
    if not path.is_file():
        raise VolumeError(
            f"{path}: not there; unpack CARE's data sets into {folder} (docs/results.md says how)"
        )
    parts: dict[str, list[Pair]] = {"training": [], "validation": [], "test": []}
    for pair in find_pairs(path):
        parts[part_of(pair.name)].append(pair)
    return DataSet(name, tuple(parts["training"]), tuple(parts["test"][:most]))


def part_of(name: str) -> str:
    """Part that an image of a name belongs to, 80:10:10; the same whatever else there is."""
    percent = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 100
    if percent < TEST_SHARE:
        return "test"
    return "validation" if percent < TEST_SHARE + VALIDATION_SHARE else "training"
