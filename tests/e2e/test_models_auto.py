"""baikal-run with --model auto: the model of a channel is chosen once, recorded, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from baikal_deploy import Run, RunConfig
from baikal_deploy.cluster import worker
from baikal_deploy.denoising.suiting import Suited
from baikal_deploy.models.manifest import DEFAULT_MODEL, shipped_models
from baikal_deploy.run.follow import Follow
from baikal_deploy.run.resume.session import open_session
from baikal_deploy.volumes.zarr.writer import OutputVolume
from tests.e2e.conftest import BaikalRun
from tests.e2e.killed import digest
from tests.e2e.test_models import recorded, write_channels
from tests.e2e.test_run import group_attributes, level0

CHOOSES = "baikal_deploy.run.models.loaded.best_suited"
FOUND = {"general": 0.0, "tribolium": -0.0123, "membranes": 0.004}


@pytest.fixture
def two(tmp_path: Path, counts: np.ndarray) -> Path:
    """An OME-Zarr of channels A and B."""
    return write_channels(tmp_path / "two.ome.zarr", np.stack([counts, counts * 2]), "AB")


@pytest.fixture
def choosing() -> Any:
    """Chooses tribolium for the first channel that is asked for, and general for the next."""
    found = [Suited("tribolium", FOUND), Suited(DEFAULT_MODEL, FOUND)] * 9
    with mock.patch(CHOOSES, side_effect=found) as chooses:
        yield chooses


def test_it_is_said_and_recorded(tmp_path: Path, baikal_run: BaikalRun, two: Path, choosing: Any) -> None:
    out, report = tmp_path / "out.ome.zarr", tmp_path / "out.html"
    result = baikal_run(two, out, "--model", "auto", "--report", report)
    assert result.exit_code == 0, result.output
    told = (
        "expected squared error beside the default's, of the noise's variance: tribolium -1.2 %, general +0 "
        "%, membranes +0.4 %"
    )
    assert f"          model tribolium, suits it best; {told}" in result.stderr
    assert "          model general, the default, as no other is clearly better" in result.stderr
    assert "tribolium, suits it best" in report.read_text(encoding="utf-8")
    first, second = recorded(out)
    assert first["model"]["name"] == "tribolium"  # type: ignore[index]
    assert first["chosen"] == {"name": "tribolium", "errors": FOUND}
    assert second["model"]["name"] == "general"  # type: ignore[index]
    assert "model" not in group_attributes(out)["baikal"]
    assert list(choosing.call_args[0][1]) == list(shipped_models())


def test_the_choice_is_kept_when_it_is_repeated(
    tmp_path: Path, baikal_run: BaikalRun, two: Path, choosing: Any
) -> None:
    out = tmp_path / "out.ome.zarr"
    arguments = two, out, "--model", "B=auto,A=tribolium"
    assert baikal_run(*arguments).exit_code == 0
    assert recorded(out)[1]["model"]["name"] == "tribolium"  # type: ignore[index]
    before = choosing.call_count
    assert "complete already" in baikal_run(*arguments).stderr
    planned = baikal_run(*arguments, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert choosing.call_count == before == 1
    assert baikal_run(two, out, "--model", "tribolium").exit_code == 2  # another run, if it makes the same


def test_the_choice_is_kept_when_a_run_continues(
    tmp_path: Path, baikal_run: BaikalRun, two: Path, choosing: Any
) -> None:
    out, whole = tmp_path / "out.ome.zarr", tmp_path / "whole.ome.zarr"
    assert baikal_run(two, out, "--model", "auto").exit_code == 0
    out.rename(whole)
    with mock.patch.object(OutputVolume, "finish", None):
        assert isinstance(baikal_run(two, out, "--model", "auto").exception, TypeError)
    before = choosing.call_count
    assert baikal_run(two, out, "--model", "auto").exit_code == 0
    assert choosing.call_count == before
    assert digest(out) == digest(whole)


@pytest.mark.parametrize("normalise", ["per-volume", "per-timepoint"])
def test_a_worker_takes_the_choice_of_the_client(
    tmp_path: Path, two: Path, monkeypatch: pytest.MonkeyPatch, choosing: Any, normalise: Any
) -> None:
    monkeypatch.setattr(worker, "_name", lambda: "w")
    monkeypatch.setattr(worker, "_opened", None)
    config = RunConfig(two, tmp_path / "o.zarr", engine="analytic", model="auto", normalise=normalise)
    with Run(config) as run, open_session(config, run.written, run.plan.fingerprint, run.layout) as session:
        before = choosing.call_count
        assert [run.models.of(channel).name for channel in range(2)] == ["tribolium", "general"]
        assert len(run.models.loaded) == 2  # the third was let go
        done = worker.do_item(worker.Job.of(run.work, session, 1), 0)
        assert worker._opened is not None
        theirs = worker._opened.work.recipes.models
        assert choosing.call_count == before
        assert [theirs.of(channel).name for channel in range(2)] == ["tribolium", "general"]
        assert next(iter(done.measurements.values()))["chosen model"]["name"] == "tribolium"
        theirs.close()


def test_it_is_chosen_at_the_beginning_of_what_grows(tmp_path: Path, two: Path, choosing: Any) -> None:
    from tests.e2e.test_follow_options import pixels, write_image

    store, out = write_image(tmp_path / "t.ome.zarr", pixels(9, 2, 1, 40, 48)), tmp_path / "f.ome.zarr"
    config = RunConfig(store, out, engine="analytic", model={"nuclei": "auto", "*": "skip"})
    with Follow(config, 0.3) as run:
        run.execute()
    assert recorded(out)[0]["model"]["name"] == "tribolium"  # type: ignore[index]
    assert recorded(out)[1] == {"name": "membranes", "copied": True}
    assert level0(out).shape[0] == 9
    (windows, _), _ = choosing.call_args
    assert sum(window.size for window in windows) == 8 * 40 * 48


def test_what_cannot_be_told_is_the_default(tmp_path: Path, baikal_run: BaikalRun, two: Path) -> None:
    """The analytic engine makes the same of it whatever the model."""
    out = tmp_path / "out.tif"
    result = baikal_run(two, out, "--model", "B=auto,A=skip")
    assert result.exit_code == 0, result.output
    assert f"model {DEFAULT_MODEL}, the default, as no other is clearly better" in result.stderr


def test_channels_without_noise_have_the_default(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    flat = write_channels(tmp_path / "flat.ome.zarr", np.full((2, 1, 64, 64), 7, np.uint16), "AB")
    result = baikal_run(flat, tmp_path / "out.zarr", "--model", "auto")
    assert result.exit_code == 0, result.output
    assert level0(tmp_path / "out.zarr").min() == 7
