"""The display range of a stream."""

from __future__ import annotations

import numpy as np

from baikal_deploy.live.shown import MOST, SIDE, Sample


def test_a_long_stream_is_sampled_from_its_beginning_to_its_end() -> None:
    sample = Sample()
    for number in range(1000):
        sample.add(np.full((3 * SIDE, 40), number, np.uint16))
    assert MOST // 2 <= len(sample.frames) < MOST
    assert {frame.shape for frame in sample.frames} == {(SIDE, 40)}
    found = sample.range()
    assert found is not None
    assert found[0] < 30
    assert found[1] > 950


def test_a_stream_of_one_value_has_no_range() -> None:
    sample = Sample()
    assert sample.range() is None
    sample.add(np.full((4, 4), 7))
    assert sample.range() is None
