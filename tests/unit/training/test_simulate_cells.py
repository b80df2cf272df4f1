from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from baikal_training.simulate import simulate
from baikal_training.simulate.culture import Culture, Habit
from baikal_training.simulate.culture_scene import Layer, microscope
from baikal_training.simulate.grain import grain
from baikal_training.simulate.motion import Motion
from baikal_training.simulate.stain import Dots, Stain, balls, drawn, joined, splat
from baikal_training.simulate.threads import STEP, Ground, Growth, Threads

ROUND = Habit(
    distance=60, spread=0, fill=1.8, share=1, longer=1, aligned=False, lobes=0.2, tips=0, rough=0
)  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def culture(habit: Habit, seed: int = 0) -> Culture:
    return Culture.random(np.random.default_rng(seed), (160, 200), habit)


@pytest.mark.parametrize(("sigma", "size"), [(1.5, 100), (6, 200), (40, 400), (300, 20)])
def test_grain_has_zero_mean_and_unit_variance(sigma: float, size: int) -> None:
    fields = np.stack([grain(np.random.default_rng(s), (size, size + 5), sigma) for s in range(40)])
    assert fields.shape == (40, size, size + 5)
    assert fields.mean() == pytest.approx(0, abs=0.35)
    assert fields.std() == pytest.approx(1, abs=0.25)


def test_grain_is_as_coarse_as_it_says(rng: np.random.Generator) -> None:
    field = grain(rng, (400, 400), 20.0)
    near, far = (np.corrcoef(field[step:].ravel(), field[:-step].ravel())[0, 1] for step in (20, 100))
    assert near == pytest.approx(np.exp(-1 / 4), abs=0.12)  # exp(-d²/4σ²)
    assert abs(far) < 0.35


def test_cells_fill_the_field_to_its_sides_or_lie_apart() -> None:
    dense = [culture(replace(ROUND, distance=12), seed).owner >= 0 for seed in range(6)]
    assert np.mean(dense) > 0.8
    for side in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        assert np.mean(np.stack(dense)[side]) > 0.7
    apart = culture(replace(ROUND, fill=0.6)).owner
    assert 0.1 < np.mean(apart >= 0) < 0.6
    assert len(np.unique(apart)) > 4


@pytest.mark.parametrize("seed", range(5))
def test_one_cell_at_least_is_well_in_the_plane(seed: int) -> None:
    lonely = culture(replace(ROUND, distance=300, share=0.0), seed)
    assert np.mean(lonely.owner >= 0) > 0.3


def test_the_edge_is_the_distance_to_the_border() -> None:
    (cell,) = np.unique((one := culture(replace(ROUND, distance=150, share=0, lobes=0, fill=0.7))).owner)[1:]
    size = float(one.sizes[cell])
    middle = np.unravel_index(one.reach.argmin(), one.reach.shape)
    rows, columns = np.indices(one.reach.shape)
    distance = np.hypot(rows - middle[0], columns - middle[1])
    ring = np.abs(distance - size + 10) < 1
    assert one.edge[ring] == pytest.approx(10, abs=2)
    assert np.all(one.edge[distance > size + 2] == 0)


def test_borders_between_cells_of_different_sizes_are_curved() -> None:
    """Where reach grows slower from the larger cell, the border bends around the smaller one."""
    cells = culture(replace(ROUND, spread=0.6, lobes=0), 3)
    straight = []
    for one in range(len(cells.sizes)):
        for two in np.unique(cells.other[(cells.owner == one) & (cells.shared < 1)]):
            rows, columns = np.nonzero((cells.owner == one) & (cells.other == two) & (cells.shared < 1))
            if two > one and len(rows) > 40:
                points = np.stack([rows, columns]) - np.array([[rows.mean()], [columns.mean()]])
                straight.append(np.sqrt(np.linalg.eigvalsh(np.cov(points))[0]))
    assert max(straight) > 1.5  # a straight border of this width has less than 0.6


def threads(growth: Growth, seed: int = 0) -> tuple[Threads, Ground]:
    cells, rng = culture(ROUND, seed), np.random.default_rng(seed)
    ground = Ground(cells.owner, cells.edge, cells.angles, np.zeros_like(cells.edge))
    starts = rng.uniform(20, 140, (80, 2))
    return Threads.grow(rng, starts, rng.uniform(0, 6, 80), ground, growth), ground


