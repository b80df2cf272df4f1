"""Several images from Python: folders, plates, draws, and one alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import baikal_deploy
from baikal_deploy import Images, Listener, Run, RunConfig, RunReport
from baikal_deploy.errors import BaikalError, ConfigError, VolumeError
from baikal_deploy.run.execution import Progress
from baikal_deploy.run.many.listener import Summary
from baikal_deploy.run.workers import ThisProcess
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.urls import Source
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.killed import digest
from tests.e2e.test_collection import FIELDS, attributes, make_plate
from tests.unit.volumes.test_tiff import multifile

ROOT = Path(baikal_deploy.__file__).parent.parent


class Recorded(Listener):
    """What it was told, in words."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def image(self, number: int, count: int, path: Source, name: str) -> None:
        self.told.append(f"{number}/{count} {name}")

    def part(self, path: Source, first: Source) -> None:
        self.told.append(f"{path.name} is a part of {first.name}")

    def planned(self, run: Run, seconds: float | None) -> None:
        self.told.append("planned" if seconds is None else "would be done")

    def workers(self, description: str) -> None:
        self.told.append(description)

    @contextmanager
    def denoising(self, run: Run) -> Iterator[Progress]:
        calls = []
        yield lambda done, total: calls.append((done, total))
        self.told.append(f"{calls[-1][0]} of {calls[-1][1]}")

    def done(self, report: RunReport) -> None:
        self.told.append(f"done {report.output.name}")

    def failed(self, error: BaikalError) -> None:
        self.told.append(type(error).__name__)

    def summary(self, summary: Summary) -> None:
        self.told.append(f"{summary.done} and {len(summary.failed)}")


@pytest.fixture
def folder(tmp_path: Path, counts: np.ndarray) -> Path:
    """A TIFF file, a damaged one, a Zarr store, and a file that is no image."""
    path = tmp_path / "in"
    path.mkdir()
    tifffile.imwrite(path / "a.tif", counts, photometric="minisblack")
    (path / "b.tif").write_bytes((path / "a.tif").read_bytes()[:20_000])
    write_zarr(path / "c.zarr", counts[:1])
    (path / "notes.txt").write_text("no image")
    return path


def config(path: Path, output: Path, **options: Any) -> RunConfig:
    return RunConfig(path, output, engine="analytic", **options)


