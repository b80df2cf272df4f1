"""Text, graphics and gaps drawn into planes: thin strokes of one value, far outside of all the rest.

Time stamps and scale bars are burnt in with the highest value of the type, and tiles are put together with
gaps of 0 between them. Their strokes are too thin for a window, and several times as long. Hot pixels of one
value stand alone; rows and columns that do not work are straight; a saturated cell is as wide as it is long,
and where thin structures saturate, others are nearly as bright. Smooth letters have a rim of values between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_dilation, binary_opening, convolve, find_objects, label

from baikal_deploy.pixels.arrays import Mask, Raw, Values

TOUCHING = np.ones((3, 3), bool)
RIM = 3
"""Pixels that a letter's smooth rim is wide at most."""
DOTS = 6
"""Pixels from strokes up to which single ones are dots."""
REACH = 2 + DOTS + 3 * RIM
"""Pixels that the rule looks around one."""
LEAST = 12
"""Pixels of the value that a channel's sample has at least."""
SPREAD = 1.5
"""The same, if it is the highest, in ranges of the bulk: thin structures saturate as well."""
OUTSIDE = 200.0
"""Range of the bulk between the value and it from which on it need not be repeated: small smooth letters,
none of which is as wide as a bead: THICK."""
THICK = 0.2
"""Share of a stroke that lies in squares of 3x3, at most."""
REPEATED = 0.1
"""Share of the far pixels that have it."""
BULK = 5.0
"""Percentage of the pixels that may lie outside of what the value is compared with."""
BULK_PIXELS = 2**17
"""Pixels that the bulk is told by."""
FAR = 8.0
"""Standard deviations of the noise between the value and the bulk."""
FULL = 0.9
"""Share of the distance that a stroke's own pixels have; smooth letters seldom have it whole."""
LONG, THIN, LOOSE = 5, 3, 0.65
"""A stroke's length at least; the width of a line, which is none; the share of its box that it fills."""
LINE, MANY = 32, 8
"""Length of lines, and how many of them in a window are more than a detector's defects: interlaced frames."""
STROKES = 0.25
"""Share of the far pixels that lie in strokes."""
APART = 0.05
"""Share of the far pixels that may lie beyond the rim of all that have the value."""
BESIDE = 0.6, 0.15
"""Share of the pixels 1 and 2 pixels from strokes that have a quarter of the distance, at most."""
MEDIAN_STEP = 0.954
"""Median of the absolute difference of two pixels of white noise of standard deviation 1."""
MEAN_STEP = 0.3
"""Factor on their mean difference, where most pixels are equal."""


@dataclass(frozen=True)
class Mark:
    """A value that strokes are drawn with.

    Attributes:
        value: in raw units; the highest, or the lowest, of the channel.
        full: intensity from which on a pixel may be a stroke's own.
        beyond: intensity from which on a pixel that touches a stroke belongs to it.
    """

    value: float
    full: float
    beyond: float

    def own(self, plane: Raw) -> Mask:
        """The pixels of a plane that may be a stroke's own."""
        return self._outside(plane, self.full)

    def far(self, plane: Raw) -> Mask:
        """The pixels of a plane that may belong to a stroke, or its rim."""
        return self._outside(plane, self.beyond)

    def may_be_dots(self, plane: Raw) -> Mask:
        """The pixels of a plane that may be dots, if there are strokes near."""
        return self._outside(plane, (self.full + self.beyond) / 2)

    def _outside(self, plane: Raw, limit: float) -> Mask:
        found: Mask = plane > limit if self.value > self.beyond else plane < limit
        return found


def drawn(plane: Raw, marks: Sequence[Mark]) -> Mask | None:
    """The pixels of a plane that are drawn in, and their rim; None where there are none.

    Args:
        plane: (H, W), in raw units.
        marks: of its channel.
    """
    found: Mask | None = None
    for mark in marks:
        own = mark.own(plane)
        if not own.any():
            continue
        far = mark.far(plane)
        around = convolve(far.astype(np.uint8), TOUCHING.astype(np.uint8), mode="constant")
        seeds = own & (around > 2)  # the pixel itself, and two that touch it
        if seeds.any():
            seeds |= mark.may_be_dots(plane) & binary_dilation(seeds, TOUCHING, DOTS)
            strokes = binary_dilation(seeds, TOUCHING, RIM, mask=far)
            found = strokes if found is None else found | strokes
    return found


def with_drawn(equal: Mask, strokes: Mask | None) -> Mask:
    """The pixels of a value, with what is drawn between them and its dim rim: text in a box.

    Args:
        equal: pixels that have the value, (H, W).
        strokes: what is drawn in; None: nothing.
    """
    if strokes is None or not equal.any():
        return equal
    areas = binary_opening(equal & ~strokes, TOUCHING)  # not single ones, as a background holds
    beside = binary_dilation(areas, TOUCHING, 2 * RIM)
    rim = binary_dilation(strokes, TOUCHING, RIM) & beside
    found: Mask = equal | strokes | rim
    return found


