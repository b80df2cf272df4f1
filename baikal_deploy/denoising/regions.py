"""Regions of planes that are too large to be denoised whole, and what has to be read around them.

A region is denoised with the very windows of the network that the whole plane would have: those that touch
it, and so the pixels as far as these windows reach. For one evaluation that makes its pixels those of the
whole plane. In a walk of several steps what is outside creeps in, and the sampler asks for a halo of pixels
that are denoised as well.
"""

from __future__ import annotations

from math import prod

from baikal_deploy.denoising.compared import REACH as FUSION_REACH
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.trust import REACH
from baikal_deploy.denoising.windows import AxisPlan, TilePlan
from baikal_deploy.measurement.adaptive_base import ADAPTIVE_REACH
from baikal_deploy.measurement.defect_lines import LINE
from baikal_deploy.measurement.screen import REACH as SCREEN_REACH
from baikal_deploy.pixels.arrays import Region
from baikal_deploy.pixels.cells import CELL


def crop_around(region: Region, plan: TilePlan, halo: int, noise_origin: tuple[int, int] = (0, 0)) -> Crop:
    """Crop that has to be read for a region: all that its pixels depend on.

    Args:
        region: rows and columns of the whole planes.
        plan: the windows over the whole planes.
        halo: see ``Sampler.halo``.
        noise_origin: see ``Crop``.
    """
    axes = zip((plan.y, plan.x), plan.shape, region, strict=True)
    y, x = (_reach(axis, size, span, halo + REACH) for axis, size, span in axes)
    return Crop(plan.shape, (y, x), region, noise_origin)


def results_around(region: Region, shape: tuple[int, int]) -> Crop:
    """Crop of results that has to be read for a region to be fused with its neighbours.

    Args:
        region: rows and columns of the whole planes.
        shape: (H, W) of these.
    """
    return Crop(shape, grown(region, FUSION_REACH, shape), region)


def grown(region: Region, margin: int, shape: tuple[int, int]) -> Region:
    """A region with a margin, as far as the planes reach, which begins with a whole cell.

    Args:
        region: rows and columns of the whole planes.
        margin: in pixels, at least.
        shape: (H, W) of the planes.
    """
    y, x = (
        slice(max(span.start - margin, 0) // CELL * CELL, min(span.stop + margin, size))
        for span, size in zip(region, shape, strict=True)
    )
    return y, x


def planes_around(region: Region, shape: tuple[int, int]) -> Crop:
    """Crop of planes that has to be read to tell which pixels of a region say nothing, or are defects.

    Args:
        region: rows and columns of the whole planes.
        shape: (H, W) of these.
    """
    around = ADAPTIVE_REACH + SCREEN_REACH
    y, x = (
        slice(max(span.start - around, 0) // LINE * LINE, min(span.stop + around, size))
        for span, size in zip(region, shape, strict=True)
    )
    return Crop(shape, (y, x), region)


def _reach(axis: AxisPlan, size: int, span: slice, halo: int) -> slice:
    """Pixels along one axis as far as the windows over a span reach, in flipped planes too.

    To these come the surroundings that the noise in them is told from, and those that tell which of them say
    nothing. The reach starts where a piece of the whole plane's lines does, which are looked at together, and
    with it one of the cells in which surroundings and maps are computed.
    """
    start, stop = max(span.start - halo, 0), min(span.stop + halo, size)
    first, last = _windows_over(axis, start, stop)
    flipped_last, flipped_first = (size - edge for edge in _windows_over(axis, size - stop, size - start))
    low, high = min(first, flipped_first), max(last, flipped_last)
    around = ADAPTIVE_REACH + SCREEN_REACH
    return slice(max(low - around, 0) // LINE * LINE, min(high + around, size))


def _windows_over(axis: AxisPlan, start: int, stop: int) -> tuple[int, int]:
    """First and last pixel of the windows that touch [start, stop)."""
    touching = [o for o in axis.origins if o < stop and o + axis.window > start]
    return touching[0], touching[-1] + axis.window


def largest_crop(plan: TilePlan, edge: int, halo: int) -> int:
    """Pixels of the largest crop that is read for any region.

    Args:
        plan: the windows over the whole planes.
        edge: side of the square regions, in pixels.
        halo: see ``Resolved.halo``.
    """
    longest = []
    for axis, size in zip((plan.y, plan.x), plan.shape, strict=True):
        spans = (slice(start, min(start + edge, size)) for start in range(0, size, edge))
        reaches = (_reach(axis, size, span, halo + REACH) for span in spans)
        longest.append(max(reach.stop - reach.start for reach in reaches))
    return prod(longest)


def most_windows(plan: TilePlan, edge: int | None) -> int:
    """Windows of the network over a region of a size, or over a whole plane.

    Args:
        plan: the windows over the whole planes.
        edge: of the regions, in pixels; None: planes stay whole.
    """
    if edge is None:
        return len(plan.windows)
    counts = []
    for axis, size in zip((plan.y, plan.x), plan.shape, strict=True):
        spans = (_reach(axis, size, slice(i, min(i + edge, size)), REACH) for i in range(0, size, edge))
        counts.append(max(len(axis.part(span.start, span.stop, size).origins) for span in spans))
    return prod(counts)
