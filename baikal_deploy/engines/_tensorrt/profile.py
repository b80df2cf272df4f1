"""The range of shapes that an engine file serves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import ConfigError, ShapeOutsideProfile
from baikal_deploy.models.manifest import ModelManifest

Shape = tuple[int, int, int]
"""Shape (batch, height, width) of planes."""
EXAMPLE = "1x16x16,1x512x512,4x512x512"


@dataclass(frozen=True)
class Profile:
    """An optimisation profile: the shapes that an engine file can compute, and the one it is tuned for.

    Attributes:
        min, opt, max: (batch, height, width) of the smallest, the most frequent and the largest
            planes.
    """

    min: Shape
    opt: Shape
    max: Shape

    def __post_init__(self) -> None:
        if not all(1 <= a <= b <= c for a, b, c in zip(self.min, self.opt, self.max, strict=True)):
            raise ConfigError(
                f"profile {self}: batch, height and width must be at least 1 and must not fall from min to "
                "opt to max"
            )

    @classmethod
    def parse(cls, text: str) -> Profile:
        """The profile in a text such as ``str`` makes of one: min,opt,max, each BATCHxHEIGHTxWIDTH.

        Raises:
            ConfigError: anything else.
        """
        shapes = [re.fullmatch(r"(\d+)x(\d+)x(\d+)", part.strip()) for part in text.split(",")]
        if len(shapes) != 3 or not all(shapes):
            raise ConfigError(
                f"profile '{text}': needed are min,opt,max, each BATCHxHEIGHTxWIDTH, such as {EXAMPLE}"
            )
        low, best, high = ((int(s[1]), int(s[2]), int(s[3])) for s in shapes if s is not None)
        return cls(low, best, high)

    @classmethod
    def default(cls, options: EngineOptions, manifest: ModelManifest) -> Profile:
        """All shapes up to those of ``options``, tuned for these, which all but the smallest planes have."""
        factor = manifest.downsampling
        side = max(factor, options.side - options.side % factor)
        largest = (options.batch, side, side)
        return cls((1, factor, factor), largest, largest)

    def check(self, manifest: ModelManifest) -> None:
        """Raise ConfigError unless the model takes planes of the profile's heights and widths."""
        factor = manifest.downsampling
        for shape in (self.min, self.opt, self.max):
            if shape[1] % factor or shape[2] % factor:
                raise ConfigError(
                    f"profile {self}: model {manifest.name} needs heights and widths that are multiples of "
                    f"{factor}, not {shape[1]}x{shape[2]}"
                )

    def covers(self, shape: Shape) -> bool:
        """True if planes of this (batch, height, width) lie within the profile."""
        return all(a <= b <= c for a, b, c in zip(self.min, shape, self.max, strict=True))

    def check_shape(self, engine_name: str, shape: tuple[int, ...]) -> None:
        """Raise ShapeOutsideProfile unless planes of this shape (N, 1, H, W) lie within the profile."""
        batch, _, height, width = shape
        if not self.covers((batch, height, width)):
            raise ShapeOutsideProfile(
                f"engine {engine_name}: planes of shape {tuple(shape)} lie outside {self}, the smallest, the "
                "most frequent and the largest (batch, height, width) of the engine file; choose another "
                f"tile or batch, or open the engine for batch {batch} and side {max(height, width)}"
            )

    def __str__(self) -> str:
        return ",".join("x".join(map(str, shape)) for shape in (self.min, self.opt, self.max))
