"""What a kill costs: planes of an unfinished shard, and steps of an unfinished plane, are kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising import steps
from baikal_deploy.denoising.stack import Denoised
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.resume import kept
from baikal_deploy.run.resume.kept import Kept, KeptItem
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.killed import digest

SAMPLERS: dict[str, dict[str, Any]] = {
    "repaint": {"steps": "walk4"},
    "mixing": {"steps": "walk4"},
    "forward-backward": {"steps": "walk4", "runs": 2},
    "posterior": {"steps": "walk4", "runs": 3},
    "matched": {"evaluations": 2, "symmetries": 4},
    "auto": {"budget": "best"},
}


class Killed(BaseException):
    """In place of a kill, or an interrupt."""


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is kept at once."""
    monkeypatch.setattr(kept, "KEEP_SECONDS", -1.0)
    monkeypatch.setattr(steps, "LONG", -1.0)


@pytest.fixture
def stack_zarr(tmp_path: Path, counts: np.ndarray) -> Path:
    """One shard: (6, 96, 80) uint16; one plane holds a single value."""
    planes = np.concatenate([counts, counts // 2])
    planes[3] = 100
    return write_zarr(tmp_path / "in.zarr", planes, chunks=(1, 96, 80), dimension_names=["z", "y", "x"])


def killed_after(config: RunConfig, evaluations: int) -> int:
    """How many evaluations a run has made that ends there."""
    predict, made = Analytic._predict, 0

    def limited(self: Analytic, x_t: Any, t: float) -> Any:
        nonlocal made
        if planned and made == evaluations:
            raise Killed
        made += planned
        return predict(self, x_t, t)

    planned = False
    with pytest.MonkeyPatch.context() as patch, Run(config) as run:
        patch.setattr(Analytic, "_predict", limited)
        planned = True
        with suppress(Killed):
            run.execute()
    return made


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("sampler", "std"),
    # Those that draw once have no standard deviation.
    [
        (name, std)
        for name in SAMPLERS
        for std in (False, True)
        if not std or name not in ("repaint", "mixing")
    ],
)
def test_a_run_killed_at_every_few_evaluations(
    tmp_path: Path, stack_zarr: Path, sampler: str, std: bool
) -> None:
    """Each does a few evaluations more, none twice, and the bytes are those of a run that nobody killed."""
    (tmp_path / "out").mkdir()
    config = RunConfig(
        stack_zarr, tmp_path / "out" / "out.zarr", engine="analytic", sampler=sampler,
        options=SAMPLERS[sampler], uncertainty=tmp_path / "out" / "std.zarr" if std else None,
        mask=tmp_path / "out" / "mask.zarr",
    )  # fmt: skip
    whole = killed_after(config, 10**6)
    expected = digest(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "whole")
    (tmp_path / "out").mkdir()
    made, few = [], max(7, whole // 20)
    while not made or made[-1] == few:
        made.append(killed_after(config, few))
    assert sum(made) == whole
    assert digest(tmp_path / "out") == expected


@pytest.mark.usefixtures("always")
def test_the_plan_and_the_message_tell_what_is_kept(
    tmp_path: Path, stack_zarr: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, left = Analytic._predict, 2 * 8 + 3  # two planes and a bit

    def interrupted(self: Analytic, x_t: Any, t: float) -> Any:
        nonlocal left
        if x_t.shape[-1] > 1 and "denoised" in str(list(tmp_path.iterdir())):
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return predict(self, x_t, t)

    with monkeypatch.context() as patch:
        patch.setattr(Analytic, "_predict", interrupted)
        result = baikal_run(stack_zarr, "--budget", "best")
    assert result.exit_code == 130
    told = " ".join(result.stderr.split())
    kept = "16 of 48 network evaluations are kept, with what was computed of a plane that is not finished"
    assert f"not complete yet; {kept}, and the same command continues from there" in told
    again = baikal_run(stack_zarr, "--budget", "best", "--dry-run")
    assert "continues an unfinished run: 16 of these passes are done" in again.stderr


def test_steps_of_finished_planes_do_not_count(tmp_path: Path) -> None:
    """A step is found again by how many planes were finished before its own."""
    item = KeptItem(tmp_path / "kept", 4)
    assert Kept(tmp_path / "kept").indices_of_steps == set()
    item.keep_step("walk0", {"x": np.ones(3)})
    assert Kept(tmp_path / "kept").indices_of_steps == {4}
    before = list((tmp_path / "kept").iterdir())
    item.finished(1, Denoised(np.ones((4, 2, 3), np.uint16), None, None, Tally(6)))
    item.keep()
    before[0].touch()  # as if another worker had kept it meanwhile
    assert Kept(tmp_path / "kept").indices_of_steps == set()


def test_nothing_is_kept_of_what_takes_a_moment(tmp_path: Path, stack_zarr: Path) -> None:
    config = RunConfig(stack_zarr, tmp_path / "out.zarr", engine="analytic")
    with Run(config) as run:
        run.execute()
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.zarr"]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("damage", ["cut off", "another shape", "no file of ours"])
def test_what_is_damaged_is_computed_again(tmp_path: Path, stack_zarr: Path, damage: str) -> None:
    config = RunConfig(stack_zarr, tmp_path / "out.zarr", engine="analytic", sampler="matched")
    whole = killed_after(config, 10**6)
    expected = digest(tmp_path / "out.zarr")
    (tmp_path / "out.zarr").rename(tmp_path / "whole.zarr")
    killed_after(config, 3)
    (folder,) = tmp_path.glob("out.zarr.*.kept")
    for path in folder.iterdir():
        if damage == "cut off":
            path.write_bytes(path.read_bytes()[:-50])
        elif damage == "another shape":
            np.savez(path, planes=np.zeros((2, 2)), tally=np.array("{}"))
        else:
            path.write_bytes(b"PK rubbish")
    assert killed_after(config, 10**6) == whole
    assert digest(tmp_path / "out.zarr") == expected
    assert not folder.exists()


def test_planes_are_kept_after_a_while_and_steps_after_their_planes(tmp_path: Path) -> None:
    """A step belongs to the plane after all that are finished, kept or not."""
    item = KeptItem(tmp_path / "kept", 4)
    result = np.arange(24, dtype=np.uint16).reshape(4, 2, 3)
    item.finished(2, Denoised(result, None, None, Tally(12)))
    assert not (tmp_path / "kept").exists()
    item.keep_step("walk0", {"x": np.ones(3)})
    again = KeptItem(tmp_path / "kept", 4)
    empty = Denoised(np.zeros_like(result), None, None, Tally())
    ((places, found),) = again.recall(empty)
    assert (places, again.planes, found.counts) == (slice(0, 2), 2, Tally(12))
    np.testing.assert_array_equal(found.planes, result[:2])
    assert again.recall_step("walk0") is not None
    again.finished(3, Denoised(result, None, None, Tally(18)))
    assert again.recall_step("walk0") is None  # the next plane's


def test_pieces_are_recalled_with_the_counts_of_their_own_planes(tmp_path: Path) -> None:
    result = np.arange(24, dtype=np.uint16).reshape(4, 2, 3)
    item = KeptItem(tmp_path / "kept", 4)
    for stop, tally in ((1, Tally(6)), (3, Tally(18, kept_raw=(1, 2)))):
        item.finished(stop, Denoised(result, None, None, tally))
        item.keep()
    again = KeptItem(tmp_path / "kept", 4)
    found = list(again.recall(Denoised(result, None, None, Tally())))
    assert [places for places, _ in found] == [slice(0, 1), slice(1, 3)]
    assert [piece.counts for _, piece in found] == [Tally(6), Tally(12, kept_raw=(1, 2))]
    np.testing.assert_array_equal(np.concatenate([piece.planes for _, piece in found]), result[:3])


AXES = {"tyx": (600, 64, 64), "tczyx": (600, 1, 1, 64, 64)}


@pytest.mark.parametrize("axes", AXES)
def test_a_time_series_gets_few_files(tmp_path: Path, axes: str) -> None:
    planes = np.random.default_rng(0).integers(0, 999, AXES[axes], dtype=np.uint16)
    source = write_zarr(
        tmp_path / "in.zarr", planes, chunks=(*(1 for _ in axes[:-2]), 64, 64), dimension_names=list(axes)
    )
    with Run(
        RunConfig(source, tmp_path / "out.zarr", engine="analytic", channels=[], other_channels="copy")
    ) as run:
        assert len(run.items) == 1
        run.execute()
    files = [path for path in (tmp_path / "out.zarr").rglob("*") if path.is_file()]
    assert len(files) == 3
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr" / "0")[:], planes)


SCRIPT = """
import resource, sys
from pathlib import Path
from baikal_deploy import Run, RunConfig
with Run(RunConfig(Path(sys.argv[1]), Path(sys.argv[2]), engine="analytic", sampler="matched")) as run:
    before = resource.getrusage(resource.RUSAGE_SELF)
    run.execute()
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


@pytest.mark.slow
def test_five_axes_cost_no_more_than_three(tmp_path: Path) -> None:
    """CPU seconds of 600 planes of 64² as tczyx and as tyx, in turn; at most 1.2 times."""
    planes = Camera().expose(simulate_nuclei((6, 64, 64), seed=5), seed=5)
    seconds: dict[str, list[float]] = {name: [] for name in AXES}
    for turn in range(5):
        for name, shape in AXES.items():
            source = tmp_path / f"{name}.zarr"
            if not source.exists():
                pixels = np.tile(planes, (100, 1, 1)).reshape(shape)
                write_zarr(
                    source, pixels, chunks=(*(1 for _ in shape[:-2]), 64, 64), dimension_names=list(name)
                )
            command = [sys.executable, "-c", SCRIPT, str(source), str(tmp_path / f"{name}{turn}.zarr")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(float(done.stdout))
    ratio = np.median(seconds["tczyx"]) / np.median(seconds["tyx"])
    print(f"{ratio:.2f}")
    assert ratio <= 1.2


def test_a_plan_of_a_million_planes_takes_a_moment(tmp_path: Path, baikal_run: BaikalRun) -> None:
    source = tmp_path / "in.zarr"
    zarr.create_array(
        source, shape=(10**6, 1, 1, 64, 64), dtype="u2", chunks=(1, 1, 1, 64, 64),
        dimension_names=["t", "c", "z", "y", "x"],
    )  # fmt: skip
    started = time.perf_counter()
    result = baikal_run(source, "--dry-run")
    assert result.exit_code == 0, result.output
    assert time.perf_counter() - started < 20
    assert "nothing was written" in result.stderr
