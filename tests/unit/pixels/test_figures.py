"""Numbers as people read them."""

from __future__ import annotations

import pytest

from baikal_deploy.pixels.counts import Tally
from baikal_deploy.pixels.figures import figures


@pytest.mark.parametrize(
    ("value", "digits", "told"),
    [
        (99.96, 2, "100"),
        (100.0, 2, "100"),
        (12345.6, 4, "12346"),
        (-65535.0, 4, "-65535"),
        (0.0123, 2, "0.012"),
        (0.0, 3, "0"),
        (1234.0, 4, "1234"),
        (4.807e-41, 4, "4.807e-41"),
        (5.2e36, 4, "5.2e+36"),
        (float("inf"), 3, "inf"),
    ],
)
def test_a_number_has_no_exponent_for_its_size(value: float, digits: int, told: str) -> None:
    assert figures(value, digits) == told


def test_all_pixels_are_a_hundred_percent() -> None:
    tally = Tally(pixels=1000, suspect=999, beyond_training=1000, saturated=1000)
    assert not [note for note in tally.notes() if "e+" in note]
