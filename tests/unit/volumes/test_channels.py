"""Channels by number or name."""

from __future__ import annotations

from typing import Any

import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.channels import find_channels
from tests.conftest import MakeInfo


@pytest.fixture
def find(make_info: MakeInfo) -> Any:
    channels = [{"label": name} for name in ("DAPI", "GFP, weak", "0", "twice", "twice")]
    info = make_info("cyx", (5, 4, 4), omero={"channels": channels})
    return lambda *wanted: find_channels(info, wanted)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (("1",), (1,)),
        ((4, "DAPI"), (0, 4)),
        (("3,1", "DAPI"), (0, 1, 3)),
        (("GFP, weak",), (1,)),
        (("0",), (2,)),
        (("DAPI, 3",), (0, 3)),
        (("1,1",), (1,)),
    ],
)
def test_channels_are_found(find: Any, wanted: Any, numbers: tuple[int, ...]) -> None:
    assert find(*wanted) == numbers


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (("RFP",), ["no channel RFP", "0: DAPI, 1: GFP, weak, 2: 0"]),
        (("0,5",), ["no channel 5"]),
        ((-1,), ["no channel -1"]),
        (("",), ["no channel"]),
        (("twice",), ["several channels", "3, 4"]),
    ],
)
def test_what_is_not_there_is_refused(find: Any, wanted: Any, words: list[str]) -> None:
    with pytest.raises(VolumeError) as caught:
        find(*wanted)
    for word in words:
        assert word in str(caught.value)


def test_a_volume_without_channels_has_one(make_info: MakeInfo) -> None:
    assert find_channels(make_info("zyx", (2, 4, 4)), ["0"]) == (0,)
