"""Dealing out volumes to training, validation and test."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_training.data import CleanVolume, Shares, Split, split
from baikal_training.data.volumes import InMemory

PIXELS = InMemory("pixels", np.zeros((3, 16, 20), np.uint16))
PARTS = ("training", "validation", "test")


def volume(number: int) -> CleanVolume:
    return CleanVolume(f"{number}.tif", PIXELS, IntensityMap(0, 1), sha256(str(number).encode()).hexdigest())


def at(place: float) -> CleanVolume:
    """A volume whose fingerprint stands for a place within 0 … 1."""
    return CleanVolume(f"{place}", PIXELS, IntensityMap(0, 1), f"{int(place * 16**16):016x}" + 48 * "0")


def parts(found: Split) -> dict[str, str]:
    """The part of each volume, by its fingerprint."""
    return {held.fingerprint: part for part in PARTS for held in getattr(found, part)}


numbers = st.lists(st.integers(0, 10**6), unique=True, min_size=3, max_size=60)
shares = st.sampled_from([Shares(), Shares(90, 10, 0), Shares(1, 1, 1), Shares(1, 0, 3), Shares(1, 0, 0)])


@given(numbers, shares)
def test_every_volume_goes_to_one_part_and_no_part_with_a_share_is_empty(
    chosen: list[int], wanted: Shares
) -> None:
    volumes = [volume(number) for number in chosen]
    found = split(volumes, wanted)
    dealt = [held for part in PARTS for held in getattr(found, part)]
    assert sorted(held.name for held in dealt) == sorted(held.name for held in volumes)
    for part in PARTS:
        assert bool(getattr(found, part)) == (getattr(wanted, part) > 0)


@given(numbers, st.randoms(use_true_random=False))
def test_neither_order_nor_names_matter(chosen: list[int], random: st.DataObject) -> None:
    volumes = [volume(number) for number in chosen]
    renamed = [CleanVolume("renamed", PIXELS, IntensityMap(0, 1), held.fingerprint) for held in volumes]
    random.shuffle(renamed)  # type: ignore[attr-defined]
    assert parts(split(volumes, Shares())) == parts(split(renamed, Shares()))


@given(numbers, numbers)
def test_parts_stay_when_volumes_are_added(chosen: list[int], added: list[int]) -> None:
    """Only a part that would be empty borrows volumes; with every part occupied none moves."""
    basis = [at(0.3), at(0.85), at(0.95), *map(volume, chosen)]
    more = [*basis, *(volume(-1 - number) for number in added)]
    before, after = parts(split(basis, Shares())), parts(split(more, Shares()))
    assert before == {fingerprint: after[fingerprint] for fingerprint in before}


def test_the_part_follows_from_the_fingerprint() -> None:
    found = split([at(place) for place in (0.0, 0.79, 0.81, 0.89, 0.91, 0.999999)], Shares())
    assert [held.name for held in found.training] == ["0.0", "0.79"]
    assert [held.name for held in found.validation] == ["0.81", "0.89"]
    assert [held.name for held in found.test] == ["0.91", "0.999999"]


def test_shares_are_met() -> None:
    found = split([volume(number) for number in range(3000)], Shares(6, 3, 1))
    assert [len(getattr(found, part)) / 3000 for part in PARTS] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_the_nearest_volumes_fill_empty_parts() -> None:
    found = split([at(0.1), at(0.5), at(0.7)], Shares())
    assert parts(found) == {
        at(0.1).fingerprint: "training",
        at(0.5).fingerprint: "test",
        at(0.7).fingerprint: "validation",
    }
    found = split([at(0.91), at(0.95), at(0.99)], Shares())
    assert [held.name for held in found.training] == ["0.91"]
    assert [held.name for held in found.validation] == ["0.95"]


def test_too_few_volumes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"only 2 clean volumes for 3 parts.*never split.*90:10:0, or"):
        split([volume(0), volume(1)], Shares())
    with pytest.raises(ConfigError, match=r"only 1 clean volume for 2 parts.*use --split 100:0:0"):
        split([volume(0)], Shares(90, 10, 0))
    assert split([volume(0)], Shares(100, 0, 0)).training == (split([volume(0)], Shares(1, 0, 0)).training)


def test_shares_as_text() -> None:
    assert Shares.parse("80:10:10") == Shares()
    assert Shares.parse("1:0.5:0") == Shares(1, 0.5, 0)
    assert str(Shares.parse("80:10:10")) == "80:10:10"
    assert Shares(4, 1, 0).intervals() == {"training": (0, 0.8), "validation": (0.8, 1.0)}


@pytest.mark.parametrize(
    "text", ["", "80", "80:20", "1:2:3:4", "a:b:c", "80:-10:30", "0:50:50", "nan:1:1", "inf:1:1"]
)
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--split .*80:10:10"):
        Shares.parse(text)


def test_record_of_a_split() -> None:
    found = split([at(0.1), at(0.95)], Shares(90, 0, 10)).as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["validation"] == []
    assert found["test"] == [
        {
            "name": "0.95",
            "fingerprint": at(0.95).fingerprint,
            "planes": 3,
            "shape": [16, 20],
            "dtype": "uint16",
        }
    ]
