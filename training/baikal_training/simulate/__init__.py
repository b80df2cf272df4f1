"""Simulated microscopy, clean and noisy, for training, tests and benchmarks; numpy and scipy only.

One file per morphology in `scenes`; each paints a thick 3-D scene, moves it from frame to frame, and
sends it through a point spread function. Planes are cuts through one scene. Lengths are in pixels of
a plane.
"""

from __future__ import annotations

import numpy as np

from baikal_deploy.errors import ConfigError
from baikal_deploy.plugins import load_plugin, plugin_names
from baikal_training.simulate.scenes.base import MIN_SIZE, Scene, Volume
from baikal_training.simulate.scenes.nuclei import BACKGROUND, PLANE_SPACING, simulate_nuclei

__all__ = [
    "BACKGROUND",
    "PLANE_SPACING",
    "Volume",
    "load_scene",
    "morphologies",
    "simulate",
    "simulate_nuclei",
]

SCENES = "baikal_training.simulate.scenes"
MAX_VOXELS = 2**29


def morphologies() -> list[str]:
    """Names that ``simulate`` knows."""
    return plugin_names(SCENES)


def load_scene(morphology: str) -> Scene:
    """The scene of a morphology.

    Raises:
        ConfigError: an unknown morphology; the message lists those there are.
    """
    return load_plugin(SCENES, morphology, Scene)()  # type: ignore[type-abstract]


def simulate(morphology: str, shape: tuple[int, int, int, int], seed: int = 0) -> Volume:
    """A clean image: background low, the brightest voxel 1.

    Args:
        morphology: one of ``morphologies()``.
        shape: (T, Z, Y, X); planes of at least MIN_SIZE x MIN_SIZE pixels, MAX_VOXELS in all at most.
        seed: 0 or more; the same seed gives the same image.

    Returns:
        (T, Z, Y, X), within 0 … 1.

    Raises:
        ConfigError: an unknown morphology; the shape or the seed is out of range.
    """
    scene = load_scene(morphology)
    check_shape(shape)
    return scene.to_unit(np.stack(list(scene.frames(shape, seed))))


def check_shape(shape: tuple[int, ...]) -> None:
    """Check the shape (T, Z, Y, X) of an image to simulate.

    Raises:
        ConfigError: ``simulate`` does not take it.
    """
    if len(shape) != 4 or min(shape[:2]) < 1 or min(shape[2:]) < MIN_SIZE:
        raise ConfigError(f"simulation: shape is {shape}; give at least (1, 1, {MIN_SIZE}, {MIN_SIZE})")
    if np.prod([float(n) for n in shape]) > MAX_VOXELS:
        raise ConfigError(f"simulation: shape {shape} is more than {MAX_VOXELS:,} voxels; make it smaller")
