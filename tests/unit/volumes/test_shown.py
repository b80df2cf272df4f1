"""Display ranges of outputs: what the input has stays, what it lacks is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.maps import image_infos
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.shown import displayed
from baikal_deploy.volumes.zarr.format import OmeZarr
from tests.conftest import MakeInfo

RANGES = [(99.4, 812.2), (3.0, 4.0)]
OWN = {"start": 5.0, "end": 6.0}


def windows(omero: dict[str, Any] | None) -> list[Any]:
    assert omero is not None
    return [channel.get("window") for channel in omero["channels"]]


def test_an_input_without_a_block_gets_one(make_info: MakeInfo) -> None:
    found = windows(displayed(make_info("cyx", (2, 8, 8)), RANGES))
    assert found == [{"start": 99, "end": 813}, {"start": 3, "end": 4}]
    assert windows(displayed(make_info("cyx", (2, 8, 8), "f4"), RANGES))[0] == {"start": 99.4, "end": 812.2}
    assert displayed(make_info("cyx", (2, 8, 8)), [None, None]) is None


def test_what_the_input_has_stays(make_info: MakeInfo) -> None:
    channels = [{"label": "DAPI", "color": "0000FF", "window": OWN}, {"window": {"start": None}}]
    info = make_info("cyx", (2, 8, 8), omero={"channels": channels, "rdefs": {"model": "color"}})
    found = displayed(info, RANGES)
    assert windows(found) == [OWN, {"start": 3, "end": 4}]
    assert found is not None
    assert (found["rdefs"], found["channels"][0]) == ({"model": "color"}, channels[0])


@pytest.mark.parametrize("omero", [{}, {"channels": None}, {"channels": [3, 4]}, {"channels": [{}]}])
def test_a_block_of_another_form_is_left_alone(make_info: MakeInfo, omero: dict[str, Any]) -> None:
    assert displayed(make_info("cyx", (2, 8, 8), omero=omero), RANGES) == omero


@pytest.mark.parametrize(
    ("dtype", "found", "expected"),
    [("u1", (-3.0, 900.0), (0, 255)), ("i1", (200.0, 201.0), (126, 127)), ("u2", (-9.0, -8.0), (0, 1))],
)
def test_ranges_lie_within_the_pixel_type(
    make_info: MakeInfo, dtype: str, found: tuple[float, float], expected: tuple[float, float]
) -> None:
    (window,) = windows(displayed(make_info("yx", (8, 8), dtype), [found]))
    assert (window["start"], window["end"]) == expected


def test_maps_have_ranges_of_their_own(make_info: MakeInfo) -> None:
    info = make_info("yx", (8, 8), omero={"channels": [{"label": "DAPI", "window": OWN}]})
    _, std, mask = (windows(own.omero)[0] for own in image_infos(info))
    assert (std["start"], std["end"]) == (0, pytest.approx(0.1))
    assert (mask["start"], mask["end"]) == (0, 1)


def shown(path: Path, info: VolumeInfo) -> list[dict[str, Any]]:
    """The channels of an image that is written so."""
    OmeZarr().create(path, info)
    channels: list[dict[str, Any]] = zarr.open_group(path).attrs.asdict()["ome"]["omero"]["channels"]
    return channels


def test_colours_where_there_are_none(tmp_path: Path, make_info: MakeInfo) -> None:
    """Several channels can be told apart; one is grey, and so is one among others that have colours."""
    for names, channels, expected in (
        ("yx", [{}], ["FFFFFF"]),
        ("cyx", [{}, {}], ["00FF00", "FF00FF"]),
        ("cyx", [{"color": "0000FF"}, {}], ["0000FF", "FFFFFF"]),
    ):
        info = make_info(names, (2, 8, 8)[-len(names) :], omero={"channels": channels})
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.zarr"
        assert [channel["color"] for channel in shown(path, info)] == expected


def test_ranges_of_a_run_are_measured(tmp_path: Path) -> None:
    """Of a denoised channel as of one that is copied: where the pixels are, not where their type ends."""
    y, x = np.mgrid[:96, :80]
    clean = 300 + 200 * np.sin(y / 9) * np.sin(x / 7)
    noisy = np.random.default_rng(0).poisson([clean, clean + 1000]).astype("u2")
    tifffile.imwrite(tmp_path / "a.ome.tif", noisy, ome=True, metadata={"axes": "CYX"})
    config = RunConfig(tmp_path / "a.ome.tif", tmp_path / "out.zarr", engine="analytic", channels=[0])
    with Run(config) as run:
        first, second = windows(run.written.omero)
    assert 60 < first["start"] < 180
    assert 420 < first["end"] < 560
    assert 1030 < second["start"] < 1180
    assert 1420 < second["end"] < 1600
