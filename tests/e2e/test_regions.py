"""Planes that are cut into regions, against the same planes uncut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.diffusion.samplers import sampler_names
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.open import open_input
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.e2e import killed
from tests.e2e.conftest import write_zarr

EDGE = 256
SHAPE = (700, 600)
OPTIONS: dict[str, dict[str, Any]] = {"auto": {"budget": "best"}, "matched": {"evaluations": 3}}

RunBoth = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One plane of 700 x 600 uint16, in chunks that are no regions."""
    counts = Camera().expose(simulate_nuclei((1, *SHAPE), seed=5), seed=5)
    return write_zarr(tmp_path_factory.mktemp("mosaic") / "in.zarr", counts, chunks=(1, 200, 300))


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if memory were so small that nothing larger than a region of 256 x 256 fits."""
    monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_: [Layout(1, EDGE)])


def levels(path: Path) -> list[np.ndarray]:
    group: Any = zarr.open_group(path, mode="r")
    return [np.asarray(group[name][...]) for name in sorted(group.keys())]


@pytest.fixture
def both(tmp_path: Path, mosaic: Path, request: pytest.FixtureRequest) -> RunBoth:
    """Run uncut and cut; where the results are."""

    def run(**options: Any) -> tuple[Path, Path]:
        config = {"engine": "analytic", "tile": 128, "overlap": 32, **options}
        for name in ("whole", "cut"):
            if name == "cut":
                request.getfixturevalue("cut")
            maps = {key: tmp_path / f"{name}_{key}.zarr" for key in config.get("maps", ())}
            own = {key: value for key, value in config.items() if key != "maps"} | maps
            with Run(RunConfig(mosaic, tmp_path / f"{name}.zarr", **own)) as planned:
                assert len(planned.items) == (1 if name == "whole" else 9)
                planned.execute()
        return tmp_path / "whole.zarr", tmp_path / "cut.zarr"

    return run


@pytest.mark.parametrize("sampler", sampler_names())
def test_every_sampler_gives_the_uncut_pixels_and_pyramid(both: RunBoth, sampler: str) -> None:
    whole, cut = both(sampler=sampler, options=OPTIONS.get(sampler, {}))
    assert np.ptp(levels(whole)[0]) > 100
    for ours, theirs in zip(levels(cut), levels(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_maps_are_those_of_the_uncut_plane(both: RunBoth) -> None:
    whole, cut = both(maps=("uncertainty", "mask"))
    for name in ("uncertainty", "mask"):
        ours, theirs = (levels(path.with_name(f"{path.stem}_{name}.zarr")) for path in (cut, whole))
        assert theirs[0].any()
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "options", "counts"),
    [
        ("auto", {}, 0),
        ("matched", {}, 0),
        ("auto", {"budget": "best"}, 0),
        ("matched", {"evaluations": 3}, 1),
        ("repaint", {"steps": "walk5", "repeats": 2, "interval": 2}, 1),
    ],
)
def test_a_shipped_network_sees_no_borders(
    both: RunBoth, sampler: str, options: dict[str, Any], counts: int
) -> None:
    """Differences in counts, of some 500 that the plane has; steps that are not alone may round otherwise."""
    whole, cut = both(sampler=sampler, options=options, engine="onnx-cpu")
    theirs, ours = (levels(path)[0][0].astype(float) for path in (whole, cut))
    assert np.ptp(theirs) > 300
    difference = np.abs(ours - theirs)
    assert difference.max() <= counts
    assert difference.mean() <= 1e-3 * counts
    border = np.zeros(SHAPE, bool)
    for axis, size in enumerate(SHAPE):
        for at in range(EDGE, size, EDGE):
            border[(slice(None),) * axis + (slice(at - 2, at + 2),)] = True
    assert difference[border].mean() <= max(2 * difference[~border].mean(), 1e-2 * counts)


def test_a_tiff_is_read_and_written_by_regions(
    tmp_path: Path, mosaic: Path, both: RunBoth, cut: None
) -> None:
    pixels = open_input(mosaic).read([0])[0]
    tifffile.imwrite(tmp_path / "in.tif", pixels, tile=(128, 128), compression="zlib")
    results = []
    for target in (tmp_path / "tiff.tif", tmp_path / "tiff.zarr"):
        with Run(RunConfig(tmp_path / "in.tif", target, engine="analytic")) as run:
            assert len(run.items) == 9
            run.execute()
        results.append(open_input(target).read([0])[0])
    np.testing.assert_array_equal(*results)
    assert (results[0] != pixels).any()


class Stopped(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("where", ["regions", "levels"])
def test_a_cut_run_goes_on_after_a_kill_with_the_layout_that_it_had(
    tmp_path: Path, mosaic: Path, monkeypatch: pytest.MonkeyPatch, where: str, request: Any
) -> None:
    config = RunConfig(mosaic, tmp_path / "out.zarr", engine="analytic", seed=1)
    with monkeypatch.context() as patch:
        patch.setattr("baikal_deploy.run.memory.layouts", lambda *_: [Layout(1, EDGE)])
        with Run(RunConfig(mosaic, tmp_path / "whole.zarr", engine="analytic", seed=1)) as run:
            run.execute()
        name = "baikal_deploy.run.outputs.Outputs." + ("write" if where == "regions" else "reduce")
        from baikal_deploy.run.outputs import Outputs

        original, left = getattr(Outputs, name.rpartition(".")[2]), [2]

        def stop(self: Any, *arguments: Any) -> None:
            if not left[0]:
                raise Stopped
            left[0] -= 1
            original(self, *arguments)

        patch.setattr(name, stop)
        with Run(config) as run, pytest.raises(Stopped):
            run.execute()
    denoised, run_ = list[int](), Denoiser.run
    monkeypatch.setattr(Denoiser, "run", lambda *a, **k: denoised.append(1) or run_(*a, **k))
    with Run(config) as run:  # nothing forces regions any more
        assert run.layout == Layout(1, EDGE)
        run.execute()
    assert len(denoised) == (7 if where == "regions" else 0)
    assert killed.digest(tmp_path / "out.zarr") == killed.digest(tmp_path / "whole.zarr")
