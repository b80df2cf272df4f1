"""Names of outputs that nobody has named, and so their formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import ConfigError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.many.draws import draws_of
from baikal_deploy.run.naming import LARGEST, named
from baikal_deploy.volumes.base import Axis, Hyperstack, VolumeInfo
from baikal_deploy.volumes.urls import Url
from tests.conftest import MakeInfo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a.czi").touch()
    return tmp_path / "a.czi"


@pytest.fixture
def info(make_info: MakeInfo) -> VolumeInfo:
    return make_info("zyx", (2, 20, 30))


def test_files_become_tiff_and_stores_stay_stores(tmp_path: Path, file: Path, info: VolumeInfo) -> None:
    (tmp_path / "b.zarr").mkdir()
    for source, name in ((file, "a_denoised.ome.tif"), (tmp_path / "b.zarr", "b_denoised.ome.zarr")):
        config, why = named(RunConfig(source), info, shared=False)
        assert (config.output, why) == (tmp_path / name, "")
    assert RunConfig(Url("s3://bucket/a.zarr")).target.name == "a_denoised.ome.zarr"


def test_a_hyperstack_is_named_as_one(file: Path, info: VolumeInfo) -> None:
    config, _ = named(RunConfig(file), replace(info, hyperstack=Hyperstack()), shared=False)
    assert config.target.name == "a_denoised.tif"


@pytest.mark.parametrize("kind", ["tif", "zarr"])
def test_a_format_may_be_chosen(file: Path, info: VolumeInfo, kind: Any) -> None:
    for shared in (False, True):
        config, why = named(RunConfig(file, format=kind), info, shared=shared)
        assert (config.target.name, why) == (f"a_denoised.ome.{kind}", "")
    assert RunConfig(file, Path(f"out.{kind}"), format=kind).target == Path(f"out.{kind}")
    other = {"tif": "zarr", "zarr": "tif"}[kind]
    with pytest.raises(ConfigError, match=f"--format {kind}: OUTPUT is out.{other}"):
        RunConfig(file, Path(f"out.{other}"), format=kind)


@pytest.mark.parametrize(
    ("change", "shared", "why"),
    [
        ({}, True, "several processes cannot write one TIFF file"),
        ({"shape": (LARGEST // 1200 + 1, 20, 30)}, False, "few programs read a TIFF above 4 GB"),
        ({"dtype": np.dtype("f2")}, False, "OME-TIFF has no pixels of type float16"),
        ({"axes": (Axis("z", "parsec"), Axis("y"), Axis("x"))}, False, "no name for the unit 'parsec'"),
    ],
)
def test_why_a_file_becomes_a_store(
    file: Path, info: VolumeInfo, change: dict[str, Any], shared: bool, why: str
) -> None:
    config, told = named(RunConfig(file), replace(info, **change), shared=shared)
    assert config.target.name == "a_denoised.ome.zarr"
    assert told.startswith(why) or why in told
    asked = RunConfig(file, Path("x.tif"))
    assert named(asked, replace(info, **change), shared=shared) == (asked, "")


def test_draws_and_images_of_a_folder_are_named_alike(tmp_path: Path, file: Path, info: VolumeInfo) -> None:
    config = RunConfig(file, sampler="posterior", folder=tmp_path / "out")
    names = [named(one, info, shared=False)[0].target for one in draws_of(config, 2)]
    assert names == [tmp_path / "out" / f"a_denoised_draw{number}.ome.tif" for number in (1, 2)]
    asked = draws_of(RunConfig(file, tmp_path / "x.zarr", sampler="posterior"), 1)
    assert asked[0].target == tmp_path / "x_draw1.zarr"
