"""The fused graph finds how pixels share their noise as the runtime does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.bands import patchiness
from baikal_deploy.measurement.correlation import background, dark_pixels, find_correlation
from baikal_deploy.measurement.surroundings import base
from baikal_export.fused.matched.correlating import Search
from baikal_export.fused.matched.residuals import Dark
from baikal_export.fused.matched.spectrum import Correlation
from baikal_export.fused.matched.surroundings import base_of
from baikal_export.fused.nodes import Value
from tests.unit.export.test_fused_matched import computed

SHAPE = (2, 131, 146)
Made = Callable[[np.random.Generator], np.ndarray]


def rows(random: np.random.Generator) -> np.ndarray:
    return gaussian_filter(random.normal(size=SHAPE), (0, 0, 0.8)) * 2


def lines(random: np.random.Generator) -> np.ndarray:
    shared = random.normal(size=(2, SHAPE[1], 1)) / 1.5 + random.normal(size=(2, 1, SHAPE[2])) / 2
    return random.normal(size=SHAPE) + shared


def broad(random: np.random.Generator) -> np.ndarray:
    blobs = gaussian_filter(random.normal(size=SHAPE), (0, 1.3, 1.3))
    return random.normal(size=SHAPE) + 3 * blobs / blobs.std()


def white(random: np.random.Generator) -> np.ndarray:
    return random.normal(size=SHAPE)


def scene() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return np.stack([30 * np.sin(x / 31) * np.sin(y / 23), 25 * np.cos(x / 17 + y / 40)]) + 50


@pytest.mark.parametrize("made", [rows, lines, broad, white])
def test_found_as_in_the_runtime(made: Made) -> None:
    noise = made(np.random.default_rng(0)).astype(np.float32)
    planes = (scene() + noise).astype(np.float32)
    masks = dark_pixels(planes, [base(base(plane)) for plane in planes])
    less = [plane - background(plane, mask) for plane, mask in zip(planes, masks, strict=True)]
    expected = find_correlation(less, masks, lambda factor: [min(factor, 1) * one for one in noise])

    def find(image: Value, taken: Value) -> Sequence[Value]:
        dark, independent = Dark.of(base_of(image)), Correlation.white(image.nodes)
        search = Search(dark, dark.residual(image - dark.background(image)), lambda factor: taken)
        nothing = independent.values
        return image.nodes.either(
            search.is_suspect,
            lambda: search.found(lambda found: found.values, nothing),
            lambda: nothing,
        )

    std, raised, by_rows, by_columns, kernel = computed(find, image=planes[:, None], taken=noise[:, None])
    assert (expected.kernel is None) == (made is white)
    assert (expected.rows > 0) == (expected.columns > 0) == (made is lines)
    found = [std, raised, by_rows, by_columns]
    known = [expected.std, expected.raised, expected.rows, expected.columns]
    np.testing.assert_allclose(found, known, rtol=0, atol=2e-3)
    if expected.kernel is not None:
        np.testing.assert_allclose(kernel, expected.kernel, rtol=0, atol=2e-3)


@pytest.mark.parametrize("side", [330, 70])
def test_patchiness_is_that_of_the_runtime(side: int) -> None:
    """Of a small plane too few squares tell."""
    y = np.arange(side)[:, None]
    noise = np.random.default_rng(1).normal(size=(1, side, side)) * (1 + 0.8 * np.sin(y / 40))
    planes = (100 + y + noise).astype(np.float32)
    masks = dark_pixels(planes, [base(base(plane)) for plane in planes])

    def patchy(image: Value, values: Value) -> Sequence[Value]:
        return [Dark.of(base_of(image)).patchiness(values)]

    (found,) = computed(patchy, image=planes[:, None], values=noise[:, None].astype(np.float32))
    expected = patchiness(list(noise), masks)
    assert (expected < 1) == (side == 330)
    assert found == pytest.approx(min(expected, 3e38), rel=1e-3)
