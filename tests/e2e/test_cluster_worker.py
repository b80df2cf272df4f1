"""What a worker does, without a scheduler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy import Run, RunConfig
from baikal_deploy.cluster import worker
from baikal_deploy.errors import VolumeError
from baikal_deploy.run.items import Work
from baikal_deploy.run.resume.session import open_session
from baikal_deploy.volumes.urls import source_of
from tests.e2e.killed import digest


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_name", lambda: "w")
    monkeypatch.setattr(worker, "_opened", None)


def test_a_task_of_a_killed_client_does_not_write_into_another_run(
    noisy_zarr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(noisy_zarr, tmp_path / "out.zarr", engine="analytic")
    with Run(config) as run, open_session(config, run.written, run.plan.fingerprint, run.layout) as session:
        job = worker.Job.of(run.work, session, None)
        before, denoise = digest(config.target), Work.denoise

        def and_meanwhile(*arguments: Any) -> Any:
            text = job.journal.read_text()
            job.journal.write_text(text.replace('"seed": 0', '"seed": 3'))
            return denoise(*arguments)

        monkeypatch.setattr(Work, "denoise", and_meanwhile)
        with pytest.raises(VolumeError, match=r"worker w on .*out.zarr: belongs to another run by now"):
            worker.do_item(job, 0)
        assert digest(config.target) == before


def test_a_worker_opens_a_run_once_and_measures_nothing(
    noisy_zarr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(noisy_zarr, tmp_path / "out.zarr", engine="analytic")
    with Run(config) as run, open_session(config, run.written, run.plan.fingerprint, run.layout) as session:
        job = worker.Job.of(run.work, session, 1)
        monkeypatch.setattr("baikal_deploy.denoising.denoiser.Denoiser.measure", None)
        assert not worker.settle()
        first = worker.do_item(job, 0)
        opened = worker._opened
        assert worker.do_item(job, 0) == first
        assert worker._opened is opened
        assert worker.settle()
        assert opened is not None
        assert opened.work.recipes.measurements == run.recipes.measurements
        opened.work.recipes.models.close()


def test_relative_paths_are_those_of_the_client(
    noisy_zarr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = RunConfig(Path("noisy.zarr"), Path("out.zarr"), engine="analytic", mask=Path("mask.zarr"))
    with Run(config) as run, open_session(config, run.written, run.plan.fingerprint, run.layout) as session:
        job = worker.Job.of(run.work, session, None)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert worker.do_item(job, 0).tally.pixels == 3 * 96 * 80
        assert worker._opened is not None
        worker._opened.work.recipes.models.close()
    assert (tmp_path / "mask.zarr" / "0").is_dir()


def test_the_output_beside_nothing_is_in_the_folder_of_the_client(
    noisy_zarr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = RunConfig(noisy_zarr, engine="analytic")
    with Run(config) as run, open_session(config, run.written, run.plan.fingerprint, run.layout) as session:
        session.config = replace(config, input=source_of("https://example.org/v.zarr"))
        job = worker.Job.of(run.work, session, None)
    assert job.config.output == tmp_path / "v_denoised.ome.zarr"
