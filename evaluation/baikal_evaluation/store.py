"""Predictions on disk that are not made again, found by what they were made from."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.host.moves import move
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Stack


@dataclass(frozen=True)
class Denoised:
    """A method's prediction for one image.

    Attributes:
        planes: (N, H, W) in raw units.
        nfe: network evaluations per plane.
        seconds: wall time per plane, when it was computed.
    """

    planes: Stack
    nfe: int
    seconds: float


@dataclass(frozen=True)
class Store:
    """A folder with a file of each prediction. Several processes may share it."""

    folder: Path

    def find(self, made_from: dict[str, Any]) -> Denoised | None:
        """Prediction that was made from this; None if there is none that can be read.

        Args:
            made_from: everything that decides the prediction, as JSON holds it.
        """
        try:
            # Opened here: NumPy leaves a damaged file open.
            with self._path(made_from).open("rb") as file, np.load(file) as arrays:
                return Denoised(arrays["planes"], int(arrays["nfe"]), float(arrays["seconds"]))
        except Exception:  # a missing file, or whatever NumPy and zlib raise for a damaged one
            return None

    def keep(self, made_from: dict[str, Any], denoised: Denoised) -> None:
        """Keep a prediction.

        Args:
            made_from: everything that decides it, as JSON holds it.
            denoised: the prediction.

        Raises:
            EvaluationError: the folder cannot be written to.
        """
        path = self._path(made_from)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Another process may be making the same prediction: each has a file of its own.
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".partial", delete=False) as file:
                np.savez(file, planes=denoised.planes, nfe=denoised.nfe, seconds=denoised.seconds)
            move(Path(file.name), path)
        except OSError as error:
            raise EvaluationError(
                f"{path}: cannot be written ({error.strerror or error}); free space, or choose another output"
            ) from error

    def _path(self, made_from: dict[str, Any]) -> Path:
        text = json.dumps(made_from, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
