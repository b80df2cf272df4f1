"""Random streams of the simulator."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.random import Generator

from baikal_deploy.errors import ConfigError


class Stream(IntEnum):
    """First word of the random key: streams of the same seed are independent."""

    SCENE = 0
    NUCLEUS = 1
    NOISE = 2
    CAMERA = 3
    LAYOUT = 4
    CELL = 5
    VOLUME = 6
    ROWS = 7


def generator(stream: Stream, seed: int, index: int = 0) -> Generator:
    """The generator of one stream, and of its ``index``-th part.

    Raises:
        ConfigError: a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"simulation: the seed is {seed}; it must be 0 or more")
    return np.random.default_rng([int(stream), seed, index])
