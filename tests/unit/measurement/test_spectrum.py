"""Autocovariance and spectrum of noise that is known."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.spectrum import (
    REACH,
    Spectrum,
    autocovariance,
    check_kernel,
    covariance_of,
    power_of,
    tapered,
    total_std,
)

SHAPE = (384, 320)
EVERYWHERE = np.ones(SHAPE, dtype=bool)


def white(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def kernel_of(row: list[float], reach: int = 3) -> tuple[tuple[float, ...], ...]:
    values = np.zeros((2 * reach + 1, 2 * reach + 1))
    values[reach, reach - len(row) // 2 : reach + len(row) // 2 + 1] = row
    return tuple(map(tuple, values.tolist()))


ROWS = kernel_of([0.1, 0.4, 1, 0.4, 0.1])


def test_autocovariance_is_the_mean_product_at_each_distance() -> None:
    plane = white()
    plane -= plane.mean()
    found, count = autocovariance([plane], [EVERYWHERE])
    for dy, dx in ((0, 0), (0, 5), (3, -2), (12, 12)):
        here = plane[dy:, max(dx, 0) : SHAPE[1] + min(dx, 0)]
        there = plane[: SHAPE[0] - dy, max(-dx, 0) : SHAPE[1] - max(dx, 0)]
        assert found[REACH + dy, REACH + dx] == pytest.approx((here * there).mean(), abs=1e-12)
        assert count[REACH + dy, REACH + dx] == here.size


def test_autocovariance_leaves_out_what_is_masked() -> None:
    plane, mask = white(), EVERYWHERE.copy()
    mask[:, 200:] = False
    plane[:, 200:] = np.nan
    cut, _ = autocovariance([plane[:, :200]], [mask[:, :200]])
    np.testing.assert_allclose(autocovariance([plane], [mask])[0], cut, atol=1e-12)


def test_nothing_but_masked_pixels() -> None:
    found, count = autocovariance([white()], [~EVERYWHERE])
    assert not found.any()
    assert not count.any()


def test_spectrum_of_white_noise_is_flat() -> None:
    covariance, _ = autocovariance([white()], [EVERYWHERE])
    assert power_of(tapered(covariance), (64, 64)) == pytest.approx(1, abs=0.15)
    assert Spectrum(4.0, ((0.0,) * 3, (0.0, 1.0, 0.0), (0.0,) * 3)).power() == pytest.approx(4)


def test_power_and_covariance_are_each_others_inverse() -> None:
    spectrum = Spectrum(2.0, ROWS, rows=0.1)
    covariance = spectrum.covariance(64)
    np.testing.assert_allclose(covariance_of(spectrum.power(), 64), covariance, atol=1e-9)
    assert covariance[64, 64] == pytest.approx(spectrum.std**2)
    assert covariance[64, 64 + 20] == pytest.approx(2 * 0.1 * (1 - 20 / 65))


def test_variance_of_means() -> None:
    rng = np.random.default_rng(3)
    noise = white() + np.roll(white(), 1, axis=1) + 0.3 * rng.standard_normal((SHAPE[0], 1))
    spectrum = Spectrum(2.0, kernel_of([0.5, 1, 0.5]), rows=0.3**2 / 2)
    means = noise.reshape(SHAPE[0] // 8, 8, SHAPE[1] // 8, 8).mean(axis=(1, 3))
    assert spectrum.of_means(8) == pytest.approx(means.var(), rel=0.15)


def test_total_std_is_that_over_the_finest_detail() -> None:
    diagonal = ((0.3, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.3))
    down = tuple(map(tuple, np.transpose(ROWS).tolist()))
    found = [total_std(kernel) for kernel in (ROWS, down, diagonal)]
    np.testing.assert_allclose(found, [1 / np.sqrt(0.6), 1 / np.sqrt(0.6), 1 / np.sqrt(1.15)])


@pytest.mark.parametrize("reach", [1, 3, 12])
def test_kernels_of_any_reach_are_taken(reach: int) -> None:
    check_kernel(kernel_of([0.4, 1, 0.4], reach))


@pytest.mark.parametrize(
    "kernel",
    [
        (),
        ((1.0,),),
        kernel_of([0.4, 1, 0.4], 13),
        kernel_of([0.4, 1, 0.4])[:-1],
        kernel_of([0.4, 0.9, 0.4]),
        kernel_of([0.4, 1, 0.3]),
        kernel_of([1.4, 1, 1.4]),
        kernel_of([1, 1, 1]),
    ],
)
def test_impossible_kernels_are_refused(kernel: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ConfigError, match="noise_correlation"):
        check_kernel(kernel)
