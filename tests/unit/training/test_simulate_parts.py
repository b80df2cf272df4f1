from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from baikal_training.simulate.motion import FLOW, Motion
from baikal_training.simulate.optics import Optics, voxel_grid
from baikal_training.simulate.packing import Points, neighbours, packed
from baikal_training.simulate.waves import WaveField


def test_wave_fields_have_zero_mean_unit_variance_and_their_wavelength() -> None:
    grid = voxel_grid((200, 200), np.ones(2))
    fields = np.stack([WaveField.random(np.random.default_rng(seed), 20, 2)(grid) for seed in range(8)])
    assert fields.mean() == pytest.approx(0, abs=0.05)
    assert fields.var() == pytest.approx(1, abs=0.1)
    crossings = np.mean(np.signbit(fields[..., 1:]) != np.signbit(fields[..., :-1]))
    assert crossings == pytest.approx(np.sqrt(2) / 20, rel=0.2)  # Rice: 2/wavelength, over √2 in 2-D


@pytest.mark.parametrize("extent", [(60.0, 120.0, 120.0), (250.0, 250.0)])
def test_packed_points_keep_their_distance(extent: tuple[float, ...]) -> None:
    def distance(points: Points) -> Points:
        return np.where(points[:, -1] < extent[-1] / 2, 10.0, 20.0)

    points, wanted = packed(np.random.default_rng(0), np.array(extent), distance)
    nearest = cKDTree(points).query(points, k=2)[0][:, 1] / wanted
    uniform = np.random.default_rng(1).uniform(0, extent, points.shape)
    by_chance = cKDTree(uniform).query(uniform, k=2)[0][:, 1] / wanted
    assert np.percentile(nearest, 10) > 0.6
    assert np.percentile(nearest, 10) > 2 * np.percentile(by_chance, 10)
    assert np.count_nonzero(wanted == 10) > 2.5 * np.count_nonzero(wanted == 20)
    assert np.all((points >= 0) & (points <= extent))


def test_neighbours_lists_every_pair_once() -> None:
    one, two = neighbours(np.array([[0.0, 0], [0, 1], [0, 9]]), 2)
    assert (one.tolist(), two.tolist()) == ([0], [1])


def test_motion_is_smooth_and_bounded() -> None:
    motion, points = (
        Motion.random(np.random.default_rng(3), 2),
        np.random.default_rng(4).uniform(0, 200, (2, 50)),
    )
    path = np.stack([motion.displacement(points, t) for t in range(200)])
    assert np.abs(np.diff(path, axis=0)).max() < 2
    assert 0.3 * FLOW < path.std() < 2 * FLOW
    assert np.abs(path).max() < 5 * FLOW


def test_optics_keep_the_light_and_lose_it_with_depth() -> None:
    optics = Optics((0.7, 0.5, 1.0), (0.2, 1.5, 3.0), (0.1, 2.0, 8.0), fading=50.0, background=0.0)
    point = np.zeros((15, 64, 64), np.float32)
    point[7, 32, 32] = 1
    assert optics.image(point, np.zeros((15, 1, 1), np.float32)).sum() == pytest.approx(1, rel=0.02)
    deep = optics.image(point, np.full((15, 1, 1), 50, np.float32))
    assert deep.sum() == pytest.approx(np.exp(-1), rel=0.02)
    shallow = optics.image(point, np.zeros((15, 1, 1), np.float32))
    assert deep.max() / deep.sum() < 0.9 * shallow.max() / shallow.sum()  # blurred too
