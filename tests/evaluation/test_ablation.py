"""The sweeps of Figure 2."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from baikal_evaluation.ablation import ABLATIONS, COLUMNS, Ablation, sweep
from baikal_evaluation.methods import Model, Spec
from baikal_evaluation.results import Results, Row


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_every_point_is_a_method_of_its_own_that_can_be_run(ablation: Ablation) -> None:
    points = sweep(ablation).points
    assert len({point.method for point in points}) == len({(point.curve, point.x) for point in points})
    for point in points:
        Spec.parse(point.method).make(Model(engine="analytic"))
        assert "preset=paper" in point.method


def test_the_published_and_the_renoised_repaint_are_separate_curves() -> None:
    curves = {point.curve for point in sweep("repeats").points}
    assert curves == {f"{kind}, stop {stop}" for kind in ("published", "renoised") for stop in (10, 20, 50)}


def test_the_table_and_the_plot_hold_every_point_but_failures(tmp_path: Path) -> None:
    start = sweep("start")
    rows = [
        Row("a", method, 0.1 * place, 20.0 + place, 0.01, nfe=10 * place)
        for place, method in enumerate(start.methods)
    ]
    rows[2] = Row("a", start.methods[2], error="failed")
    table, plot = start.write(tmp_path, Results(tuple(rows), "definition", "machine", "command"))
    with table.open() as file:
        head, *lines = csv.reader(file)
    assert head == COLUMNS
    assert [int(line[1]) for line in lines] == [point.x for point in start.points]
    assert lines[3] == [
        "forward-backward",
        "75",
        start.methods[3],
        "30.0",
        *["0.30000000000000004"] * 3,
        "23.0",
        "0.01",
    ]
    assert lines[2][3:] == [""]
    drawn = plot.read_text()
    assert drawn.count("<use ") > len(rows) - 2
    assert "starting timestep" in drawn or "<!-- starting timestep" in drawn
