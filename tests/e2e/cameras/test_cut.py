"""Planes that are cut into regions have the same pixels, whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.volumes.layout import Layout
from tests.e2e.cameras.simulated import blobs, seen
from tests.e2e.conftest import write_zarr


def test_regions_have_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random, shape = np.random.default_rng(2), (700, 600)
    y, x = np.mgrid[: shape[0], : shape[1]]
    counts = seen(blobs(shape)).rounded
    counts[random.random(shape) < 1e-3] = 4000
    counts[:, [200, 201, 431]], counts[300, 100:500] = 65535, 0
    counts[(x < 90 - y / 4) | (y < 2)] = 0
    counts[500:540, 200:420] = 77
    counts[250:262, 240:330:6] = counts[250, 240:330] = 65535
    source = write_zarr(tmp_path / "in.zarr", counts[None], chunks=(1, 200, 300))
    results = []
    for name in ("whole", "cut"):
        if name == "cut":
            monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_: [Layout(1, 256)])
        config = RunConfig(source, tmp_path / f"{name}.zarr", engine="analytic", tile=128, overlap=32)
        with Run(config) as run:
            assert run.execute().tally.defects > 0
            assert (run.items[0].region is None) == (name == "whole")
        results.append(np.asarray(zarr.open_group(config.target, mode="r")["0"][...]))
    np.testing.assert_array_equal(*results)
