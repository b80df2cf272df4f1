"""Where the images that a model learnt from lie among others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.structure.classifier import classifier
from baikal_deploy.measurement.structure.recognised import DIGITS

PRIOR, SPREAD = 10, 0.5
"""Images that the covariance of all images counts for in a density, and the standard deviation of these."""


@dataclass(frozen=True)
class Density:
    """Where the images that a model learnt from lie among others: a normal distribution.

    Attributes:
        mean: of their places (see ``Classifier.places``).
        whitening: rows of the matrix that makes their differences from the mean uncorrelated, of variance 1.
        limit: distance from the mean, so whitened, that all but a few of them have at most.
    """

    mean: tuple[float, ...]
    whitening: tuple[tuple[float, ...], ...]
    limit: float

    @classmethod
    def of(cls, places: NDArray[np.float64]) -> Self:
        """The density of places (N, dimensions), however few.

        Of few it is wide: the covariance is drawn towards that of all images, which is 1 (Ledoit & Wolf 2004
        have the idea).
        """
        count, dimensions = places.shape
        mean = places.mean(axis=0)
        own = (places - mean).T @ (places - mean) + PRIOR * SPREAD**2 * np.eye(dimensions)
        values, vectors = np.linalg.eigh(own / (count + PRIOR))
        whitening = vectors / np.sqrt(values)
        distances = np.linalg.norm((places - mean) @ whitening, axis=1)
        usual = math.sqrt(dimensions + 2 * math.sqrt(2 * dimensions))  # of a normal distribution, all but 2 %
        limit = max(usual, float(np.percentile(distances, 95)))
        rounded = np.round(mean, DIGITS), np.round(whitening, DIGITS)
        return cls(tuple(rounded[0].tolist()), tuple(map(tuple, rounded[1].tolist())), round(limit, DIGITS))

    def distance(self, place: tuple[float, ...]) -> float:
        """The distance of a place from the mean, over the limit."""
        difference = (np.array(place) - np.array(self.mean)) @ np.array(self.whitening)
        return float(np.linalg.norm(difference)) / self.limit

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What ``dataclasses.asdict`` made a record of.

        Raises:
            ValueError: it is not one of this version's places, or not of finite numbers.
            KeyError, TypeError: something is missing, or of another type.
        """
        mean, whitening = np.array(record["mean"], np.float64), np.array(record["whitening"], np.float64)
        limit = float(record["limit"])
        dimensions = classifier().axes.shape[1]
        if mean.shape != (dimensions,) or whitening.shape != (dimensions, dimensions):
            raise ValueError(f"density: is not one of {dimensions} dimensions; make it again")
        if not (np.isfinite(mean).all() and np.isfinite(whitening).all() and 0 < limit < np.inf):
            raise ValueError("density: holds numbers that are not finite, or no limit")
        return cls(tuple(mean.tolist()), tuple(map(tuple, whitening.tolist())), limit)
