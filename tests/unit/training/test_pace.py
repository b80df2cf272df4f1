"""Validation takes a small share of the time of a training."""

from __future__ import annotations

import time

import pytest

from baikal_training.pace import SHARE, Pace, crops_that_fit


def trained(
    monkeypatch: pytest.MonkeyPatch, takes: float, minutes: float, every: float
) -> tuple[list[float], Pace]:
    """The moments (in s) at which a training with a save ``every`` so many seconds is validated."""
    now, pace, made = 0.0, Pace(), []
    monkeypatch.setattr(time, "monotonic", lambda: now)
    while now < 60 * minutes:
        now += every
        if pace.is_due(now, now >= 60 * minutes):
            made.append(now)
            with pace.validating():
                now += takes
    return made, pace


@pytest.mark.parametrize(("takes", "minutes"), [(1, 10), (12, 10), (12, 600), (300, 20)])
def test_the_first_and_the_last_are_made_and_the_others_fit(
    monkeypatch: pytest.MonkeyPatch, takes: float, minutes: float
) -> None:
    made, pace = trained(monkeypatch, takes, minutes, 30)
    assert made[0] == 30
    assert made[-1] >= 60 * minutes
    assert pace.spent <= max(SHARE * 60 * minutes, takes) + takes
    if takes < SHARE * 30:
        assert len(made) == pytest.approx(60 * minutes / (30 + takes), abs=1)  # at every save


def test_where_there_is_time_all_of_the_share_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made, pace = trained(monkeypatch, 12, 600, 30)
    assert pace.spent > 0.9 * SHARE * 36000
    assert len(made) == pace.count > 100


def test_it_is_said_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    _, pace = trained(monkeypatch, 12, 10, 30)
    assert pace.summary() == (
        "a validation takes 12.0 s; there is one every 4 min at most, which is 5% of the time, "
        "and one at the end"
    )


@pytest.mark.parametrize(
    ("each", "minutes", "count"),
    [(0.2, None, 64), (0.2, 60, 64), (0.2, 10, 64), (0.2, 5, 32), (0.2, 1, 16), (100, 1, 16)],
)
def test_short_trainings_are_validated_with_fewer_crops(
    each: float, minutes: float | None, count: int
) -> None:
    assert crops_that_fit(each, minutes, most=64, part=16) == count
