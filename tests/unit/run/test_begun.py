"""An output keeps the precision that it was begun in, on whatever CPU it continues."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.errors import EngineUnavailable, VolumeError
from baikal_deploy.run.planner import plan_part
from baikal_deploy.run.resume.session import open_session
from baikal_deploy.volumes.cleanup import Mark
from tests.made_up_bf16 import bf16_everywhere


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    pixels = np.random.default_rng(0).poisson(30, (1, 32, 32)).astype(np.uint16)
    zarr.create_array(tmp_path / "in.zarr", shape=pixels.shape, dtype=pixels.dtype)[...] = pixels
    return RunConfig(tmp_path / "in.zarr", tmp_path / "out.ome.zarr", sampler="matched", model="nuclei")


def options(config: RunConfig, **changed: object) -> RunConfig:
    return RunConfig(**{**vars(config), **changed})  # type: ignore[arg-type]


def precision(run: Run) -> str:
    (own,) = run.models.used
    return own.denoiser.predictor.engine.precision


def begin(config: RunConfig) -> None:
    """Leave the output as a run does that is killed before its first item."""
    with Run(config) as run, open_session(config, run.written, run.plan.fingerprint, run.layout):
        pass


def test_auto_is_recorded_and_equal_to_the_name(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    bf16_everywhere(monkeypatch)
    with Run(config) as run:
        run.execute()
        told = run.plan.fingerprint
    mark = Mark.at(config.target)
    assert mark is not None
    assert mark.provenance["engine"]["precision"] == "bf16"
    with Run(options(config, precision="bf16"), only_plan=True) as named:
        assert (named.plan.fingerprint, named.finished) == (told, True)
    with Run(options(config, precision="fp32", overwrite=True)) as other:
        assert precision(other) == "fp32"


@pytest.mark.parametrize("finished", [False, True])
def test_fp32_is_kept_where_bf16_is_to_be_had(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    bf16_everywhere(monkeypatch, has_bf16=False)
    if finished:
        with Run(config) as run:
            run.execute()
    else:
        begin(config)
    bf16_everywhere(monkeypatch)
    with Run(config) as run:
        assert precision(run) == "fp32"
        assert run.finished is finished
        assert (run.earlier is not None) is not finished
        assert run.models.used[0].denoiser.why_precision == "the output was begun so"


def test_bf16_that_cannot_be_computed_is_told_in_a_line(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bf16_everywhere(monkeypatch)
    begin(config)
    with Run(config) as run:
        header = run.earlier.header  # type: ignore[union-attr]
    bf16_everywhere(monkeypatch, has_bf16=False)
    for again in (lambda: Run(config), lambda: plan_part(options(config, overwrite=True), header, {}, 1)):
        with pytest.raises(
            EngineUnavailable, match=r"out\.ome\.zarr: was begun in bf16, .*this CPU cannot"
        ) as told:
            again()
        assert "\n" not in str(told.value)
    with pytest.raises(VolumeError, match="precision bf16 is now fp32"):
        Run(options(config, precision="fp32"))
    with Run(options(config, overwrite=True)) as anew:
        assert precision(anew) == "fp32"
        assert anew.earlier is None


def test_workers_keep_the_precision_of_the_run(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    bf16_everywhere(monkeypatch, has_bf16=False)
    begin(config)
    with Run(config) as run:
        header, measurements = run.earlier.header, run.recipes.measurements  # type: ignore[union-attr]
    opened = bf16_everywhere(monkeypatch)
    plan_part(config, header, measurements, 1).work.recipes.models.close()
    assert opened == ["onnx-cpu fp32"]


def test_samplers_of_many_evaluations_stay_at_fp32(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = bf16_everywhere(monkeypatch)
    with Run(options(config, sampler="repaint"), only_plan=True) as run:
        assert opened == ["onnx-cpu fp32"]
        assert "many times" in run.models.used[0].denoiser.why_precision


def test_planning_evaluates_no_more_than_measuring_does(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One evaluation takes the memory that is planned with; that of the measurement does."""
    shapes: list[tuple[int, ...]] = []
    predict = Analytic._predict
    monkeypatch.setattr(Analytic, "_predict", lambda *given: shapes.append(given[1].shape) or predict(*given))
    once: list[tuple[int, int]] = []
    monkeypatch.setattr(TiledPredictor, "evaluate_once", lambda self, shape: once.append(shape))
    with Run(options(config, engine="analytic")) as run:
        engine = run.models.used[0].denoiser.predictor.engine
    assert engine.most_pixels == max(int(np.prod(shape)) for shape in shapes)
    assert not once
