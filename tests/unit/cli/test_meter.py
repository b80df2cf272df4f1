"""Speed and time left."""

from __future__ import annotations

import pytest

from baikal_deploy.cli._log.meter import Interval, Meter


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_an_earlier_run_did_is_no_speed() -> None:
    clock = Clock()
    meter = Meter(lambda: 200, clock)
    first = meter.read(300, 400)
    assert (first.per_second, first.seconds_left) == (None, None)
    assert first.planes == 150
    clock.now += 10
    later = meter.read(320, 400)
    assert later.per_second == pytest.approx(2)
    assert later.seconds_left == pytest.approx(40)


def test_the_speed_is_that_of_the_last_minute() -> None:
    clock = Clock()
    meter = Meter(lambda: 100, clock)
    for second in range(200):  # ten times as fast from second 100 on
        done = second if second < 100 else 100 + 10 * (second - 100)
        clock.now = 1000.0 + second
        reading = meter.read(done, 10_000)
    assert reading.per_second == pytest.approx(10)


def test_evaluations_that_take_longer_than_the_memory() -> None:
    clock = Clock()
    meter = Meter(lambda: 10, clock)
    for done in range(5):
        clock.now = 1000.0 + 100 * done
        reading = meter.read(done, 10)
    assert reading.per_second == pytest.approx(0.01)


def test_a_run_without_evaluations_is_all_done() -> None:
    reading = Meter(lambda: 7, Clock()).read(0, 0)
    assert (reading.planes, reading.per_second) == (7, None)


def test_an_interval_lets_through_once_in_its_time() -> None:
    clock = Clock()
    interval, passed = Interval(5, clock), 0
    for _ in range(100):
        clock.now += 0.25
        passed += interval.over()
    assert passed == 5


def test_what_is_left_follows_what_is_known() -> None:
    """Time points that are measured on the way may take more evaluations than the first."""
    clock = Clock()
    meter = Meter(lambda: 4, clock)
    meter.read(0, 8)
    clock.now += 10
    reading = meter.read(10, 20)
    assert (reading.planes, reading.seconds_left) == (2, pytest.approx(10))
