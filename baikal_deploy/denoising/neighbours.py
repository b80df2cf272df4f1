"""What a channel's results tell of each other: how far neighbours may differ, and what fusing them brings.

Both are told by a few places of the data, whose results are probed (probes.py). What the model does not know,
and what moves too far from plane to plane, makes the error of a fused result grow, and the gate stays closed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.fusion import cells, window_mean
from baikal_deploy.denoising.probes import STEP, Place, Seen, known_in
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.measurement.gate import NEIGHBOURS, Fuse, Gate
from baikal_deploy.pixels.arrays import Plane, Planes, Raw

OPENINGS = {"t": (0.5, 1.0, 1.5, 1.75), "z": (0.5, 0.75, 1.0, 1.5, 2.0)}
"""Factors on the standard deviation of what noise is left, of which the best is taken: larger ones average
more, and lose more of what flashes up."""
STREAM_OPENING = 1.5
"""The same for a stream."""
MOST_RAISED = 4.0
"""Most that the standard deviation is raised by what results of the data differ by."""


def unfused(denoiser: Denoiser, recipe: Recipe, planes: Raw) -> Planes:
    """Results of planes on the network's scale, NaN where they hold none.

    Args:
        denoiser: the model.
        recipe: of the planes' channel.
        planes: (N, H, W) in raw units.

    Raises:
        EngineError: the network failed.
    """
    wanted = Wanted(np.float32, guard=False, unfused=True)
    found: Planes = denoiser.run(recipe, Stack(planes, range(len(planes))), wanted=wanted).planes
    return found


def measure_gate(denoiser: Denoiser, recipe: Recipe, places: Sequence[Place], axes: Fuse) -> Gate:
    """Gate of a channel: that with the least error, or rather the least that is to be feared.

    Args:
        denoiser: the model.
        recipe: of the channel.
        places: some of it; a handful is enough.
        axes: along which results are to be fused.

    Raises:
        EngineError: the network failed.
    """

    def denoise(planes: Planes) -> Planes:
        return unfused(denoiser, recipe, recipe.measurement.intensity.raw(planes))

    seen = [Seen.of(place, recipe, denoise, number) for number, place in enumerate(places)]
    if not seen:
        return Gate.closed(axes)
    gate = replace(
        Gate.closed(axes), left=_mean(one.left for one in seen), coarse=_mean(one.coarse for one in seen)
    )
    for axis in axes:
        share = raised(seen, gate.left) if axis == "t" else gate.left
        choices = [
            replace(gate, allowed={**gate.allowed, axis: factor**2 * share}) for factor in OPENINGS[axis]
        ]
        gate = min([gate, *choices], key=lambda choice: sum(_change(choice, seen)))
    return replace(gate, gain=_gain(gate, seen))


def measure_stream_gate(denoiser: Denoiser, recipe: Recipe, frames: Sequence[Raw]) -> Gate:
    """Gate of a stream, of which frames before one are known, and none after it.

    Args:
        denoiser: the model.
        recipe: of the stream.
        frames: some of it, (H, W) each, in raw units; they need not follow each other.

    Raises:
        EngineError: the network failed.
    """
    intensity = recipe.measurement.intensity

    def denoise(planes: Planes) -> Planes:
        return unfused(denoiser, recipe, intensity.raw(planes))

    found = []
    for number, frame in enumerate(frames):
        place = Place(intensity.normalise(frame), unfused(denoiser, recipe, frame[None])[0], {})
        if known_in(place.own).any():
            found.append(Seen.of(place, recipe, denoise, number))
    if not found:
        return Gate.closed("t")
    left = _mean(one.left for one in found)
    return Gate(left, {"t": STREAM_OPENING**2 * left}, _mean(one.coarse for one in found))


def raised(seen: Sequence[Seen], left: float) -> float:
    """Share of the noise that is left, raised to what results of the data differ by where nothing changes.

    Half the mean square of what two frames differ by is the noise that is left, and what has changed, which
    grows with the time between them: the line through the medians at one and at two frames says what it is
    at none (the nugget of a variogram; Matheron 1963). It is compared to the median of what the probes say,
    as more is left in some places than in others. Noise that the measurement does not know is in there.

    Args:
        seen: places with neighbours along t.
        left: what the probes say.
    """
    probed, one, two = (
        np.concatenate([np.empty(0), *found]) for found in zip(*map(_differences, seen), strict=True)
    )
    if not two.size or not np.median(probed) > 0:
        return left
    factor = (2 * np.median(one) - np.median(two)) / np.median(probed)
    return left * min(max(float(factor), 1.0), MOST_RAISED**2)


def _differences(seen: Seen) -> tuple[Raw, Raw, Raw]:
    """Noise left around each pixel, over the noise: by the probes, and by frames one and two apart."""
    probed = _squares(seen.more, seen.less, seen.variance) / (2 * STEP**2)
    return probed, *_lags(seen)


def _lags(seen: Seen) -> tuple[Raw, Raw]:
    before, after = seen.place.sides["t"]
    row = [*reversed(before), seen.place.own, *after]
    one, two = (
        [_squares(*pair, seen.variance) for pair in zip(row, row[lag:], strict=False)] for lag in (1, 2)
    )
    return np.concatenate([np.empty(0), *one]), np.concatenate([np.empty(0), *two])


def _squares(first: Plane, second: Plane, variance: Plane) -> Raw:
    """Half of what two results differ by around each cell all of which has both, over the noise."""
    known = known_in(first, second)
    squares = window_mean(np.square(np.where(known, first - second, 0))) / (2 * cells(variance))
    whole: Raw = squares[cells(known.astype(np.float32)) == 1]
    return whole


def _change(gate: Gate, seen: Sequence[Seen]) -> tuple[float, float]:
    """Change of the mean squared error by fusion, and its standard error."""
    if gate.is_closed:
        return 0.0, 0.0
    blocks = np.concatenate([one.change(gate) for one in seen])
    return float(blocks.mean()), float(blocks.std()) / math.sqrt(blocks.size)


def _gain(gate: Gate, seen: Sequence[Seen]) -> float:
    """Decibels that fusion is expected to bring, if results err as a posterior mean does."""
    before = float(np.concatenate([one.expected_error() for one in seen]).mean())
    planes = 1 + 2 * sum(NEIGHBOURS[axis] for axis in gate.allowed)
    after = max(before + _change(gate, seen)[0], before / planes)  # a mean of so many can do no more
    return 10 * math.log10(before / after) if before > 0 else 0.0


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
