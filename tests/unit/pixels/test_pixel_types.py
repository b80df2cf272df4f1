"""Values in another pixel type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from baikal_deploy.pixels.counts import Tally
from baikal_deploy.pixels.dtypes import TYPES, cast, converted

INTEGERS = [kind for kind in TYPES if "int" in kind] + ["uint64", "int64"]


@given(st.sampled_from(INTEGERS), st.sampled_from(INTEGERS), st.data())
def test_integers_are_exact_or_clamped_and_counted(source: str, target: str, data: st.DataObject) -> None:
    values = data.draw(hnp.arrays(source, 8))
    low, high = np.iinfo(target).min, np.iinfo(target).max
    exact = [int(value) for value in values]
    result, tally = converted(values, target)
    assert result.dtype == target
    assert [int(value) for value in result] == [min(max(value, low), high) for value in exact]
    assert tally == Tally(clamped=sum(not low <= value <= high for value in exact))


@pytest.mark.parametrize(
    ("values", "dtype", "expected", "tally"),
    [
        ([-0.5, 0.6, 255.4, 255.6, 1e300], "uint8", [0, 1, 255, 255, 255], Tally(clamped=2)),
        ([np.nan, np.inf, -np.inf, 3], "int16", [0, 32767, -32768, 3], Tally(clamped=2, lost=1)),
        ([np.nan, np.inf, 0.1], "float32", [np.nan, np.inf, 0.1], Tally(non_finite=2)),
        ([1e300, -1e300], "float32", [3.4028235e38, -3.4028235e38], Tally(clamped=2)),
    ],
)  # fmt: skip
def test_real_numbers(values: list[float], dtype: str, expected: list[Any], tally: Tally) -> None:
    result, found = converted(np.array(values), dtype)
    np.testing.assert_array_equal(result, np.array(expected, dtype))
    assert found == tally


def test_a_wider_type_holds_all_that_a_narrow_one_does() -> None:
    values = np.array([3.4e38, np.inf, 1], np.float32)
    result, tally = converted(values, "float64")
    assert result.tolist() == values.tolist()
    assert tally == Tally(non_finite=1)


@given(st.sampled_from(TYPES), hnp.arrays(np.float64, 9, elements=st.floats(-1e12, 1e12)))
def test_what_is_brighter_stays_so(dtype: str, values: np.ndarray) -> None:
    assert (np.diff(cast(np.sort(values), dtype).astype(float)) >= 0).all()
