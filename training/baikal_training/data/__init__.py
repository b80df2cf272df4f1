"""Clean images on disk -> random training crops.

``readers`` opens files of every format, ``sources`` makes normalised volumes of them, ``splits`` deals them
out to training, validation and test, and ``crops`` draws from them.
"""

from __future__ import annotations

from baikal_training.data.augmentation import AUGMENTATIONS, Augmentation
from baikal_training.data.crops import CropDataset, validation_crops
from baikal_training.data.readers import Planes
from baikal_training.data.sources import Catalogue, noisy_sample, open_clean
from baikal_training.data.splits import Shares, Split, split
from baikal_training.data.volumes import CleanVolume, in_memory

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Catalogue",
    "CleanVolume",
    "CropDataset",
    "Planes",
    "Shares",
    "Split",
    "in_memory",
    "noisy_sample",
    "open_clean",
    "split",
    "validation_crops",
]
