"""The range of shapes that an engine file serves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError
from tests.models import tiny_checkpoint, tiny_manifest

MANIFEST = tiny_manifest(tiny_checkpoint())
SMALL = Profile((1, 8, 8), (1, 32, 32), (2, 64, 64))


def test_a_profile_is_read_as_it_is_written() -> None:
    text = "1x16x32,1x512x512,4x1024x512"
    profile = Profile.parse(text)
    assert profile == Profile((1, 16, 32), (1, 512, 512), (4, 1024, 512))
    assert str(profile) == text
    assert Profile.parse(" 1x16x32, 1x512x512 ,4x1024x512 ") == profile
    assert Profile.parse("1x8x8,1x8x8,1x8x8").min == (1, 8, 8)


@pytest.mark.parametrize(
    "text",
    ["", "1x8x8", "1x8x8,1x8x8", "1x8x8,1x8x8,1x8x8,1x8x8", "8x8,8x8,8x8", "1x1x8x8,1x1x8x8,1x1x8x8",
     "1x8x8;1x8x8;1x8x8", "axbxc,1x8x8,1x8x8", "1x8x-8,1x8x8,1x8x8", "1x8.5x8,1x9x9,1x9x9"],
)  # fmt: skip
def test_nonsense_is_no_profile_and_an_example_is_given(text: str) -> None:
    with pytest.raises(ConfigError, match="needed are min,opt,max") as caught:
        Profile.parse(text)
    assert f"'{text}'" in str(caught.value)
    assert "1x512x512" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["0x8x8,1x8x8,1x8x8", "1x8x8,1x4x8,1x8x8", "1x8x8,1x8x16,1x8x8", "4x8x8,1x8x8,4x8x8"]
)
def test_a_profile_that_falls_or_holds_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must not fall from min to opt to max") as caught:
        Profile.parse(text)
    assert text in str(caught.value)


@pytest.mark.parametrize("wrong", ["1x6x8,1x8x8,1x8x8", "1x4x4,1x8x10,1x12x12", "1x4x4,1x8x8,1x8x9"])
def test_sides_must_be_multiples_of_the_downsampling(wrong: str) -> None:
    with pytest.raises(ConfigError, match="model tiny needs heights and widths that are multiples of 4"):
        Profile.parse(wrong).check(MANIFEST)
    Profile.parse("3x4x4,3x8x12,5x8x16").check(MANIFEST)


@pytest.mark.parametrize(
    ("side", "downsampling", "expected"),
    [
        (512, 4, "1x4x4,3x512x512,3x512x512"),
        (100, 16, "1x16x16,3x96x96,3x96x96"),
        (3, 8, "1x8x8,3x8x8,3x8x8"),
    ],
)
def test_by_default_all_planes_fit_that_the_options_allow(
    side: int, downsampling: int, expected: str
) -> None:
    manifest = replace(MANIFEST, downsampling=downsampling)
    profile = Profile.default(EngineOptions(batch=3, side=side), manifest)
    assert str(profile) == expected
    profile.check(manifest)


@pytest.mark.parametrize(
    ("shape", "inside"),
    [((1, 8, 8), True), ((2, 64, 64), True), ((1, 64, 8), True), ((3, 8, 8), False), ((1, 4, 8), False),
     ((1, 8, 4), False), ((1, 68, 8), False), ((1, 8, 68), False)],
)  # fmt: skip
def test_a_profile_covers_what_lies_between_its_ends(shape: tuple[int, int, int], inside: bool) -> None:
    assert SMALL.covers(shape) is inside
