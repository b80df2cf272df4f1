"""Pairs of a noisy and a clean image: ``pair`` says what they are, ``layouts`` finds them."""

from __future__ import annotations

from pathlib import Path

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.pairs.layouts import LAYOUTS, pairs_at
from baikal_evaluation.pairs.pair import Pair
from baikal_training.data.readers import FORMATS, Channel, close_files

__all__ = ["LAYOUTS", "Pair", "find_pairs"]


def find_pairs(path: Path, channel: Channel = None) -> list[Pair]:
    """Pairs of a data set. No pixels are read, except from compressed .npz.

    Accepted are:

    - a folder with ``noisy/`` and ``clean/``, as ``baikal-simulate`` writes: images of the same name, whose
      suffixes may differ (.png, .ome.tif, .ome.zarr). Without ``clean/``, the pairs have no clean side.
    - the test data of CARE (csbdeep): a folder with ``GT/``, and ``condition_1/`` … or ``low/``.
    - the training data of CARE: an .npz with X, Y and axes. Each sample S is a pair. Where X has z planes and
      Y is one plane ("Flywing"), the noisy side is the max-projection of X, which the paper denoises too.
    - a .csv with the columns name, noisy and clean (may be empty); paths are relative to the file.

    Every time point of a series of volumes is one pair; a series of single planes is one pair of many planes.

    Args:
        path: the folder or file.
        channel: number (from 0) or name, of images with several.

    Raises:
        EvaluationError: another layout, no pairs, names without a partner, or shapes that differ.
        VolumeError: an image that cannot be read.
    """
    close_files()
    try:
        pairs = list(pairs_at(path, channel))
    except OSError as error:
        raise EvaluationError(
            f"{error.filename or path}: cannot be read: {error.strerror or error}; "
            f"check the path and its permissions"
        ) from error
    if not pairs:
        raise EvaluationError(f"{path}: no pairs of images in it; needed is {LAYOUTS}; {FORMATS} are read")
    return pairs
