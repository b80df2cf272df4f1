"""The noise field's format, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.errors import ConfigError
from baikal_deploy.noise import BLOCK, NoiseField


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
def test_seed_out_of_range(seed: int) -> None:
    with pytest.raises(ConfigError, match=f"seed {seed}"):
        NoiseField(seed, 0, (4, 4))(0, 0)
