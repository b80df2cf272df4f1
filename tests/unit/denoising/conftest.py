"""A still scene in some frames, and a model that knows each pixel alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from baikal_deploy import Denoiser
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

SHAPE, FRAMES = (128, 112), 5


@pytest.fixture(scope="module")
def denoiser() -> Iterator[Denoiser]:
    with Denoiser.load(engine="analytic") as denoiser:
        yield denoiser


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A scene that stays, seen in 5 frames, uint16."""
    return Camera().expose(np.repeat(simulate_nuclei((1, *SHAPE), seed=5), FRAMES, axis=0), seed=5)


def expected() -> np.ndarray:
    """The frames' scene without noise, in their units."""
    return Camera().expected(simulate_nuclei((1, *SHAPE), seed=5))[0]
