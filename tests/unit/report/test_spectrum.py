"""Pictures of the spectrum of noise."""

from __future__ import annotations

import numpy as np

from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.report.spectrum import COLUMNS, ROWS, SIDE, in_svg, in_text, strengths

KERNEL = np.zeros((5, 5))
KERNEL[2] = [0.1, 0.4, 1, 0.4, 0.1]
ALONG_ROWS = Spectrum(3.0, tuple(map(tuple, KERNEL.tolist())))


def test_white_noise_is_as_strong_everywhere() -> None:
    assert np.allclose(strengths(Spectrum.white(2.0), 9, 32), 1)


def test_noise_along_rows_is_strong_in_the_middle_of_each() -> None:
    found = strengths(ALONG_ROWS, 8, 16)
    assert np.allclose(found, found[0])
    assert found[0, 8] > 0.95 > 0.7 > found[0, 0]


def test_text_and_page_have_their_sizes() -> None:
    lines = in_text(ALONG_ROWS)
    assert [len(line) for line in lines] == [COLUMNS] * ROWS
    assert lines[0][COLUMNS // 2] == "█"
    assert in_svg(ALONG_ROWS).count("<rect") == SIDE**2
