"""Random numbers that planes share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baikal_deploy import Denoiser
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import group_attributes, level0


@pytest.fixture
def alike(tmp_path: Path, counts: np.ndarray) -> Path:
    """Two time points and two channels of one plane, three times each."""
    pixels = np.broadcast_to(counts[0], (2, 2, 3, *counts.shape[1:]))
    return write_zarr(tmp_path / "alike.zarr", np.ascontiguousarray(pixels), dimension_names=list("tczyx"))


@pytest.mark.parametrize(
    ("shared", "fields"),
    [("none", np.arange(12).reshape(2, 2, 3)), ("z", [[[0], [3]], [[6], [9]]]), ("tz", [[[0], [3]]])],
)
@pytest.mark.parametrize("sampler", ["posterior", "mixing"])
def test_planes_that_share_their_noise_come_out_alike(
    tmp_path: Path, baikal_run: BaikalRun, alike: Path, shared: str, fields: np.ndarray, sampler: str
) -> None:
    result = baikal_run(
        alike, tmp_path / "out.zarr", "--sampler", sampler, "--share-noise", shared, "--batch", 2
    )
    assert result.exit_code == 0, result.output
    planes = level0(tmp_path / "out.zarr").reshape(12, 96, 80)
    fields = np.broadcast_to(fields, (2, 2, 3)).ravel()
    same = [[np.array_equal(one, other) for other in planes] for one in planes]
    assert np.array_equal(same, fields == fields[:, None])
    assert group_attributes(tmp_path / "out.zarr")["baikal"]["shared noise"] == shared


def test_stacks_share_along_z_unless_told_otherwise(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray
) -> None:
    for name, options in (
        ("default", ()),
        ("z", ("--share-noise", "z")),
        ("none", ("--share-noise", "none")),
    ):
        assert (
            baikal_run(noisy_zarr, tmp_path / f"{name}.zarr", "--sampler", "mixing", *options).exit_code == 0
        )
    assert np.array_equal(level0(tmp_path / "default.zarr"), level0(tmp_path / "z.zarr"))
    assert not np.array_equal(level0(tmp_path / "default.zarr"), level0(tmp_path / "none.zarr"))
    with Denoiser.load(engine="analytic") as denoiser:
        assert np.array_equal(denoiser.denoise(counts, "mixing"), level0(tmp_path / "z.zarr"))
        assert np.array_equal(
            denoiser.denoise(counts, "mixing", share_noise=False), level0(tmp_path / "none.zarr")
        )


def test_a_part_has_the_noise_of_its_stack(tmp_path: Path, baikal_run: BaikalRun, alike: Path) -> None:
    assert baikal_run(alike, tmp_path / "whole.zarr", "--sampler", "posterior").exit_code == 0
    part = ("--t", 1, "--z", "2", "--channel", 1, "--other-channels", "drop")
    assert baikal_run(alike, tmp_path / "part.zarr", "--sampler", "posterior", *part).exit_code == 0
    # All planes are one, so the measurements of the part and the whole are nearly the same.
    part_pixels, whole_pixels = (level0(tmp_path / f"{name}.zarr").astype(int) for name in ("part", "whole"))
    same, other = (np.abs(part_pixels[0, 0, 0] - whole_pixels[t, 1, 2]).mean() for t in (1, 0))
    assert other > 10
    assert same < other / 3
