"""What every sampler is, and what it is given to call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from baikal_deploy.diffusion.schedule import NoiseSchedule, Variance
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.pixels.arrays import Planes

Predict = Callable[[Planes, float], tuple[Planes, Planes | None]]
"""(x_t, original timestep) -> (eps, v or None): one network evaluation."""


@runtime_checkable
class Turnable(Protocol):
    """A ``Predict`` that must know when planes are turned, since it knows where they lie in larger ones."""

    def turned(self, symmetry: int) -> Predict:
        """The network for planes turned by one of the 8 symmetries of the square.

        Planes are flipped along x (bit 0) and along y (bit 1), then transposed (bit 2).

        Args:
            symmetry: 0 … 7.
        """


@runtime_checkable
class Continued(Protocol):
    """A ``Predict`` that keeps where walks are, so that one that was killed continues there."""

    def walked(self, run: int) -> tuple[int, Planes] | None:
        """Visit and x of a run of the sampler, as they were kept; None if nothing was.

        Args:
            run: number of the run.
        """

    def keep_walk(self, run: int, visit: int, x: Planes) -> None:
        """Take visit and x of a run, which ``walked`` may return after a kill.

        Args:
            run: number of the run.
            visit: FINISHED if x is x_0.
            x: (N, 1, H, W).
        """


FINISHED = -1
"""Number in place of a visit: the walk has ended."""

Noise = Callable[[int, int], Planes]
"""(visit, draw) -> standard normal planes of y's shape."""


@dataclass(frozen=True)
class Sampler(ABC):
    """The options of a sampler, some of which may be left to the noise of the planes and to the model.

    Attributes:
        noise: "uniform" takes one noise level for all of a channel; "signal" first makes noise that depends
            on the signal the same everywhere (see equaliser.py), and raises the level for correlated noise.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    TAKES_GUIDE: ClassVar[bool] = False
    """True if another denoiser's output may guide the sampler."""
    FEW_EVALUATIONS: ClassVar[bool] = False
    """True if it takes so few evaluations that what a precision loses in one of them holds for the result."""

    noise: Literal["uniform", "signal"] = "uniform"

    @property
    def draws(self) -> int:
        """Random draws whose mean the result is; 0 where nothing is random."""
        return 0

    @abstractmethod
    def resolved(
        self, t_star: float, num_timesteps: int, variance: Variance, spectrum: Spectrum | None = None
    ) -> Resolved:
        """The sampler with nothing left automatic.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.
            spectrum: of noise that the model does not know, on the network's scale; None: it is known, or
                white.

        Raises:
            ConfigError: options that the model does not allow.
        """


@dataclass(frozen=True)
class Resolved(ABC):
    """A sampler that is ready for planes of one noise level.

    Further fields are what ``request`` may leave automatic, under the names of its options.

    Attributes:
        request: the sampler as it was asked for.
    """

    request: Sampler

    @property
    def options(self) -> dict[str, Any]:
        """Options of the request, with nothing left automatic."""
        settled = vars(self)
        return {name: settled.get(name, value) for name, value in asdict(self.request).items()}

    @property
    def noise(self) -> Literal["uniform", "signal"]:
        """Kind of noise that is removed, as the request has it; see ``Sampler``."""
        return self.request.noise

    @property
    def halo(self) -> int:
        """Pixels around a region of a plane that must be denoised with it.

        They come to the rest of the network's windows there, and are as many as the steps of a walk carry
        errors (docs/guarantees.md).
        """
        return 0

    @abstractmethod
    def respace(self, schedule: NoiseSchedule) -> NoiseSchedule:
        """The schedule that the sampler walks along.

        Args:
            schedule: of the model.

        Raises:
            ConfigError: the respacing does not fit the other options.
        """

    @abstractmethod
    def nfe(self, schedule: NoiseSchedule) -> int:
        """Network evaluations per plane.

        Args:
            schedule: from ``respace``.
        """

    @abstractmethod
    def summary(self) -> str:
        """The sampler's work, in a few words."""

    @abstractmethod
    def sample(
        self, predict: Predict, y: Planes, schedule: NoiseSchedule, noise: Noise, guide: Planes | None = None
    ) -> Planes:
        """Denoise planes.

        Args:
            predict: the network.
            y: noisy planes (N, 1, H, W) on the network's scale.
            schedule: from ``respace``.
            noise: source of standard normal planes.
            guide: another denoiser's output for the same planes, such as N2V's, to guide the walk in place of
                y (the paper's "N2V" variants); for samplers that take one.

        Returns:
            x_0, (N, 1, H, W).

        Raises:
            EngineError: the network failed.
        """
