"""Every error that this package raises on purpose.

::

    BaikalError
    ├── ConfigError            an option, or a combination of options, that makes no sense
    ├── ModelError             a model file that is missing, damaged, or not ours
    ├── EngineError            a back end that cannot do what was asked
    │   ├── EngineUnavailable    a back end that is not installed or cannot run here
    │   ├── EngineBuildError     an engine file that cannot be built from a model
    │   └── ShapeOutsideProfile  planes larger or smaller than an engine file was built for
    ├── VolumeError            an input or output that cannot be read, written, or understood
    └── ClusterError           workers on other machines that cannot be reached, or that die

A message says what was wrong, where (file, array, plane), and what to do. The library raises;
only the command line formats a message and sets the exit code.
"""

from __future__ import annotations


class BaikalError(Exception):
    """Base of all errors raised on purpose by this package."""


class ConfigError(BaikalError, ValueError):
    """An option, or a combination of options, that makes no sense."""


class ModelError(BaikalError):
    """A model file that is missing, damaged, or not one of ours."""


class EngineError(BaikalError):
    """A back end that cannot do what was asked of it."""


class EngineUnavailable(EngineError):
    """A back end that is not installed, or cannot run on this machine.

    Attributes:
        reason: why.
        fix: what to do about it, if anything can be done.
    """

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(f"{reason}; {fix}" if fix else reason)
        self.reason, self.fix = reason, fix


class NotFinite(EngineError):
    """A network that returned NaN or infinite values."""


class EngineBuildError(EngineError):
    """An engine file that cannot be built from a model."""


class ShapeOutsideProfile(EngineError):
    """Planes larger or smaller than an engine file was built for."""


class VolumeError(BaikalError):
    """An input or output that cannot be read, written, or understood."""


class ClusterError(BaikalError):
    """Workers of a cluster that cannot be reached or used, or that die again and again."""