def test_a_folder_with_a_bad_image(
    tmp_path: Path, folder: Path, baikal_run: BaikalRun, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same as the command makes of it, and nothing is printed."""
    recorded, out = Recorded(), tmp_path / "out"
    summary = Images(config(folder, out)).execute(recorded)
    assert recorded.told == [
        "1/3 a.tif", "planned", "6 of 6", "done a_denoised.ome.tif",
        "2/3 b.tif", "VolumeError",
        "3/3 c.zarr", "planned", "2 of 2", "done c_denoised.ome.zarr",
        "2 and 1",
    ]  # fmt: skip
    assert (summary.path, summary.others) == (folder, (folder / "notes.txt",))
    assert (summary.done, summary.before, list(summary.failed)) == (2, 0, [folder / "b.tif"])
    assert "is truncated or damaged" in summary.failed[folder / "b.tif"]
    assert summary.outputs == [out / "a_denoised.ome.tif", out / "c_denoised.ome.zarr"]
    assert capfd.readouterr() == ("", "")
    assert baikal_run(folder, tmp_path / "by command").exit_code == 1
    for path in summary.outputs:
        other = open_input(tmp_path / "by command" / path.name)
        assert np.array_equal(open_input(path).read([0]), other.read([0]))
    before = digest(out)
    again = Images(config(folder, out)).execute()
    assert (again.done, again.before, again.outputs) == (0, 2, summary.outputs)
    assert digest(out) == before


def test_a_plate(tmp_path: Path, counts: np.ndarray) -> None:
    plate, out = make_plate(tmp_path / "plate.zarr", counts), tmp_path / "out.ome.zarr"
    recorded = Recorded()
    summary = Images(config(plate, out)).execute(recorded)
    assert [line for line in recorded.told if "/3" in line] == [f"{n}/3 {f}" for n, f in enumerate(FIELDS, 1)]
    assert summary.outputs == [out / field for field in FIELDS]
    assert attributes(out)["baikal"]["complete"] is True
    assert Images(config(plate, out)).execute().before == 3


def test_an_image_over_several_files(tmp_path: Path, folder: Path) -> None:
    (folder / "b.tif").unlink()
    multifile(folder)
    recorded = Recorded()
    summary = Images(config(folder, tmp_path / "out")).execute(recorded)
    assert "second.ome.tif is a part of first.ome.tif" in recorded.told
    assert (summary.done, len(summary.outputs), len(summary.parts)) == (3, 3, 1)


def test_draws(tmp_path: Path, noisy_zarr: Path) -> None:
    asked = config(noisy_zarr, tmp_path / "out.zarr", sampler="posterior", options={"steps": "walk2"})
    recorded = Recorded()
    summary = Images(asked, draws=2).execute(recorded)
    assert summary.outputs == [tmp_path / "out_draw1.zarr", tmp_path / "out_draw2.zarr"]
    assert [line for line in recorded.told if line.startswith("done")] == [
        "done out_draw1.zarr", "done out_draw2.zarr"
    ]  # fmt: skip
    first, second = (open_input(path).read([0]) for path in summary.outputs)
    assert not np.array_equal(first, second)
    assert Images(asked, draws=2).execute().before == 2


def test_one_image(tmp_path: Path, noisy_zarr: Path) -> None:
    """It is no one of several: its error is raised."""
    recorded = Recorded()
    summary = Images(config(noisy_zarr, tmp_path / "out.zarr")).execute(recorded)
    assert recorded.told == ["planned", "6 of 6", "done out.zarr"]
    assert (summary.done, summary.outputs) == (1, [tmp_path / "out.zarr"])
    with pytest.raises(VolumeError, match="exists already"):
        Images(config(noisy_zarr, tmp_path / "out.zarr", seed=3)).execute()


@pytest.mark.parametrize(
    ("options", "draws", "message"),
    [
        ({"sampler": "magic"}, None, "unknown sampler 'magic'"),
        ({"mask": Path("mask.zarr")}, None, "is for one image, not for several"),
        ({}, 2, "is for one image, not for several"),
    ],
)
def test_what_no_image_can_be_denoised_with(
    tmp_path: Path, folder: Path, options: dict[str, Any], draws: int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Images(config(folder, tmp_path / "out", **options), draws).execute()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("draws", [0, -1])
def test_no_draws_at_all(tmp_path: Path, noisy_zarr: Path, draws: int) -> None:
    asked = config(noisy_zarr, tmp_path / "out.zarr", sampler="posterior")
    with pytest.raises(ConfigError, match="must be at least 1"):
        Images(asked, draws).execute()


def test_a_dry_run_writes_nothing(tmp_path: Path, folder: Path) -> None:
    (folder / "b.tif").unlink()
    recorded = Recorded()
    summary = Images(config(folder, tmp_path / "out")).execute(recorded, dry_run=True)
    assert recorded.told.count("would be done") == 2
    assert (summary.dry_run, summary.done, summary.outputs) == (True, 2, [])
    assert not (tmp_path / "out").exists()


def test_what_follows_each_run_may_fail(tmp_path: Path, folder: Path) -> None:
    """As a picture may that cannot be written."""
    seen = []

    def after(run: Run, report: RunReport) -> None:
        seen.append((run.config.input, report.output))
        if run.config.input.name == "a.tif":
            raise VolumeError("no picture")

    out = tmp_path / "out"
    summary = Images(config(folder, out)).execute(after=after)
    names = (("a.tif", "a_denoised.ome.tif"), ("c.zarr", "c_denoised.ome.zarr"))
    assert seen == [(folder / name, out / output) for name, output in names]
    assert (summary.done, summary.failed[folder / "a.tif"]) == (1, "no picture")


def test_workers_do_each_image(tmp_path: Path, folder: Path) -> None:
    """tests/e2e/test_cluster.py has real ones."""
    checked = []

    class Hands(ThisProcess):
        processes = 2

        def check(self, config: RunConfig) -> None:
            checked.append(config.target.name)

        def describe(self) -> str:
            return "two hands"

    recorded = Recorded()
    Images(config(folder, tmp_path / "out")).execute(recorded, Hands())
    assert recorded.told.count("two hands") == 2
    assert checked == [f"{name}_denoised.ome.zarr" for name in "ac"]  # which several can write


def test_the_example_of_the_guide(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the shipped model and the engine of this machine, as it stands there."""
    page = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (example,) = (one for one in examples if "Images(" in one)
    folder.rename(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    exec(example, {"__name__": "__main__"})
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["1 of 3: a.tif", "2 of 3: b.tif"]
    assert shown[2].startswith("failed: ")
    assert shown[3:] == ["3 of 3: c.zarr", "2 denoised, 0 before, 1 failed"]
    assert (tmp_path / "denoised" / "a_denoised.ome.tif").is_file()


def test_the_example_of_the_readme(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    folder.rename(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    planes = np.zeros((2, 64, 64), np.uint16)
    tifffile.imwrite("cells.tif", planes, photometric="minisblack")
    names: dict[str, Any] = {"planes": planes, "stack": planes}
    exec(example, names)
    assert Path("clean.ome.tif").is_file()
    assert names["clean"].shape == (2, 64, 64)
    assert (names["summary"].done, list(names["summary"].failed)) == (2, [Path("folder/b.tif")])
