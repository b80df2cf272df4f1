"""The contract of every engine in the folder: threads, memory, closing, and several of them at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.engines import open_engine
from baikal_deploy.errors import EngineError
from baikal_deploy.host import machine
from baikal_deploy.models.manifest import read_manifest
from tests.contract.cases import (
    CASES,
    FIRST,
    MODELS,
    NETWORKS,
    TOLERANCE,
    Case,
    error,
    planes,
    predict,
)

MOST_GROWTH = 4 << 20
"""Bytes that the process may grow by in 2,000 calls, whose results have twice as many."""


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_results_do_not_depend_on_the_number_of_threads(case: Case) -> None:
    x = planes(1, 1, 64, 64)
    with case.open(threads=1) as one, case.open(threads=2) as two:
        assert error(predict(two, x, 300.0)[0], predict(one, x, 300.0)[0]) < TOLERANCE[case.precision]


@pytest.mark.skipif(machine.resident_bytes() is None, reason="this system does not tell")
@pytest.mark.parametrize("case", FIRST, ids=str)
def test_memory_does_not_grow_over_2000_calls(case: Case) -> None:
    x = planes(1, 1, 32, 32)
    with case.open() as engine:
        for _ in range(200):
            predict(engine, x, 300.0)
        before = machine.resident_bytes() or 0
        for _ in range(2000):
            predict(engine, x, 300.0)
        after = machine.resident_bytes() or 0
    assert after - before < MOST_GROWTH


@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_a_context_manager_and_may_be_closed_twice(case: Case) -> None:
    engine = case.open()
    with engine as entered:
        assert entered is engine
    engine.close()


@pytest.mark.parametrize("case", NETWORKS, ids=str)
def test_use_after_close_is_an_error(case: Case) -> None:
    with case.open() as engine:
        predict(engine, planes(1, 1, 4, 4), 1.0)
    with pytest.raises(EngineError, match=f"engine {case.engine}: used after close"):
        predict(engine, planes(1, 1, 4, 4), 1.0)


@pytest.mark.parametrize("case", [case for case in CASES if case.model == MODELS[0]], ids=str)
def test_two_engines_live_side_by_side(case: Case) -> None:
    x = planes(2, 1, 16, 16)
    other_case = replace(case, model=MODELS[1])
    cosine = replace(read_manifest(other_case.path), schedule=ScheduleSpec("cosine"))
    with (
        case.open() as first,
        open_engine(case.engine, other_case.path, cosine, case.options()) as second,
    ):
        before, other = predict(first, x, 300.0)[0], predict(second, x, 300.0)[0]
        np.testing.assert_array_equal(predict(first, x, 300.0)[0], before)
        first.close()
        np.testing.assert_array_equal(predict(second, x, 300.0)[0], other)
    assert error(other, before) > 0.01