def find_marks(windows: Sequence[Raw]) -> tuple[Mark, ...]:
    """The values that strokes are drawn with in a channel.

    Args:
        windows: a sample of it, (H, W) each, of one dtype, in raw units.
    """
    return tuple(_marks(windows))


def _marks(windows: Sequence[Raw]) -> Iterator[Mark]:
    pixels = np.concatenate([np.empty(0, windows[0].dtype), *(window.ravel() for window in windows)])
    if pixels.dtype.kind == "f":
        pixels = pixels[np.isfinite(pixels)]
    if not pixels.size:
        return
    for value, share in ((pixels.max(), 100 - BULK), (pixels.min(), BULK)):
        others = pixels[pixels != value]
        if not others.size:
            continue
        bulk, opposite = (
            float(end)
            for end in np.percentile(others[:: others.size // BULK_PIXELS + 1], [share, 100 - share])
        )
        distance = float(value) - bulk
        held = pixels.size - others.size
        if value > bulk and distance < SPREAD * abs(bulk - opposite):
            continue
        repeated = held >= LEAST
        if not repeated and abs(distance) < OUTSIDE * abs(bulk - opposite):
            continue
        half = bulk + distance / 2
        mark = Mark(float(value), bulk + FULL * distance if repeated else half, half)
        if _is_drawn(windows, mark, abs(distance), held if repeated else math.inf):
            yield _with_rim(windows, mark)


def _is_drawn(windows: Sequence[Raw], mark: Mark, distance: float, held: float) -> bool:
    own = [mark.own(window) for window in windows]
    far = [mark.far(window) for window in windows]
    count = sum(int(np.count_nonzero(mask)) for mask in far)
    if held < REPEATED * count:
        return False
    if distance < FAR * _noise(windows, far):
        return False
    apart = sum(int(np.count_nonzero(mask & ~_near(values))) for mask, values in zip(far, own, strict=True))
    if apart > APART * count:
        return False
    quarter = replace(mark, beyond=mark.beyond - (mark.value - mark.beyond) / 2)
    if _fades(own, [quarter.far(window) for window in windows]):
        return False
    thick = 1.0 if held < math.inf else THICK
    return sum(_in_strokes(mask, thick) for mask in far) >= max(LEAST, STROKES * count)


def _fades(own: Sequence[Mask], outside: Sequence[Mask]) -> bool:
    """True if many pixels beside strokes are outside of the bulk as well: light through a lens fades."""
    for distance, most in enumerate(BESIDE, 1):
        count = marked = 0
        for mask, outer in zip(own, outside, strict=True):
            if mask.any():
                beside = binary_dilation(mask, TOUCHING, distance)
                if distance > 1:
                    beside &= ~binary_dilation(mask, TOUCHING, distance - 1)
                beside &= ~mask
                count += int(np.count_nonzero(beside))
                marked += int(np.count_nonzero(beside & outer))
        if marked > most * count:
            return True
    return False


def _near(mask: Mask) -> Mask:
    """The pixels at most RIM away."""
    found: Mask = binary_dilation(mask, TOUCHING, RIM) if mask.any() else mask
    return found


def _noise(windows: Sequence[Raw], far: Sequence[Mask]) -> float:
    """Standard deviation of the noise of pixels that are not far, from differences along rows."""
    found: list[Values] = [np.empty(0)]
    for window, mask in zip(windows, far, strict=True):
        known = ~mask if window.dtype.kind != "f" else ~mask & np.isfinite(window)
        both = known[:, 1:] & known[:, :-1]
        found.append(np.abs(window[:, 1:][both].astype(np.float64) - window[:, :-1][both]))
    steps = np.concatenate(found)
    return max(float(np.median(steps)) / MEDIAN_STEP, MEAN_STEP * float(steps.mean())) if steps.size else 0.0


def _in_strokes(far: Mask, thick: float) -> int:
    """How many pixels lie in strokes."""
    if not far.any():
        return 0
    labels, _ = label(far, TOUCHING)
    squares = binary_opening(far, TOUCHING)
    count = lines = in_lines = 0
    for number, box in enumerate(find_objects(labels), 1):
        stroke = labels[box] == number
        size, (height, width) = int(np.count_nonzero(stroke)), stroke.shape
        loose = min(height, width) > THIN and max(height, width) >= LONG and size <= LOOSE * height * width
        if loose and np.count_nonzero(stroke & squares[box]) <= thick * size:
            count += size
        elif min(height, width) <= THIN and max(height, width) >= LINE:
            lines, in_lines = lines + 1, in_lines + size
    return count + in_lines if lines >= MANY else count


def _with_rim(windows: Sequence[Raw], mark: Mark) -> Mark:
    """The mark with the intensity that hardly any pixel away from strokes has."""
    away = [window[~_near(mark.far(window)) & np.isfinite(window)].astype(np.float64) for window in windows]
    pixels = np.concatenate([np.empty(0), *away])
    if not pixels.size:
        return mark
    if mark.value > mark.beyond:
        return replace(mark, beyond=min(mark.beyond, float(np.percentile(pixels, 99.9))))
    return replace(mark, beyond=max(mark.beyond, float(np.percentile(pixels, 0.1))))
