"""What goes into a denoiser, and what comes out."""

from __future__ import annotations

import numpy as np

from baikal_deploy import Denoiser
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.stack import Denoised, Gathered, Stack, Wanted
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.pixels.counts import Tally

PLANES = np.random.default_rng(0).poisson(100, (3, 64, 80)).astype(np.uint16)
PLANES[1] = 7


def denoised(stack: Stack, crop: Crop | None = None, wanted: Wanted | None = None) -> Denoised:
    with Denoiser.load(engine="analytic") as denoiser:
        sampler = make_sampler("matched", {}, {})
        recipe = denoiser.recipe(sampler, denoiser.measure(list(PLANES), sampler), 0)
        return denoiser.run(recipe, stack, crop, wanted)


def test_nothing_is_returned_that_nobody_wants() -> None:
    found = denoised(Stack(PLANES, range(3)))
    assert (found.planes.dtype, found.std, found.suspect) == (np.uint16, None, None)
    assert (found.counts.pixels, found.counts.copied_planes) == (PLANES.size, 1)
    only = denoised(Stack(PLANES, range(3)), wanted=Wanted(np.float32, suspect=True, guard=False))
    assert (only.planes.dtype, only.std) == (np.float32, None)
    assert only.suspect is not None
    assert (only.suspect.dtype, only.suspect.shape) == (np.uint8, PLANES.shape)


def test_a_region_has_the_pixels_and_the_maps_of_the_whole_plane() -> None:
    wanted = Wanted(np.float32, std=True, suspect=True)
    whole = denoised(Stack(PLANES, range(3)), wanted=wanted)
    region = slice(8, 30), slice(20, 60)
    crop = Crop((64, 80), (slice(0, 64), slice(0, 80)), region)
    cut = denoised(Stack(PLANES, range(3)), crop, wanted)
    assert set(cut.arrays) == {"planes", "std", "suspect"}
    for name, pixels in cut.arrays.items():
        np.testing.assert_array_equal(pixels, whole.arrays[name][..., *region])
    assert cut.counts.pixels == 3 * 22 * 40


def test_planes_are_chosen_with_what_belongs_to_them() -> None:
    some = Stack(PLANES, (4, 5, 6), PLANES + 1).some([2, 0])
    np.testing.assert_array_equal(some.pixels, PLANES[[2, 0]])
    np.testing.assert_array_equal(some.guides, PLANES[[2, 0]] + 1)
    assert (some.indices, some.noise_fields) == ([6, 4], [6, 4])
    assert Stack(PLANES, (4, 5, 6), fields=(0, 0, 1)).some([2, 0]).noise_fields == [1, 0]


def test_planes_are_gathered_where_they_belong() -> None:
    result = Gathered((3, 64, 80), Wanted(np.uint16, std=True))
    before = result.denoised
    result.put([2], Denoised(PLANES[:1], np.ones((1, 64, 80), np.float32), None, Tally(4, zeroed=(2,))))
    result.put(slice(0, 2), Denoised(PLANES[1:], None, None, Tally(3, zeroed=(0, 1))))
    np.testing.assert_array_equal(result.denoised.planes, PLANES[[1, 2, 0]])
    assert result.denoised.std is not None
    np.testing.assert_array_equal(result.denoised.std[:, 0, 0], [0, 0, 1])
    assert (before.counts, result.denoised.counts) == (Tally(), Tally(7, zeroed=(2, 0, 1)))
    assert result.denoised.counts - Tally(4, zeroed=(2,)) == Tally(3, zeroed=(0, 1))
