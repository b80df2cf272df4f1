"""A sampler's walks as a table of instructions, recorded from the sampler itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.diffusion.samplers._moves import Stretch, Walk
from baikal_deploy.diffusion.samplers._walk import ResolvedWalk, WalkSampler
from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

Draw = tuple[int, int]
"""Address (visit, draw) of one noise plane of a walk."""

MOST_EVALUATIONS = 150_000
"""Most evaluations of all walks together: with what goes with them, they make a table of up to 20 MB."""

_X, _Y, _X0, _NOISE = cast("list[Planes]", [*np.eye(4)])
"""Unit vectors in the place of planes, in float64 so that the coefficients are rounded once."""


class Instruction(NamedTuple):
    """A move of a walk: x ← of_x·x + of_z·z + of_noise·noise[plane], then mean ← mean + share·x.

    Attributes:
        plane: of the noise input.
        evaluates: 1 for a reverse step, where z is x̂0 = clip(x0_of_x·x + x0_of_eps·eps) with eps, v from
            the network at ``timestep``; 0 for any other move, where z is y.
        growth: of_noise is multiplied by exp(growth·v) (learned-range variance).
        share: of the result in the mean over the runs; 0 within a run.
    """

    of_x: float
    of_z: float
    of_noise: float
    plane: int
    evaluates: bool = False
    timestep: float = 0
    x0_of_x: float = 0
    x0_of_eps: float = 0
    growth: float = 0
    share: float = 0


@dataclass(frozen=True)
class Program:
    """The walks of a sampler for every noise level.

    Attributes:
        table: (rows, columns) float32, one ``Instruction`` a row, walk after walk.
        first, count: (walks,) int64: first row of each walk, and how many it has.
        walk_of: (T,) int64: the walk of each whole t*; the number of walks where the sampler cannot
            start at that noise level.
        draws: the draw that each plane of the noise input stands for.
    """

    table: NDArray[np.float32]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    walk_of: NDArray[np.int64]
    draws: list[Draw]

    @property
    def follows_noise(self) -> bool:
        """True if anything depends on the noise level."""
        return len(np.unique(self.walk_of)) > 1

    @property
    def evaluations(self) -> NDArray[np.int64]:
        """Network evaluations per plane of each walk: (walks,)."""
        evaluates = self.table[:, Instruction._fields.index("evaluates")]
        return np.add.reduceat(evaluates, self.first).astype(np.int64)

    @property
    def levels(self) -> NDArray[np.int64]:
        """The whole t* that the sampler can start at, increasing."""
        return np.flatnonzero(self.walk_of < len(self.first))


def compile_program(sampler: WalkSampler, manifest: ModelManifest) -> Program:
    """The walks of a sampler at every whole t* of a model.

    Raises:
        ConfigError: options that fit no noise level of the model, or walks too long to hold them all.
    """
    resolved, schedules = _settled(sampler, manifest)
    evaluations = sum(one.nfe(schedule) for one, schedule in schedules.items())
    if evaluations > MOST_EVALUATIONS:
        raise ConfigError(
            "a fused sampler holds its walks from every noise level: with these options they make "
            f"{evaluations} evaluations, more than {MOST_EVALUATIONS}; give start and stop, or fewer steps"
        )
    learned, draws = manifest.variance == "learned_range", dict[Draw, int]()
    first, rows = list[int](), list[Instruction]()
    for one, schedule in schedules.items():
        first.append(len(rows))
        rows += _recorded(one, schedule, learned, draws)
    number = {one: walk for walk, one in enumerate(schedules)}
    return Program(
        table=np.array(rows, dtype=np.float32),
        first=np.array(first),
        count=np.diff([*first, len(rows)]),
        walk_of=np.array([len(number) if one is None else number[one] for one in resolved]),
        draws=list(draws),
    )


def _settled(
    sampler: WalkSampler, manifest: ModelManifest
) -> tuple[list[ResolvedWalk | None], dict[ResolvedWalk, NoiseSchedule]]:
    """The sampler at every whole t*, None where it cannot start there; and the schedule that each walks."""
    full, refusal = manifest.schedule.build(), None
    resolved, schedules = list[ResolvedWalk | None](), dict[ResolvedWalk, NoiseSchedule]()
    for t_star in range(len(full)):
        try:
            one = sampler.resolved(float(t_star), len(full), manifest.variance)
            if one not in schedules:
                schedules[one] = one.respace(full)
            resolved.append(one)
        except ConfigError as error:
            resolved.append(None)
            refusal = error
    if refusal is not None and not schedules:
        raise refusal
    return resolved, schedules


def _recorded(
    sampler: ResolvedWalk, schedule: NoiseSchedule, learned: bool, draws: dict[Draw, int]
) -> Iterator[Instruction]:
    """All runs of a sampler; their shares in the mean make 1."""
    runs = sampler.request.runs
    for run in range(runs):
        recorder = Recorder(sampler.stretch(schedule), run, learned, draws)
        sampler.request.walk(recorder)
        yield from recorder.instructions[:-1]
        yield recorder.instructions[-1]._replace(share=1 / runs)


class Recorder(Walk):
    """A walk that notes its moves and computes nothing.

    The moves are those of ``Walk``, run on unit vectors: what comes out are a move's coefficients,
    so that no formula is written twice. After each move the state is the unit vector x again.

    Attributes:
        instructions: the moves so far.
    """

    def __init__(self, stretch: Stretch, run: int, learned: bool, draws: dict[Draw, int]) -> None:
        """
        Args:
            learned: whether the network returns v.
            draws: planes of the noise input by what they stand for; new ones are added.
        """
        super().__init__(stretch, self._evaluate, _Y, _Y, self._take, run)
        self.instructions: list[Instruction] = []
        self._learned, self._draws = learned, draws
        self._taken = list[int]()
        self._x0 = _X0

    def diffuse(self, image: Planes) -> Planes:
        return self._note(super().diffuse(image))

    def take(self, image: Planes) -> Planes:
        return self._note(super().take(image))

    def mix(self, x: Planes, index: int, weight: float) -> Planes:
        mixed = super().mix(x, index, weight)
        return x if mixed is x else self._note(mixed)

    def renoise(self, x: Planes, index: int) -> Planes:
        return self._note(super().renoise(x, index))

    def reverse(self, x: Planes, index: int) -> Planes:
        self._x0 = self.schedule.predict_x0(_X, index, _X0)  # eps in the place of x̂0
        moved = super().reverse(x, index)
        return self._note(
            moved,
            evaluates=True,
            timestep=float(self.schedule.timesteps[index]),
            x0_of_x=self._x0[0],
            x0_of_eps=self._x0[2],
            growth=self._growth(index),
        )

    def _growth(self, index: int) -> float:
        """Rate at which the logarithm of a reverse step's noise grows with v; it is linear."""
        if self._variance != "learned_range":
            return 0.0
        stds = np.asarray(self.schedule.reverse_std(index, "learned_range", _Y))  # v = 0 and v = 1
        return float(np.log(stds[1] / stds[0]))

    def _evaluate(self, x: Planes, t: float) -> tuple[Planes, Planes | None]:
        """The eps that makes x̂0 the unit vector x0, and v = 0."""
        return (_X0 - self._x0[0] * x) / self._x0[2], 0 * x if self._learned else None

    def _take(self, visit: int, draw: int) -> Planes:
        self._taken.append(self._draws.setdefault((visit, draw), len(self._draws)))
        return _NOISE

    def _note(self, moved: Planes, **network: Any) -> Planes:
        assert len(self._taken) <= 1, "an instruction has room for one noise plane"
        plane = self._taken.pop() if self._taken else 0
        of_x, of_y, of_x0, of_noise = moved
        self.instructions.append(Instruction(of_x, of_y + of_x0, of_noise, plane, **network))
        return _X
