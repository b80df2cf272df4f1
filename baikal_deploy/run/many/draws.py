"""One image as input; with --draws several outputs of a sampler that draws at random, one for each seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from baikal_deploy.diffusion.samplers import sampler_class
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.errors import ConfigError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.naming import renamed
from baikal_deploy.volumes.urls import Source


@dataclass(frozen=True)
class OneImage:
    """One image.

    Attributes:
        path: of the image.
        draws: how many outputs to make of it; None: one, with its own name.
    """

    path: Source
    draws: int | None

    @property
    def others(self) -> tuple[Path, ...]:
        """No other files: there is one image."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """No remarks: one image tells itself what there is to know of it."""
        return ()

    @contextmanager
    def runs(self, config: RunConfig, *, dry_run: bool) -> Iterator[list[RunConfig]]:
        """Yield one run, or one for each draw.

        Args:
            config: the options of the run.
            dry_run: nothing will be written.

        Raises:
            ConfigError: see ``draws_of``.
        """
        yield [config] if self.draws is None else draws_of(config, self.draws)

    def finish(self, config: RunConfig) -> None:
        """Nothing is to be marked: an image marks itself.

        Args:
            config: the options of the run.
        """


def draws_of(config: RunConfig, draws: int) -> list[RunConfig]:
    """Runs for the draws, with the next seed each, to NAME_draw1 and so on.

    Args:
        config: the options that they share.
        draws: how many.

    Raises:
        ConfigError: a number below 1, a sampler that draws nothing, maps, which are of one output, or a URL.
    """
    if draws < 1:
        raise ConfigError(f"--draws {draws}: must be at least 1")
    if not issubclass(sampler_class(config.sampler), WalkSampler):
        raise ConfigError(f"--draws {draws}: sampler {config.sampler} draws nothing; add --sampler posterior")
    if config.upload is not None:
        raise ConfigError(f"--draws {draws}: are written to local files; {config.upload} is a URL")
    for name in ("uncertainty", "mask"):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"--draws {draws}: --{name} is of one output; leave it out (-o runs={max(draws, 2)} with "
                "--uncertainty writes mean and spread of as many draws)"
            )
    return [_draw(config, number) for number in range(draws)]


def _draw(config: RunConfig, number: int) -> RunConfig:
    ending, seed = f"_draw{number + 1}", config.seed + number
    if config.output is None:
        return replace(config, seed=seed, ending=ending)
    return replace(config, seed=seed, output=renamed(config.output, ending))
