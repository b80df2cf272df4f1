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
from baikal_deploy.denoising.probes import Place, Ready, Seen, known_in
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.remaining import of_probes, raised
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.measurement.gate import NEIGHBOURS, Fuse, Gate
from baikal_deploy.pixels.arrays import Planes, Raw, Values

OPENINGS = {"t": (0.5, 1.0, 1.5, 2.0), "z": (0.5, 1.0, 1.5, 2.0, 2.5)}
"""Factors on the standard deviation of what noise is left, which the gate is opened by: larger ones average
more, and lose more of what flashes up."""
CERTAIN = 2.0
"""Standard errors between which what fusion removes is taken to lie."""
STREAM_OPENING = 1.5
"""The same for a stream."""


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

    return gate_of([Seen.of(place, recipe, denoise, number) for number, place in enumerate(places)], axes)


def gate_of(seen: Sequence[Seen], axes: Fuse) -> Gate:
    """Gate of a channel, whose results were probed at some places; see ``measure_gate``.

    Args:
        seen: the places.
        axes: along which results are to be fused.
    """
    gate = of_probes(seen, axes)
    ready = [one.ready(gate) for one in seen]
    raises = {"t": raised(ready)} if "t" in axes and gate.left else {}
    unknown = raises["t"][0] - 1 if raises else 0.0
    for axis in axes if gate.left else "":
        squares, means = raises.get(axis, (1.0, 1.0))
        coarse = {**gate.coarse, axis: gate.coarse[axis] * means / squares}
        allowed = [factor**2 * squares for factor in OPENINGS[axis]]
        wider = [replace(gate, coarse=coarse, allowed={**gate.allowed, axis: one}) for one in allowed]
        gate = _opened([gate, *wider], ready, unknown)
    return replace(gate, gains=_gains(gate, ready, unknown))


def _opened(gates: Sequence[Gate], ready: Sequence[Ready], unknown: float) -> Gate:
    """The widest of some gates up to which none is likely to be worse than the one before it.

    It must be likely to be better than the first.

    Args:
        gates: the first as it is, the others wider and wider.
        ready: places.
        unknown: see ``Ready.change``.
    """
    added = [_added(gate, ready, unknown) for gate in gates]
    chosen = 0
    while chosen + 1 < len(gates) and _likely(added[chosen + 1] - added[chosen]) <= 0:
        chosen += 1
    while chosen and sum(_mean_and_error(added[chosen] - added[0])) > 0:
        chosen -= 1
    return gates[chosen]


def _likely(values: Values) -> float:
    """The least that the mean of some values is likely to be."""
    mean, error = _mean_and_error(values)
    return mean - error


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
    gate = of_probes(found, "t")
    return replace(gate, allowed={"t": STREAM_OPENING**2}) if gate.left else gate


def _added(gate: Gate, ready: Sequence[Ready], unknown: float) -> Values:
    """What fusion adds to the squared error, by blocks."""
    if gate.is_closed:
        return np.zeros(sum(one.seen.expected_error().size for one in ready))
    return np.concatenate([one.change(gate, unknown) for one in ready])


def _mean_and_error(values: Values) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(values.size)


def _gains(gate: Gate, ready: Sequence[Ready], unknown: float) -> tuple[float, float]:
    """Decibels that fusion is expected to bring, if results err by what they miss at least as by noise."""
    if not ready or gate.is_closed:
        return 0.0, 0.0
    left = gate.left * (1 + unknown) * _mean(float(one.seen.variance.mean()) for one in ready)
    before = max(float(np.concatenate([one.seen.expected_error() for one in ready]).mean()), 2 * left)
    planes = 1 + 2 * sum(NEIGHBOURS[axis] for axis in gate.allowed)
    added, error = _mean_and_error(_added(gate, ready, unknown))
    removed = (-added + errors * error for errors in (-CERTAIN, CERTAIN))
    least, most = (_decibels(min(one, left * (1 - 1 / planes)) / before) for one in removed)
    return max(least, 0.0), most


def _decibels(share: float) -> float:
    """Gain where a share of the squared error is removed."""
    return -10 * math.log10(1 - share)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
