"""A small network that tells kinds of structure by the features of denoised windows.

It is data: two layers of numbers in ``classifier.json``, fitted to clean images of many microscopes with
noise added and taken off again (docs/decisions/0011-what-a-model-knows.md says how, and how well it works).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ModelError
from baikal_deploy.measurement.structure.features import Vector

FILE = Path(__file__).with_name("classifier.json")
CLAMP = 4.0
"""Standard deviations beyond which a feature counts for no more."""


@dataclass(frozen=True)
class Classifier:
    """Probabilities of structures from features, and the place of features among those of many images.

    Attributes:
        names: of the structures.
        mean, std: of each feature.
        hidden, hidden_bias: (features, units) and (units,).
        output, output_bias: (units, structures) and (structures,).
        axes: (features, dimensions), the directions in which images differ most, each scaled such that
            those that it was fitted to have standard deviation 1.
    """

    names: tuple[str, ...]
    mean: Vector
    std: Vector
    hidden: NDArray[np.float64]
    hidden_bias: Vector
    output: NDArray[np.float64]
    output_bias: Vector
    axes: NDArray[np.float64]

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The classifier in a JSON object.

        Raises:
            ValueError: it is not one.
            KeyError: something is missing.
        """
        names = tuple(map(str, record["names"]))
        arrays = {
            name: np.array(record[name], np.float64)
            for name in ("mean", "std", "hidden", "hidden_bias", "output", "output_bias", "axes")
        }
        features, units = arrays["hidden"].shape
        shapes = {
            "mean": (features,), "std": (features,), "hidden_bias": (units,),
            "output": (units, len(names)), "output_bias": (len(names),),
            "axes": (features, arrays["axes"].shape[-1]),
        }  # fmt: skip
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {arrays[name].shape}, not {shape}")
        if not all(np.isfinite(array).all() for array in arrays.values()) or not (arrays["std"] > 0).all():
            raise ValueError("numbers that are not finite, or standard deviations that are not positive")
        return cls(names, **arrays)

    def log_odds(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the structures' odds, but for a constant: (N, features) -> (N, structures)."""
        hidden = np.tanh(self._scaled(vectors) @ self.hidden + self.hidden_bias)
        odds: NDArray[np.float64] = hidden @ self.output + self.output_bias
        return odds

    def places(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places among the images it was fitted to: (N, features) -> (N, dimensions)."""
        places: NDArray[np.float64] = self._scaled(vectors) @ self.axes
        return places

    def _scaled(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = np.clip((vectors - self.mean) / self.std, -CLAMP, CLAMP)
        return scaled


@cache
def classifier() -> Classifier:
    """The classifier that comes with the package.

    Raises:
        ModelError: its file is missing or damaged.
    """
    try:
        return Classifier.from_record(json.loads(FILE.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"{FILE}: is missing or damaged; install baikal-deploy again ({error})") from error


def structure_names() -> tuple[str, ...]:
    """Names of the kinds of structure that are told apart."""
    return classifier().names
