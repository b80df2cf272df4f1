"""What files say beside their pixels, where tifffile writes no such file."""

from __future__ import annotations

from typing import Any

import pytest

from baikal_deploy.volumes.calibration import metamorph_calibration, ome_calibrations


def ome(**attributes: str) -> str:
    written = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f'<OME xmlns="http://www.openmicroscopy.org/"><Image><Pixels {written}/></Image></OME>'


def test_metamorph() -> None:
    notes: dict[str, Any] = {
        "SpatialCalibration": 1, "XCalibration": 0.65, "YCalibration": 0.66, "CalibrationUnits": "um",
        "ZDistance": [2.0, 2.0],
    }  # fmt: skip
    found = metamorph_calibration(notes, ["DAPI"])
    assert found.scale == {"x": 0.65, "y": 0.66, "z": 2.0}
    assert set(found.units.values()) == {"micrometer"}
    assert found.omero == {"channels": [{"label": "DAPI"}]}
    assert metamorph_calibration(notes | {"SpatialCalibration": 0, "ZDistance": [0.0]}, []).scale == {}


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "wide", ""])
def test_a_size_that_is_none_is_unknown(size: str) -> None:
    (found,) = ome_calibrations(ome(PhysicalSizeX=size, PhysicalSizeY="2"))
    assert found.scale == {"y": 2}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("µm", "micrometer"), ("Å", "angstrom"), ("pixel", None), ("reference frame", None)],
)
def test_units(unit: str, expected: str | None) -> None:
    (found,) = ome_calibrations(ome(PhysicalSizeX="2", PhysicalSizeXUnit=unit))
    assert found.units == {"x": expected}