def test_threads_stay_in_the_cell_that_they_begin_in() -> None:
    grown, ground = threads(Growth(120, 0.05))
    home = ground.owner_at(np.stack([grown.rows[0], grown.columns[0]]))
    for rows, columns, alive in zip(grown.rows, grown.columns, grown.alive, strict=True):
        assert np.all((ground.owner_at(np.stack([rows, columns])) == home)[alive])
    assert np.all(grown.alive[:-1] >= grown.alive[1:])  # what has ended does not begin again
    assert 10 < grown.alive.sum(0).mean() < 110


def test_threads_wiggle_as_much_as_they_are_told() -> None:
    for wiggle, least, most in ((0.0, 0.99, 1.01), (0.2, 0.2, 0.9)):
        grown, _ = threads(Growth(40, wiggle))
        whole = grown.alive[25] & (grown.alive.sum(0) > 0)
        ends = np.hypot(*(part[25] - part[0] for part in (grown.rows, grown.columns)))[whole]
        assert least < np.median(ends) / (25 * STEP) < most


def test_threads_follow_the_axis_of_their_cell() -> None:
    grown, ground = threads(Growth(80, 0.0, pull=0.2))
    last = grown.alive.sum(0) - 1
    far = last > 30
    heading = grown.headings[last, np.arange(len(last))][far]
    axis = ground.axes(np.stack([grown.rows[0], grown.columns[0]]))[far]
    assert np.median(np.abs(np.sin(heading - axis))) < 0.3


def test_threads_of_several_lengths_are_put_together() -> None:
    short, long = threads(Growth(5, 0.0))[0], threads(Growth(60, 0.0))[0]
    both = Threads.together(short, long)
    assert both.alive.shape == (len(long.alive), 160)
    assert both.alive.sum() == short.alive.sum() + long.alive.sum()
    assert np.array_equal(both.rows[: len(short.rows), :80], short.rows)


def test_dots_keep_their_weight_and_place() -> None:
    places = np.array([[1.2, 0.0, 9.0], [5.25, 2.0, 3.0], [6.5, 3.0, 3.0]])  # the last one is not painted
    volume = splat(places, np.array([2.0, 1.0, 5.0]), (3, 12, 14))
    assert volume.sum() == pytest.approx(3)
    assert volume[0, 2, 3] == pytest.approx(1)
    assert (volume[1].sum(1) @ np.arange(12)) / 2 == pytest.approx(5.25)
    assert (volume[1].sum(0) @ np.arange(14)) / 2 == pytest.approx(6.5)


def test_places_are_drawn_by_their_chance(rng: np.random.Generator) -> None:
    chance = np.zeros((6, 7), np.float32)
    chance[2, 3], chance[4, 0] = 3, 1
    row, column = np.rint(drawn(rng, chance, 2000)).astype(int)
    assert {(2, 3), (4, 0)} == set(zip(row.tolist(), column.tolist(), strict=True))
    assert np.mean(row == 2) == pytest.approx(0.75, abs=0.05)
    assert drawn(rng, np.zeros((6, 7), np.float32), 0).shape == (2, 0)


def test_balls_are_full_or_hollow(rng: np.random.Generator) -> None:
    hollow = np.arange(4000) < 2000
    radius = np.linalg.norm(balls(rng, hollow), axis=0)
    assert radius[hollow] == pytest.approx(1)
    assert np.mean(radius[~hollow] < 0.5) == pytest.approx(1 / 8, abs=0.03)


def test_the_points_of_a_thing_move_together_and_things_apart(rng: np.random.Generator) -> None:
    empty, motion = np.zeros((1, 96, 96), np.float32), Motion.random(rng, 2)
    point = Dots(np.array([[0.0, 0], [30, 30], [40, 40]]), np.ones(2), np.array([0, 0]))
    one, two = Stain(point, empty), Stain(replace(point, things=np.array([0, 1])), empty)
    assert np.array_equal(one.volume(motion, 0), splat(point.places, point.weights, empty.shape))
    assert not np.array_equal(one.volume(motion, 7), one.volume(motion, 0))
    assert one.volume(motion, 7).sum() == pytest.approx(2, rel=1e-3)
    single = Stain(replace(point, weights=np.array([2.0, 0])), empty)
    assert one.volume(motion, 7) == pytest.approx(single.volume(motion, 7), abs=1e-5)
    assert np.abs(two.volume(motion, 7) - single.volume(motion, 7)).max() > 0.05


