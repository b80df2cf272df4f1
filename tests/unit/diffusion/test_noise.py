"""The noise fields' formats, which of them is taken, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace, device
from numpy.testing import assert_allclose

from baikal_deploy.diffusion.random_field import (
    BLOCK,
    DeviceNoiseField,
    NoiseField,
    box_muller,
    noise_generator,
    noise_source,
    philox,
    round_keys,
)
from baikal_deploy.errors import ConfigError
from tests.array_engines import DEVICES, PLACES, STRICT, TORCH, downloaded

F = 0xFFFFFFFF
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((F, F, F, F), (F, F), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""(counter, key, words) of philox4x32-10 in the file kat_vectors of Random123, the authors' library."""


def test_format() -> None:
    """Stored results depend on it: 64² blocks, Philox with this key and this counter."""
    row, column = 2, 70_000
    counter = [0, row * 2**32 + column, 5, 3]
    generator = np.random.Generator(np.random.Philox(key=[11, 7], counter=counter))
    expected = generator.standard_normal((64, 64), dtype=np.float32)
    field = NoiseField(11, 7, (64, 64), (64 * row, 64 * column))(5, 3)
    assert BLOCK == 64
    assert np.array_equal(field, expected)


def test_whole_range_of_seeds() -> None:
    first, last = (NoiseField(seed, 0, (4, 4))(0, 0) for seed in (0, 2**64 - 1))
    assert not np.array_equal(first, last)


@pytest.mark.parametrize("seed", [-1, 2**64])
@pytest.mark.parametrize("place", PLACES)
def test_seed_out_of_range(seed: int, place: str) -> None:
    with pytest.raises(ConfigError, match=f"seed {seed}"):
        noise_source(seed, [0], (4, 4), PLACES[place])(0, 0)


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_philox_gives_the_published_words(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    assert philox(counter, round_keys(key)) == words
    for like in PLACES.values():
        xp, where = array_namespace(like), device(like)

        def words_of(values: tuple[int, ...], xp: Any = xp, where: Any = where) -> list[Any]:
            return [xp.asarray([value] * 3, dtype=xp.int64, device=where) for value in values]

        found = philox(words_of(counter), [tuple(words_of(pair)) for pair in round_keys(key)])
        assert [downloaded(word).tolist() for word in found] == [[word] * 3 for word in words]


def published_philox(counter: list[int], key: list[int]) -> list[int]:
    """As Salmon et al. 2011 write it, in whole numbers."""
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
        high2, low2 = divmod(0xCD9E8D57 * counter[2], 2**32)
        counter = [high2 ^ counter[1] ^ key[0], low2, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


@pytest.mark.parametrize("place", DEVICES)
def test_format_on_devices(place: str) -> None:
    """Stored results depend on it, too: counter, key, and which word goes where."""
    seed, planes, (top, left), visit, draw = 2**63 + 12345, [0, 2**32 + 7], (70_000, 1_000_003), 41, 3
    field = DeviceNoiseField(seed, planes, (2, 6), PLACES[place], (top, left))(visit, draw)
    assert field.shape == (2, 1, 2, 6)
    found = downloaded(field)
    assert found.dtype == np.float32
    for i, plane in enumerate(planes):
        key = published_philox([plane % 2**32, plane // 2**32, 0, 0], [seed % 2**32, seed // 2**32])[:2]
        for y, x in np.ndindex(2, 6):
            words = published_philox([(left + x) // 4, top + y, visit, draw], key)
            pair, second = divmod((left + x) % 4, 2)
            radius = math.sqrt(-2 * math.log((words[2 * pair] + 1) / 2**32))
            angle = 2 * math.pi * words[2 * pair + 1] / 2**32
            expected = radius * (math.sin(angle) if second else math.cos(angle))
            assert_allclose(found[i, 0, y, x], expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("place", DEVICES)
def test_every_word_becomes_a_finite_number(place: str) -> None:
    """The smallest reaches furthest out; the largest would be the logarithm of 0 if counted from there."""
    xp, where = array_namespace(PLACES[place]), device(PLACES[place])
    ends = xp.asarray([0, 1, 2**31, F - 1, F], dtype=xp.int64, device=where)
    found = downloaded(xp.stack(box_muller(ends, xp.zeros_like(ends))))
    assert_allclose(found[0], [6.6604, 6.5555, 1.17741, 0, 0], atol=1e-4)
    assert_allclose(found[1], 0, atol=1e-6)


def test_every_bit_of_seed_and_plane_counts_on_devices() -> None:
    at = [(0, 0), *((1 << bit, 0) for bit in range(64)), *((0, 1 << bit) for bit in range(64))]
    fields = {bytes(DeviceNoiseField(seed, [plane], (1, 4), TORCH)(0, 0).numpy()) for seed, plane in at}
    assert len(fields) == len(at)


@pytest.mark.parametrize("place", PLACES)
def test_the_source_fits_the_arrays(place: str) -> None:
    like = PLACES[place]
    field = noise_source(1, [4, 2], (5, 9), like)(3, 1)
    assert array_namespace(field) is array_namespace(like)
    assert device(field) == device(like)
    assert field.dtype == array_namespace(like).float32
    assert field.shape == (2, 1, 5, 9)
    expected = [
        (
            NoiseField(1, plane, (5, 9))(3, 1)
            if place == "numpy"
            else downloaded(DeviceNoiseField(1, [plane], (5, 9), like)(3, 1))[0, 0]
        )
        for plane in (4, 2)
    ]
    assert np.array_equal(downloaded(field)[:, 0], expected)


def test_generators_are_named() -> None:
    assert noise_generator(np.zeros(1, np.float32)) == "philox4x64-ziggurat-64x64"
    assert noise_generator(TORCH) == noise_generator(STRICT) == "philox4x32-box-muller"
