"""The contract that every engine keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import ClassVar, Self

from baikal_deploy._version import __version__
from baikal_deploy.errors import EngineError
from baikal_deploy.host import machine
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.pixels.arrays import Planes, array_namespace


@dataclass(frozen=True)
class EngineOptions:
    """Options that an engine is opened with.

    Attributes:
        threads: CPU threads of one evaluation; None: as many as there are cores for this process.
        precision: what the network computes in.
        batch, side: most planes, and largest height and width, of one evaluation. Engines that
            are built for a range of shapes need them; the others take any.
    """

    threads: int | None = None
    precision: Precision = "fp32"
    batch: int = 1
    side: int = 512

    @property
    def cores(self) -> int:
        """CPU threads of one evaluation: ``threads``, or the cores that this process may use.

        On a shared machine these are fewer than there are.
        """
        return machine.usable_cores() if self.threads is None else self.threads


class Engine(ABC):
    """A network, ready to be evaluated. Close it, or use it as a context manager.

    Threads may share an engine, but not its last call and ``close``.

    Attributes:
        name: of the engine, that of its file.
        COMPUTES: the precisions that a model of each precision can be computed in.
        manifest: of the model it serves.
        precision: what it computes in.
        device: what it computes on, for people.
        most_pixels: of the largest evaluation so far, after which it holds the memory that such ones take.
    """

    name: ClassVar[str]
    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {"fp32": ("fp32",)}
    manifest: ModelManifest
    precision: Precision = "fp32"
    device: str = "CPU"
    most_pixels: int = 0

    def __init_subclass__(cls) -> None:
        cls.name = cls.__module__.rpartition(".")[2].replace("_", "-")

    @classmethod  # noqa: B027  # some run everywhere
    def check(cls, precision: Precision = "fp32") -> None:
        """Find out, without a model and quickly, whether the back end can run here.

        Raises:
            EngineUnavailable: it cannot; with the reason, and what to do.
        """

    @classmethod
    def caution(cls, precision: Precision) -> str:
        """A warning about a precision that works here, for people; mostly empty."""
        return ""

    @classmethod
    def version(cls) -> str:
        """Name and version of the back end, such as "onnxruntime 1.32.0"; needs ``check`` to pass."""
        return f"baikal-deploy {__version__}"

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        """Load a model whose precision fits ``options`` (see ``open_engine``, which checks that).

        Args:
            path: the .onnx file.
            manifest: of the model in it.
            options: precision, threads, and the largest planes to come.

        Raises:
            EngineUnavailable: the back end cannot run here; never a fallback.
            ModelError: the back end cannot load this file.
        """
        raise NotImplementedError(f"{cls.__name__} is made around something that is open already")

    def upload(self, planes: Planes) -> Planes:
        """NumPy planes as the array on the engine's device that ``predict`` takes."""
        return planes

    def download(self, planes: Planes) -> Planes:
        """Planes on the engine's device as a NumPy array."""
        return planes

    def free_bytes(self) -> int | None:
        """Bytes that planes may still take on the engine's device; None where that is the host itself."""
        return None

    def predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        """One network evaluation.

        Args:
            x_t: float32 (N, 1, H, W), on the engine's device; H and W multiples of
                ``manifest.downsampling``.
            t: original timestep, the same for all planes.

        Returns:
            (eps, v), each (N, 1, H, W) on the engine's device; v is None unless the model has
            learned-range variance.

        Raises:
            EngineError: a shape or dtype that the network does not take, or a failing back end.
        """
        factor = self.manifest.downsampling
        fits = x_t.ndim == 4 and x_t.shape[1] == 1 and not (x_t.shape[2] % factor or x_t.shape[3] % factor)
        if not fits or x_t.dtype != array_namespace(x_t).float32 or 0 in x_t.shape:
            raise EngineError(
                f"model {self.manifest.name}: cannot take {x_t.dtype} planes of shape {tuple(x_t.shape)}; "
                f"needed are float32 (N, 1, H, W) with H and W multiples of {factor}"
            )
        outputs = self._predict(x_t, t)
        self.most_pixels = max(self.most_pixels, prod(x_t.shape))
        return outputs

    @abstractmethod
    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        """``predict`` for input that has been checked."""

    def close(self) -> None:  # noqa: B027  # most engines hold nothing that needs closing
        """Free what the engine holds; it cannot be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