def test_things_that_are_joined_stay_things_of_their_own() -> None:
    dots = Dots(np.zeros((3, 3)), np.ones(3), np.array([0, 0, 1]))
    assert joined(dots, dots).things.tolist() == [0, 0, 1, 2, 2, 3]


def test_the_body_moves_with_the_dots(rng: np.random.Generator) -> None:
    rows, columns = np.indices((96, 96))
    blob = np.exp(-((rows - 48.0) ** 2 + (columns - 48.0) ** 2) / 18)[None].astype(np.float32)
    dots = Dots(np.array([[0.0], [48], [48]]), np.ones(1), np.array([0]))
    motion = Motion.random(rng, 2)
    volumes = [
        Stain(dots, 0 * blob).volume(motion, 9),
        Stain(replace(dots, weights=np.zeros(1)), blob).volume(motion, 9),
    ]
    centres = [
        [(v[0] * index).sum() / v.sum() for index in (rows, columns)] for v in volumes
    ]  # fmt: skip
    assert np.hypot(*np.subtract(centres[0], 48)) > 1.5
    assert centres[0] == pytest.approx(centres[1], abs=1.5)  # but for the wobble of the dot


def test_light_of_some_planes_is_that_of_all_cut(rng: np.random.Generator) -> None:
    optics, stain = microscope(rng), rng.random((9, 40, 44), np.float32)
    for depth in (np.zeros((1, 1, 1), np.float32), rng.uniform(0, 2, stain.shape).astype(np.float32)):
        whole = optics.image(stain, depth)
        assert np.array_equal(optics.image(stain, depth, slice(3, 5)), whole[3:5])


def test_the_microscope_keeps_the_light_and_varies() -> None:
    several = [microscope(np.random.default_rng(seed)) for seed in range(20)]
    assert all(o.core[0] + o.skirt[0] + o.haze[0] == pytest.approx(1) for o in several)
    assert all(min(o.core[0], o.skirt[0], o.haze[0]) > 0 for o in several)
    assert np.ptp([o.core[2] for o in several]) > 0.5
    assert max(o.background for o in several) > 5 * min(o.background for o in several)


def test_cells_are_thinner_at_their_edge_and_nothing_is_outside(rng: np.random.Generator) -> None:
    layer = Layer.random(rng, (9, 160, 200), replace(ROUND, fill=0.7))
    cells, body = layer.culture, layer.body(layer.cytoplasm(rng, 0.2))
    deep, shallow = cells.edge > 12, (cells.edge > 0) & (cells.edge < 2)
    assert layer.height[deep].mean() > 1.1 * layer.height[shallow].mean()
    assert np.all(body[:, cells.owner < 0] == 0)
    nucleus, beside = (deep & place for place in (cells.nucleus < 0.8, cells.nucleus > 1.2))
    assert body.sum(0)[nucleus].mean() < 0.6 * body.sum(0)[beside].mean()


def lineness(image: NDArray[np.float32]) -> float:
    """0 for round structures to 1 for lines, from the curvatures of bright places."""
    smooth = gaussian_filter(image, 1.5)
    down, right = np.gradient(smooth)
    (dd, dr), (_, rr) = np.gradient(down), np.gradient(right)
    root = np.hypot((dd - rr) / 2, dr)
    least, other = (dd + rr) / 2 - root, (dd + rr) / 2 + root
    ridge = least < np.percentile(least, 3)
    return float(1 - np.median(np.abs(other[ridge] / least[ridge])))


def test_filaments_and_outlines_are_lines_and_vesicles_are_round() -> None:
    lines = {
        name: np.mean([lineness(simulate(name, (1, 1, 128, 128), seed)[0, 0]) for seed in range(6)])
        for name in ("filaments", "outlines", "vesicles")
    }
    assert min(lines["filaments"], lines["outlines"]) > lines["vesicles"] + 0.2
