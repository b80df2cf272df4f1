from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter, label

from baikal_deploy.errors import ConfigError
from baikal_training.simulate import BACKGROUND, Volume, simulate_nuclei

SMALL = (6, 96, 128)


@pytest.fixture(scope="module")
def clean() -> Volume:
    return simulate_nuclei(SMALL, seed=3)


def correlation(a: Volume, b: Volume) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_the_same_seed_gives_the_same_volume_and_another_seed_another(clean: Volume) -> None:
    assert np.array_equal(simulate_nuclei(SMALL, seed=3), clean)
    assert abs(correlation(simulate_nuclei(SMALL, seed=4), clean)) < 0.5


@pytest.mark.parametrize(("shape", "mean"), [((1, 32, 48), 0.193147), ((3, 40, 32), 0.264719)])
def test_the_pixels_of_a_seed_stay_the_same(shape: tuple[int, int, int], mean: float) -> None:
    # The shipped sample and the figures in the documentation are made of these.
    assert simulate_nuclei(shape, seed=5).mean() == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 16, 70), SMALL])
def test_shape_type_and_range(shape: tuple[int, int, int]) -> None:
    volume = simulate_nuclei(shape, seed=1)
    assert volume.shape == shape
    assert volume.dtype == np.float32
    assert volume.max() == 1
    assert volume.min() > 0.5 * BACKGROUND


@pytest.mark.parametrize("seed", range(4))
def test_nuclei_stand_on_a_dark_background(seed: int) -> None:
    volume = simulate_nuclei(SMALL, seed)
    assert np.median(volume) < 3 * BACKGROUND
    assert 0.03 < np.mean(volume > 0.25) < 0.35
    assert label(volume > 0.25)[1] >= 5


@pytest.mark.parametrize("seed", range(4))
def test_bright_nuclei_and_not_a_lone_speck_set_the_range(seed: int) -> None:
    assert np.percentile(simulate_nuclei(SMALL, seed), 99.9) > 0.75


def test_the_smallest_volumes_hold_a_nucleus_too() -> None:
    steepest = [np.abs(np.diff(simulate_nuclei((1, 16, 16), seed))).max() for seed in range(20)]
    assert min(steepest) > 0.1


def test_the_interior_of_nuclei_is_textured(clean: Volume) -> None:
    smooth = gaussian_filter(clean, (0, 2, 2))
    interior = binary_erosion(clean > 0.25, np.ones((1, 9, 9)))
    # 0.08 as simulated, 0.04 without the chromatin net
    assert (clean / smooth)[interior].std() > 0.06


@pytest.mark.parametrize("seed", range(3))
def test_near_planes_resemble_each_other_more_than_distant_ones(seed: int) -> None:
    volume = simulate_nuclei((9, 96, 96), seed)
    by_distance = [np.mean([correlation(volume[z], volume[z + d]) for z in range(9 - d)]) for d in (1, 3, 7)]
    assert by_distance[0] > 0.75
    assert by_distance[0] > by_distance[1] + 0.1 > by_distance[2] + 0.2


@pytest.mark.parametrize("shape", [(0, 32, 32), (2, 15, 32), (2, 32, 15), (32, 32)])
def test_shapes_that_cannot_be_simulated_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="shape is"):
        simulate_nuclei(shape)


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ConfigError, match="seed is -1"):
        simulate_nuclei(SMALL, -1)


def test_simulating_needs_no_torch() -> None:
    code = "import sys, baikal_training.simulate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
