"""baikal-run on time series that are measured time point by time point."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy import Denoiser, Run, RunConfig
from baikal_deploy.run import recipes
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import group_attributes, level0

AXES = {"tzyx": 1, "tyx": 0}
"""Whether a time point has several planes: without z, several time points share a shard."""


@pytest.fixture(params=AXES)
def bleaching(request: pytest.FixtureRequest, tmp_path: Path, counts: np.ndarray) -> Path:
    """A series whose brightness falls, with an empty time point."""
    frames = counts if AXES[request.param] else counts[0]
    pixels = np.stack([frames, frames // 2, np.full_like(frames, 7), frames // 8])
    return write_zarr(tmp_path / "series.zarr", pixels, dimension_names=list(request.param))


def test_each_time_point_is_denoised_as_if_it_were_alone(
    tmp_path: Path, baikal_run: BaikalRun, bleaching: Path
) -> None:
    result = baikal_run(
        bleaching, tmp_path / "out.zarr", "--normalise", "per-timepoint", "--sampler", "mixing"
    )
    assert result.exit_code == 0, result.output
    assert "each is measured by itself" in result.stderr
    provenance = group_attributes(tmp_path / "out.zarr")["baikal"]
    found = provenance["channels"][0]["time points"]
    assert provenance["normalise"] == "per-timepoint"
    for t in range(4):
        alone = tmp_path / f"{t}.zarr"
        assert baikal_run(bleaching, alone, "--t", t, "--sampler", "mixing").exit_code == 0
        assert np.array_equal(level0(alone)[0], level0(tmp_path / "out.zarr")[t])
        (channel,) = group_attributes(alone)["baikal"]["channels"]
        assert channel.pop("name") == "channel 0"
        assert found[t] == {"t": t} | channel


def test_without_it_there_is_one_mapping(tmp_path: Path, baikal_run: BaikalRun, bleaching: Path) -> None:
    assert baikal_run(bleaching, tmp_path / "out.zarr").exit_code == 0
    (channel,) = group_attributes(tmp_path / "out.zarr")["baikal"]["channels"]
    assert channel["measurement"]["intensity"]["high"] > 0


def test_a_volume_without_time_is_one_time_point(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path
) -> None:
    for name, options in (("a", ()), ("b", ("--normalise", "per-timepoint"))):
        assert baikal_run(noisy_zarr, tmp_path / f"{name}.zarr", *options).exit_code == 0
    assert np.array_equal(level0(tmp_path / "a.zarr"), level0(tmp_path / "b.zarr"))
    a, b = (group_attributes(tmp_path / f"{name}.zarr")["baikal"]["channels"] for name in "ab")
    assert a == b


def test_what_was_measured_is_not_measured_again(
    tmp_path: Path, bleaching: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the shard that it was measured for is not finished."""
    original, measured = recipes.sample, list[Any]()

    def counted(volume: Any, group: Any, on_error: Any) -> Sequence[Any]:
        measured.append(group[0])
        return original(volume, group, on_error)

    monkeypatch.setattr(recipes, "sample", counted)
    config = RunConfig(bleaching, tmp_path / "out.zarr", engine="analytic", normalise="per-timepoint")
    with monkeypatch.context() as patch:
        run_planes = Denoiser.run

        def stop_at_three(self: Denoiser, *more: Any, **named: Any) -> Any:
            if len(measured) >= 3:
                raise KeyboardInterrupt
            return run_planes(self, *more, **named)

        patch.setattr(Denoiser, "run", stop_at_three)
        with Run(config) as run, pytest.raises(KeyboardInterrupt):
            run.execute()
    assert measured[:3] == [0, 1, 2]  # and 3, where it shares their shard
    steps: list[tuple[int, int]] = []
    with Run(config) as run:
        run.execute(lambda done, total: steps.append((done, total)))
    assert measured == [0, 1, 2, 3]
    assert steps[-1][0] == steps[-1][1] == run.evaluations
    with Run(
        RunConfig(bleaching, tmp_path / "once.zarr", engine="analytic", normalise="per-timepoint")
    ) as run:
        run.execute()
    assert np.array_equal(level0(tmp_path / "out.zarr"), level0(tmp_path / "once.zarr"))
    assert group_attributes(tmp_path / "out.zarr") == group_attributes(tmp_path / "once.zarr")
    assert sorted(os.listdir(tmp_path)) == ["once.zarr", "out.zarr", "series.zarr"]


def test_maps_are_filled_in_part_by_part(tmp_path: Path, baikal_run: BaikalRun, bleaching: Path) -> None:
    maps = ("--uncertainty", tmp_path / "std.zarr", "--mask", tmp_path / "mask.zarr")
    assert baikal_run(bleaching, tmp_path / "out.zarr", "--normalise", "per-timepoint", *maps).exit_code == 0
    std = level0(tmp_path / "std.zarr").reshape(4, -1).max(1)
    assert std[2] == 0
    assert std[0] > std[1] > std[3] > 0
