"""The only source of random numbers: normal fields addressed by coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Planes, array_namespace, device

BLOCK = 64
"""Side of the square blocks, each with its own generator. Part of the format: results change with it."""
WORD = 0xFFFFFFFF
"""Mask of 32 bits."""


@dataclass(frozen=True)
class NoiseField:
    """Standard normal noise as a function of (seed, plane, visit, draw, y, x).

    A plane is covered by fixed blocks of 64², and each block has its own counter-based generator,
    Philox(key = [seed, plane], counter = [0, block, visit, draw]); so a crop of the field equals
    the field of the crop bit for bit, and nothing depends on tiles, batches, workers or restarts.

    Attributes:
        seed: seed of the run, 0 … 2⁶⁴−1.
        plane: index of the plane in its volume.
        shape: (height, width) of the field.
        origin: (y, x) of its first pixel in the whole plane.
    """

    GENERATOR: ClassVar[str] = "philox4x64-ziggurat-64x64"

    seed: int
    plane: int
    shape: tuple[int, int]
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        _check_seed(self.seed)

    def __call__(self, visit: int, draw: int) -> NDArray[np.float32]:
        """The field for the walk's ``visit``-th position and the ``draw``-th draw there: (H, W)."""
        (top, left), (height, width) = self.origin, self.shape
        rows = range(top // BLOCK, -(-(top + height) // BLOCK))
        columns = range(left // BLOCK, -(-(left + width) // BLOCK))
        field = np.empty((len(rows) * BLOCK, len(columns) * BLOCK), dtype=np.float32)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                block = self._block(row, column, visit, draw)
                field[i * BLOCK : (i + 1) * BLOCK, j * BLOCK : (j + 1) * BLOCK] = block
        y, x = top - rows.start * BLOCK, left - columns.start * BLOCK
        return field[y : y + height, x : x + width]

    def _block(self, row: int, column: int, visit: int, draw: int) -> NDArray[np.float32]:
        counter = np.array([0, row << 32 | column, visit, draw], dtype=np.uint64)
        key = np.array([self.seed, self.plane], dtype=np.uint64)
        generator = np.random.Generator(np.random.Philox(counter=counter, key=key))
        return generator.standard_normal((BLOCK, BLOCK), dtype=np.float32)


class DeviceNoiseField:
    """Noise field of several planes on their device; its values differ from those of ``NoiseField``.

    Four neighbours along x take the four words of Philox4x32-10 with counter (x // 4, y, visit, draw),
    each below 2³², and a key of 64 bits that the same generator makes of the seed and the plane.
    A crop of the field equals the field of the crop bit for bit on one device and in one array
    module; elsewhere the logarithm, sine and cosine round differently.

    Arguments:
        seed: seed of the run, 0 … 2⁶⁴−1.
        planes: indices of the planes in their volume, 0 … 2⁶⁴−1.
        shape: (height, width) of the field.
        like: an array of the module and on the device to use.
        origin: (y, x) of its first pixel in the whole plane.
    """

    GENERATOR: ClassVar[str] = "philox4x32-box-muller"

    def __init__(
        self,
        seed: int,
        planes: Sequence[int],
        shape: tuple[int, int],
        like: Planes,
        origin: tuple[int, int] = (0, 0),
    ) -> None:
        _check_seed(seed)
        self._xp = xp = array_namespace(like)
        options: dict[str, Any] = {"dtype": xp.int64, "device": device(like)}
        (top, left), (height, width) = origin, shape
        first, last = left // 4, (left + width - 1) // 4
        self._columns = xp.arange(first, last + 1, **options)
        self._rows = xp.reshape(xp.arange(top, top + height, **options), (height, 1))
        self._crop = slice(left - 4 * first, left - 4 * first + width)
        keys = xp.asarray([round_keys(_key(seed, plane)) for plane in planes], **options)
        keys = xp.reshape(keys, (len(planes), -1, 2, 1, 1))
        self._keys = [(keys[:, i, 0, ...], keys[:, i, 1, ...]) for i in range(keys.shape[1])]

    def __call__(self, visit: int, draw: int) -> Planes:
        """The fields for the walk's ``visit``-th position and the ``draw``-th draw there: (N, 1, H, W)."""
        a, b, c, d = philox((self._columns, self._rows, visit, draw), self._keys)
        count, height, fours = a.shape
        field = self._xp.stack([*box_muller(a, b), *box_muller(c, d)], axis=-1)
        planes: Planes = self._xp.reshape(field, (count, 1, height, 4 * fours))[..., self._crop]
        return planes


def philox(counter: Sequence[Any], keys: Iterable[tuple[Any, Any]]) -> tuple[Any, Any, Any, Any]:
    """Philox4x32-10 (Salmon et al. 2011): four random words for a counter of four.

    Words are ints, or int64 arrays that broadcast together, of 32 bits each.

    Args:
        keys: from ``round_keys``.
    """
    a, b, c, d = counter
    for left, right in keys:
        high_a, low_a = _product(a, 0xD2511F53)
        high_c, low_c = _product(c, 0xCD9E8D57)
        a, b, c, d = high_c ^ b ^ left, low_c, high_a ^ d ^ right, low_a
    return a, b, c, d


def round_keys(key: tuple[int, int]) -> list[tuple[int, int]]:
    """The two words of a key in each of the ten rounds.

    Args:
        key: two words of 32 bits.
    """
    return [((key[0] + i * 0x9E3779B9) & WORD, (key[1] + i * 0xBB67AE85) & WORD) for i in range(10)]


def box_muller(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[Planes, Planes]:
    """Two independent standard normal float32 numbers of each two 32-bit words (Box & Muller 1958).

    Args:
        a: words, 0 … 2³²−1.
        b: words of the same shape.

    Returns:
        Two arrays of that shape.
    """
    xp = array_namespace(a)
    uniform = xp.astype(a + 1, xp.float32) * 2.0**-32  # 2⁻³² … 1: its logarithm is finite
    radius = xp.sqrt(-2.0 * xp.log(uniform))
    angle = xp.astype(b, xp.float32) * (2 * math.pi * 2.0**-32)
    return radius * xp.cos(angle), radius * xp.sin(angle)


def _product(word: Any, multiplier: int) -> tuple[Any, Any]:
    """High and low word of a product of 32-bit words.

    Both multipliers exceed 2³¹; less 2³² they keep the product within int64, which has no defined
    overflow in the array API. Its low word stays, and its high word lacks ``word``.
    """
    product = word * (multiplier - 2**32)
    return (product >> 32) + word, product & WORD


def _key(seed: int, plane: int) -> tuple[int, int]:
    """A key for one plane: 64 bits of the generator itself, keyed by the seed."""
    words = philox((plane & WORD, plane >> 32, 0, 0), round_keys((seed & WORD, seed >> 32)))
    return words[0], words[1]


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed {seed}: must lie within 0 … 2^64 − 1")


def noise_generator(like: Planes) -> str:
    """Name of the generator that ``noise_source`` takes for such arrays.

    Args:
        like: an array of the module that computes.
    """
    return NoiseField.GENERATOR if isinstance(like, np.ndarray) else DeviceNoiseField.GENERATOR


def noise_source(
    seed: int,
    planes: Sequence[int],
    shape: tuple[int, int],
    like: Planes,
    origin: tuple[int, int] = (0, 0),
) -> Callable[[int, int], Planes]:
    """Source of the noise of several planes: (visit, draw) -> (len(planes), 1, height, width).

    Args:
        seed: of the run, 0 … 2⁶⁴−1.
        planes: their indices in the volume.
        shape: (height, width) of what is returned.
        like: an array of the module and on the device of what is returned.
        origin: (y, x) of the first pixel in the whole plane.
    """
    if not isinstance(like, np.ndarray):
        return DeviceNoiseField(seed, planes, shape, like, origin)
    fields = [NoiseField(seed, plane, shape, origin) for plane in planes]

    def noise(visit: int, draw: int) -> Planes:
        return np.stack([field(visit, draw) for field in fields])[:, None]

    return noise
