"""Published settings: network evaluations of the paper's, and the jumps of RePaint."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.samplers.base import Resolved
from baikal_deploy.diffusion.schedule import NoiseSchedule, ScheduleSpec, parse_respacing
from baikal_deploy.pixels.arrays import Planes

FULL = ScheduleSpec("linear", 1000).build()
Y = np.zeros((1, 1, 2, 2), dtype=np.float32)
DOWN, UP = "down", "up"
Move = tuple[str, int]


def built(name: str, options: dict[str, Any]) -> tuple[Resolved, NoiseSchedule]:
    sampler = make_sampler(name, options, {}).resolved(500.0, 1000, "fixed_small")
    return sampler, sampler.respace(FULL)


def moves(sampler: Resolved, schedule: NoiseSchedule) -> list[Move]:
    """The walk as ("down", index) for a reverse step and ("up", visit) for a renoise step: each visit
    draws once, but for a step at index 0, and only a reverse step asks the network first."""
    made: list[Move] = []
    asked = False

    def predict(x: Planes, t: float) -> tuple[Planes, None]:
        nonlocal asked
        index = int(np.searchsorted(schedule.timesteps, t))
        made.append((DOWN, index))
        asked = index > 0
        return np.zeros_like(x), None

    def noise(visit: int, draw: int) -> Planes:
        nonlocal asked
        if draw == 0 and visit > 0 and not asked:
            made.append((UP, visit))
        asked = False
        return np.zeros_like(Y)

    sampler.sample(predict, Y, schedule, noise)
    return made


PAPER: dict[str, tuple[int, dict[str, Any]]] = {
    "hagen": (560, {"start": 120, "stop": 10, "interval": 5, "repeats": 5, "final_repeats": 1}),
    "w2s-0": (300, {"start": 100, "stop": 20, "interval": 5, "repeats": 3}),
    "w2s-1": (300, {"start": 100, "stop": 20, "interval": 2, "repeats": 3}),
    "w2s-2": (450, {"start": 90, "stop": 20, "interval": 2, "repeats": 5}),
    "planaria": (420, {"preset": "paper"}),
}


@pytest.mark.parametrize("name", PAPER)
def test_network_evaluations_of_the_paper(name: str) -> None:
    count, options = PAPER[name]
    sampler, schedule = built(
        "repaint", {"steps": "1000", "renoise": False, "w_start": 0.0, "w_end": 0.0} | options
    )
    assert sampler.nfe(schedule) == count
    made = moves(sampler, schedule)
    assert [move for move, _ in made].count(DOWN) == count
    assert not any(move == UP for move, _ in made)


@pytest.mark.parametrize(("name", "count"), [("forward-backward", 100), ("mixing", 100)])
def test_network_evaluations_of_the_presets(name: str, count: int) -> None:
    sampler, schedule = built(name, {"preset": "paper"})
    assert sampler.nfe(schedule) == count
    assert len([move for move, _ in moves(sampler, schedule) if move == DOWN]) == count


def jump_list(total: int, length: int, samples: int) -> list[int]:
    """Levels that the published RePaint visits, −1 being the clean image (Lugmayr et al. 2022, with
    jumps at range(0, t_T − jump_length, jump_length), each jump_n_sample − 1 times)."""
    left = dict.fromkeys(range(0, total - length, length), samples - 1)
    levels, t = [], total
    while t > 0:
        t -= 1
        levels.append(t)
        if left.get(t, 0) > 0:
            left[t] -= 1
            for _ in range(length):
                t += 1
                levels.append(t)
    return [*levels, -1]


def transitions(levels: list[int]) -> list[Move]:
    """A step down from level t evaluates the network at index t; a step up to level t uses β of index t."""
    return [(DOWN, a) if b < a else (UP, b) for a, b in pairwise(levels)]


def test_published_repaint_counts() -> None:
    steps = transitions(jump_list(250, 10, 10))
    assert len(steps) == 4570
    assert len([move for move, _ in steps if move == DOWN]) == 2410


def test_published_repaint_is_ours_from_index_241() -> None:
    """The published list walks its first 9 steps, 249 … 241, once, and only then runs blocks of 10 ten
    times each; our blocks repeat from the start. So it is ours from index 241 on, move for move, its
    last single step being our block below ``stop``; the 9 steps before have no counterpart."""
    published = transitions(jump_list(250, 10, 10))
    assert published[:9] == [(DOWN, index) for index in range(249, 240, -1)]
    full = FULL.respace(parse_respacing("250", 1000, start=1))
    start, stop = int(full.timesteps[241]), int(full.timesteps[1])
    blocks = {
        "interval": 10,
        "repeats": 10,
        "final_repeats": 1,
        "renoise": True,
        "w_start": 0.0,
        "w_end": 0.0,
    }
    sampler, schedule = built("repaint", {"start": start, "stop": stop, "steps": "250"} | blocks)
    made = moves(sampler, schedule)
    assert sampler.nfe(schedule) == 2410 - 9
    assert len(made) == 4570 - 9
    assert [move for move, _ in made] == [move for move, _ in published[9:]]
    assert [index for move, index in made if move == DOWN] == [i for move, i in published[9:] if move == DOWN]


@pytest.mark.parametrize(("steps", "evaluations", "ups"), [("walk250", 2500, 2250), ("walk241", 2410, 2169)])
def test_our_blocks_repeat_from_the_start(steps: str, evaluations: int, ups: int) -> None:
    """What our blocks cost by themselves: with R repeats throughout, each index below start is walked R
    times and gone up R − 1 times; 250 steps then take 2,500 evaluations, not the published 2,410."""
    options = {"start": 999, "stop": 0, "steps": steps, "interval": 10, "repeats": 10, "renoise": True}
    sampler, schedule = built("repaint", options | {"w_start": 0.0, "w_end": 0.0})
    made = [move for move, _ in moves(sampler, schedule)]
    assert (made.count(DOWN), made.count(UP)) == (evaluations, ups)
    assert sampler.nfe(schedule) == evaluations
