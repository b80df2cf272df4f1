"""Which planes are measured together, and how."""

from __future__ import annotations

import threading
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy import Denoiser
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement import sample as sampling
from baikal_deploy.run.models.loaded import Loaded, Models
from baikal_deploy.run.recipes import Recipes, group_of, group_size, plane_of, sample
from baikal_deploy.run.unreadable import READERS
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.selection import select
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.conftest import MakeInfo

SHAPE = (6, 90, 110)


@pytest.mark.parametrize(
    ("names", "shape"), [("tczyx", (3, 2, 4)), ("tcyx", (3, 2)), ("tyx", (5,)), ("czyx", (2, 3)), ("yx", ())]
)
@pytest.mark.parametrize("by_time", [False, True])
def test_every_plane_is_in_one_group(
    make_info: MakeInfo, names: str, shape: tuple[int, ...], by_time: bool
) -> None:
    info = make_info(names, (*shape, 4, 4))
    groups = {group_of(info, plane, by_time=by_time) for plane in range(info.num_planes)}
    size = dict(zip(names, shape, strict=False))
    assert len(groups) == size.get("c", 1) * (size.get("t", 1) if by_time else 1)
    found = {group: [plane_of(info, group, i) for i in range(group_size(info, group))] for group in groups}
    assert sorted(chain(*found.values())) == list(range(info.num_planes))
    for group, planes in found.items():
        assert planes == sorted(planes)
        assert {group_of(info, plane, by_time=by_time) for plane in planes} == {group}


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_PIXELS", 2**14)
    monkeypatch.setattr(sampling, "SAMPLE_SIDE", 32)


@pytest.mark.usefixtures("small_sample")
def test_a_measurement_is_the_same_in_any_chunks(tmp_path: Path) -> None:
    """To the last bit; only a part of the volume is looked at."""
    counts = Camera().expose(simulate_nuclei(SHAPE, seed=5), seed=5)
    layouts: list[dict[str, Any]] = [
        {"chunks": (1, 90, 110)},
        {"chunks": (6, 17, 23)},
        {"chunks": (2, 64, 8), "zarr_format": 2},
        {"chunks": (1, 16, 16), "shards": (4, 96, 64)},
    ]
    found = []
    with Denoiser.load(engine="onnx-cpu") as denoiser:
        for number, layout in enumerate(layouts):
            path = tmp_path / f"{number}.zarr"
            zarr.create_array(path, shape=SHAPE, dtype=counts.dtype, **layout)[...] = counts
            windows = sample(open_input(path), (None, 0))
            assert sum(window.size for window in windows) < counts.size / 2
            found.append(denoiser.measure(windows, make_sampler("auto", {}, {})))
    assert [repr(one) for one in found] == [repr(found[0])] * len(layouts)


@pytest.mark.usefixtures("small_sample")
def test_windows_are_read_side_by_side_and_no_more_than_so_many(make_info: MakeInfo) -> None:
    together, most, lock, two = 0, 0, threading.Lock(), threading.Barrier(2)

    class Slow:
        info = make_info("zyx", (50, 64, 64))

        def read_window(self, plane: int, y: slice, x: slice) -> np.ndarray:
            nonlocal together, most
            with lock:
                together += 1
                most = max(most, together)
            two.wait(30)  # nobody goes on alone
            with lock:
                together -= 1
            return np.full((1, 1), plane)

    windows = sample(Slow(), (None, 0))  # type: ignore[arg-type]
    assert [int(window[0, 0]) for window in windows] == sorted(int(window[0, 0]) for window in windows)
    assert len(windows) == 16
    assert 2 <= most <= READERS


def test_planes_are_split_where_another_time_point_begins(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "v.zarr", shape=(4, 8, 8), dtype="u2", dimension_names=list("tyx"))
    array[...] = np.random.default_rng(0).integers(0, 99, (4, 8, 8))
    volume = select(open_input(tmp_path / "v.zarr"), {})
    with Denoiser.load(engine="analytic") as denoiser:
        own, path = Loaded(denoiser, make_sampler("auto", {}, {})), Path("any.onnx")
        models = Models({path: own}, {0: [path]})
        apart = Recipes(volume, models, 0, by_time=True)
        assert list(apart.parts(range(1, 4))) == [((t, 0), range(t, t + 1)) for t in (1, 2, 3)]
        together = Recipes(volume, models, 0, by_time=False)
        assert list(together.parts(range(1, 4))) == [((None, 0), range(1, 4))]
        copied = Recipes(volume, Models({}, {}), 0, by_time=True)
        assert list(copied.parts(range(1, 4))) == [(None, range(1, 4))]
        assert apart.evaluations_of(range(4)) == 8
        assert set(apart.known) == {(0, 0)}  # the first stands for the others until they are measured
