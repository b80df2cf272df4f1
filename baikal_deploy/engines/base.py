"""What every engine offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import EngineError
from baikal_deploy.manifest import ModelManifest

Planes = NDArray[np.float32]
"""(N, 1, H, W) on the network's scale."""


class Engine(ABC):
    """A network, ready to be evaluated. Close it, or use it as a context manager.

    Attributes:
        manifest: of the model it serves.
    """

    manifest: ModelManifest

    @classmethod
    @abstractmethod
    def open(cls, path: Path, manifest: ModelManifest, threads: int | None) -> Self:
        """Load a model.

        Args:
            path: the .onnx file.
            threads: CPU threads of one evaluation; None: as many as there are cores.

        Raises:
            EngineUnavailable: the back end is not installed or cannot run here; never a fallback.
            ModelError: the back end cannot load this file.
        """

    def predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        """One network evaluation.

        Args:
            x_t: float32 (N, 1, H, W); H and W multiples of ``manifest.downsampling``.
            t: original timestep, the same for all planes.

        Returns:
            (eps, v), each (N, 1, H, W); v is None unless the model has learned-range variance.

        Raises:
            EngineError: a shape or dtype that the network does not take, or a failing back end.
        """
        factor = self.manifest.downsampling
        fits = x_t.ndim == 4 and x_t.shape[1] == 1 and not (x_t.shape[2] % factor or x_t.shape[3] % factor)
        if not fits or x_t.dtype != np.float32 or 0 in x_t.shape:
            raise EngineError(
                f"model {self.manifest.name}: cannot take {x_t.dtype} planes of shape {x_t.shape}; needed "
                f"are float32 (N, 1, H, W) with H and W multiples of {factor}"
            )
        return self._predict(x_t, t)

    @abstractmethod
    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        """``predict`` for input that has been checked."""

    def close(self) -> None:  # noqa: B027  # most engines hold nothing that needs closing
        """Free what the engine holds; it cannot be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
