"""The spectrum of noise as a picture: how strong it is at each frequency."""

from __future__ import annotations

import numpy as np

from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.pixels.arrays import Values

SHADES = " ░▒▓█"
DECADES = 2.0
"""Powers of ten from the lightest to the darkest shade."""
SIDE = 32
"""Frequencies along each axis of the picture on a page."""
ROWS, COLUMNS = 9, 32
"""Lines and characters of the picture in a terminal."""


def strengths(spectrum: Spectrum, rows: int, columns: int) -> Values:
    """Strength at frequencies from −1/2 to 1/2 cycles per pixel, 0 … 1, as a logarithm: (rows, columns).

    The strongest has 1; what is DECADES weaker, or more, has 0. The middle has frequency 0.
    """
    power = np.fft.fftshift(spectrum.power())
    groups = [np.arange(count + 1) * len(power) // count for count in (rows, columns)]
    sums = np.add.reduceat(np.add.reduceat(power, groups[0][:-1], 0), groups[1][:-1], 1)
    means = sums / np.outer(*(np.diff(edges) for edges in groups))
    shares: Values = np.clip(1 + np.log10(np.maximum(means / means.max(), 1e-9)) / DECADES, 0, 1)
    return shares


def in_text(spectrum: Spectrum) -> list[str]:
    """Lines of text with the picture, darker where the noise is stronger."""
    levels = np.rint(strengths(spectrum, ROWS, COLUMNS) * (len(SHADES) - 1)).astype(int)
    return ["".join(SHADES[level] for level in line) for line in levels]


def in_svg(spectrum: Spectrum) -> str:
    """The picture as SVG in the page's colours; it holds numbers alone."""
    squares = [
        f'<rect class="power" x="{x}" y="{y}" width="1" height="1" fill-opacity="{share:.2f}"/>'
        for y, line in enumerate(strengths(spectrum, SIDE, SIDE))
        for x, share in enumerate(line)
    ]
    return f'<svg viewBox="0 0 {SIDE} {SIDE}" class="spectrum" aria-hidden="true">{"".join(squares)}</svg>'
