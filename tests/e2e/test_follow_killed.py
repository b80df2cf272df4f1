"""A follower that is killed at any moment, and goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e import growing
from tests.e2e.conftest import write_zarr
from tests.e2e.test_resume import run_killed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("names", ["tzyx", "tyx"])
def test_a_kill_at_any_moment_changes_nothing(tmp_path: Path, names: str) -> None:
    """20 kills each: one item for each step, or all in a single one."""
    pixels = growing.steps(4) if names == "tzyx" else growing.steps(4)[:, 0]
    chunks = (*(1 for _ in names[2:]), *growing.PLANE)
    path = write_zarr(tmp_path / "in.zarr", pixels, chunks=chunks, dimension_names=list(names))
    words = [str(path), str(tmp_path / "out" / "result.zarr"), "--engine", "analytic"]
    kills = run_killed(tmp_path, 20, [*words, "--follow", "--follow-timeout", "0.2"])
    assert sum(kill["killed"] for kill in kills) == 20
    assert [kill for kill in kills if kill["wrong"] or kill["again"]] == []
