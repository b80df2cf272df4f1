"""Objects far brighter than all the rest: they do not set the scale, and the network does not see how bright.

A bead, a dead cell or debris of a few thousandths of the pixels takes the upper percentile, and then the
cells lie in a hundredth of the network's range. Where leaving out the brightest pixels shrinks the range by
much, and what is left shows more than noise, the scale is that of the rest. Sparse puncta or cells on an
empty background are the signal, and keep it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.arrays import Raw

BRIGHTEST_SHARES = (0.3, 0.5, 0.8, 1.2, 1.8, 2.5, 3.5)
"""Percentages of the pixels that may be far brighter than the rest."""
FAR = 5.0
"""Factor by which the range shrinks without them."""
WIDE_SHARES = (5.0, 7.0)
"""More of the pixels, since the light of an object of 2 % that is bright enough spreads so far."""
WIDE_FAR = 20.0
"""The same factor without these: a twentieth of the pixels may be all cells there are."""
STRUCTURE = 4.0
"""Standard deviations of the noise that the range of the rest has at least."""
NOISE = 4.0
"""Standard deviations of the noise that a pixel of the brightest kind may add."""
SETTLED = 1.25
"""Factor on the range without the largest share up to which a smaller one is enough."""
BRIGHTEST_TRAINED = 5.0
"""Intensity on the network's scale beyond which training shows it nothing: 3 times the upper percentile."""


def scale_of(normalisation: Normalisation, planes: Sequence[Raw], noise: NoiseModel) -> IntensityMap:
    """The map of planes by their percentiles, without objects far brighter than the rest.

    Args:
        normalisation: the percentiles.
        planes: estimates without noise, (H, W) each, in raw units; pixels that are not finite are left out.
        noise: that was in them; what the rest has, and not the mean with the bright objects' own.
    """
    whole = normalisation.of(planes)
    pixels = np.concatenate(
        [np.empty(0), *(plane[np.isfinite(plane)].astype(np.float64) for plane in planes)]
    )
    if whole.is_constant:
        return whole
    shares = np.array(BRIGHTEST_SHARES + WIDE_SHARES) / 100
    highs = np.percentile(pixels, (1 - shares) * normalisation.high)
    for count, far in ((len(BRIGHTEST_SHARES), FAR), (len(shares), WIDE_FAR)):
        rest = highs[count - 1] - whole.low
        sigma = float(noise.std(highs[count - 1]))
        if not rest > 0 or rest < STRUCTURE * sigma or whole.high - whole.low < far * rest:
            continue
        enough = highs[:count] - whole.low <= SETTLED * rest
        return IntensityMap(whole.low, float(highs[np.argmax(enough)]))
    return whole


def ceiling(intensity: IntensityMap, noise: NoiseModel) -> float:
    """The intensity, in raw units, from which on the network is not shown more; noise alone does not exceed
    it."""
    brightest = float(intensity.low + (BRIGHTEST_TRAINED + 1) * intensity.half)
    return brightest + NOISE * float(noise.std(np.array(brightest)))


def below(planes: Raw, limit: float) -> tuple[Raw, Raw | None]:
    """Planes up to a limit, and what exceeds it, to be added to the result; None where nothing does.

    Args:
        planes: finite, of any shape, in raw units.
        limit: in raw units.
    """
    if not planes.size or planes.max() <= limit:
        return planes, None
    low = np.minimum(planes, planes.dtype.type(limit))
    return low, planes.astype(np.float64) - low
