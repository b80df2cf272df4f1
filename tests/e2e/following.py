"""What the tests of --follow share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from baikal_deploy import RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.run.follow import Follow
from tests.e2e import growing
from tests.e2e.conftest import write_zarr


def image(path: Path) -> Path:
    return path / "run_1" if path.name == "in" else path


def result(path: Path) -> Path:
    name = "run_1" if path.name == "in" else "in"
    return image(path).with_name(f"{name}_denoised.ome.zarr")


def denoised(path: Path, kind: str, count: int) -> np.ndarray:
    """What the output must be: whole steps, denoised with what was measured at their beginning."""
    group = zarr.open_group(path, mode="r")
    record: Any = group.attrs["baikal"]
    pixels = growing.steps(count)
    if kind == "acquire-flat":
        pixels = pixels[:, :1]
    planes = pixels.reshape(-1, *growing.PLANE)
    with Denoiser.load(engine="analytic") as denoiser:
        sampler = make_sampler("auto", {}, denoiser.recommended("auto"))
        measured = Measurement.from_record(record["channels"][0]["measurement"])
        assert denoiser.measure(list(planes[:8]), sampler) == measured
        recipe = denoiser.recipe(sampler, measured, 0)
        found = denoiser.run(recipe, Stack(planes, range(len(planes)))).planes
    assert record["complete"] is True
    return found.reshape(pixels.shape) if kind != "acquire-flat" else found


def check(path: Path, kind: str, count: int) -> None:
    written: Any = zarr.open_group(path, mode="r")["0"]
    expected = denoised(path, kind, count)
    assert written.shape == expected.shape
    np.testing.assert_array_equal(written[...], expected)


def write_steps(path: Path, count: int) -> Path:
    names = ["t", "z", "y", "x"]
    return write_zarr(path, growing.steps(count), chunks=(1, 1, *growing.PLANE), dimension_names=names)


def follow(path: Path, timeout: float = 0.2, **options: Any) -> Follow:
    return Follow(RunConfig(path, engine="analytic", **options), timeout)


def then(run: Follow, action: Callable[[], Any]) -> Callable[[int, int], None]:
    """As progress of a run: does something when the output is begun, and nothing comes later."""
    actions = iter([action])

    def progress(done: int, total: int) -> None:
        for act in actions:
            act()
            run.plan.input.watched.timeout = 0.2

    return progress


def stop(*arguments: Any) -> None:
    raise RuntimeError
