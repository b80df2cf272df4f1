"""Copies of test images among clean images, found by what they show.

``keypoints`` describes places in a plane, ``search`` finds planes with places in common, in ``turns`` of each
other, and ``overlap`` compares such planes pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.pixels.arrays import Plane
from baikal_training.data.copies.keypoints import Keypoints, keypoints
from baikal_training.data.copies.overlap import likeness
from baikal_training.data.copies.search import Index
from baikal_training.data.readers import Planes

MOST_PLANES = 32
"""Most planes of a volume that are looked at, evenly spaced: neighbours in a stack show much the same."""


@dataclass(frozen=True)
class Copy:
    """A volume that shows what a test image shows.

    Attributes:
        volume: its number.
        test: name of the test image.
    """

    volume: int
    test: str


def find_copies(volumes: Sequence[Planes], tests: Sequence[Planes]) -> list[Copy]:
    """Volumes that show what one of some test images shows, each once, in their order.

    Found are copies that are binned, cropped, magnified (0.5 to 2 times), turned by quarters, mirrored,
    stretched in contrast, of another pixel type, and noisier or less noisy.

    Raises:
        VolumeError: pixels that cannot be read.
    """
    looked_at = [(number, plane) for number, volume in enumerate(volumes) for plane in _chosen(volume)]
    described = [_described(volumes[number], plane) for number, plane in looked_at]
    if not any(len(found) for found in described):
        return []
    index = Index(described)
    found: dict[int, str] = {}
    for test in tests:
        for chosen in _chosen(test):
            other = _read(test, chosen)
            for guess in index.guesses(keypoints(other)):
                number, plane = looked_at[guess.plane]
                if number not in found and likeness(_read(volumes[number], plane), other, guess).is_copy:
                    found[number] = test.name
    return [Copy(number, found[number]) for number in sorted(found)]


def _chosen(planes: Planes) -> Iterator[int]:
    count = planes.shape[0]
    looked_at = min(count, MOST_PLANES)
    return ((2 * i + 1) * count // (2 * looked_at) for i in range(looked_at))


def _described(planes: Planes, plane: int) -> Keypoints:
    return keypoints(_read(planes, plane))


def _read(planes: Planes, plane: int) -> Plane:
    _, height, width = planes.shape
    pixels = planes.read(plane, slice(0, height), slice(0, width)).astype(np.float32)
    if not np.isfinite(pixels).all():
        raise VolumeError(f"{planes.name}, plane {plane}: holds NaN or infinite pixels; take the file away")
    return pixels
