"""What is closed says so, and computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from baikal_deploy import Denoiser, Run, RunConfig
from baikal_deploy.cluster.client import Cluster
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import ClusterError, ConfigError, EngineError
from baikal_deploy.live import LiveDenoiser
from tests.e2e.conftest import write_zarr

PLANE = np.random.default_rng(0).poisson(100, (32, 32)).astype(np.uint16)


@pytest.mark.parametrize("engine", ["analytic", "onnx-cpu"])
@pytest.mark.parametrize(
    "use",
    [
        lambda closed: closed.denoise(PLANE),
        lambda closed: closed.denoise(np.zeros((32, 32))),  # which is only copied
        lambda closed: closed.measure([PLANE], make_sampler("matched", {}, {})),
        lambda closed: closed.noise_curve([PLANE], measurement()),
        lambda closed: closed.run(None, Stack(PLANE[None], [0])),
    ],
)
def test_a_denoiser(engine: str, use: Callable[[Denoiser], object]) -> None:
    with Denoiser.load(engine=engine) as denoiser:
        pass
    with pytest.raises(EngineError, match="model general: used after close; load it again"):
        use(denoiser)
    denoiser.close()


def measurement() -> object:
    with Denoiser.load(engine="analytic") as denoiser:
        return denoiser.measure([PLANE], make_sampler("matched", {}, {}))


def test_a_run(tmp_path: Path) -> None:
    with Run(RunConfig(write_zarr(tmp_path / "in.zarr", PLANE), engine="analytic")) as run:
        pass
    with pytest.raises(EngineError, match="used after close"):
        run.execute()
    with pytest.raises(EngineError, match="used after close"):
        run.estimate_seconds()
    assert [path.name for path in tmp_path.iterdir()] == ["in.zarr"]


def test_a_cluster(tmp_path: Path) -> None:
    config = RunConfig(write_zarr(tmp_path / "in.zarr", PLANE), engine="analytic")
    with Cluster("local:1") as cluster:
        pass
    with Run(config) as run, pytest.raises(ClusterError, match="is closed; make another one"):
        run.execute(workers=cluster)
    assert [path.name for path in tmp_path.iterdir()] == ["in.zarr"]


def test_a_live_denoiser() -> None:
    with LiveDenoiser(engine="analytic") as live:
        pass
    with pytest.raises(ConfigError, match="is closed: make another one"):
        live.submit(PLANE)
    assert list(live.results()) == []
    live.close()
