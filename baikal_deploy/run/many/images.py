"""Several images, one after the other, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.many.draws import OneImage
from baikal_deploy.run.many.folder import Folder
from baikal_deploy.run.many.gathered import expand, gather
from baikal_deploy.run.many.listener import Listener, Summary
from baikal_deploy.run.many.plate import Collection
from baikal_deploy.run.many.runner import After, Runner
from baikal_deploy.run.workers import SharedOut
from baikal_deploy.volumes.places import real_path
from baikal_deploy.volumes.urls import Source, inside


class Images:
    """All images at an input: of a folder, of a plate or a store of several, or one alone, once or in draws.

    Or those of several inputs, and of folders in folders.

    >>> summary = Images(RunConfig(Path("raw"), Path("denoised"))).execute()
    >>> summary.done, summary.failed
    (12, {})

    Attributes:
        config: what was asked for, the same for all images; its output is where all go.
        draws: outputs to make of one image; None: one.
        found: what is there.
    """

    def __init__(
        self,
        config: RunConfig,
        draws: int | None = None,
        *,
        more: Sequence[Source] = (),
        recursive: bool = False,
    ) -> None:
        """Look what is there.

        Args:
            config: the options of all runs; its input may be a pattern, such as "raw/*.tif".
            draws: outputs to make of one image, NAME_draw1 and so on, each with the next seed, with a sampler
                that draws at random; None: one, NAME.
            more: further inputs, all of which go to one folder.
            recursive: look into the folders in a folder, too; the outputs get the same folders.

        Raises:
            ConfigError: draws of several images.
            VolumeError: an input is not there, or cannot be looked through.
        """
        first, *others = expand([config.input, *more])
        self.config, self.draws = replace(config, input=first), draws
        if others or recursive:
            _refuse_draws(draws)
            found = gather([first, *others], config.output, recursive=recursive)
            self.found: Folder | Collection | OneImage = found
        else:
            self.found = _find(self.config, draws)

    @property
    def several(self) -> bool:
        """True if there are several images, of which a bad one does not hold up the others."""
        return not isinstance(self.found, OneImage)

    def execute(
        self,
        listener: Listener | None = None,
        workers: SharedOut | None = None,
        *,
        after: After | None = None,
        dry_run: bool = False,
    ) -> Summary:
        """Denoise one after the other; what an earlier run of the same kind has finished is not done again.

        Args:
            listener: is told how it goes.
            workers: who does it, a ``Cluster``; None: this process.
            after: called with each ``Run`` and its ``RunReport`` when its outputs are complete; a BaikalError
                that it raises is one of that image. None: nothing.
            dry_run: plan all, and write nothing.

        Returns:
            Summary of the images. One of several that could not be denoised is in ``failed``.

        Raises:
            ConfigError: options that no image could be denoised with.
            ModelError: a model that no image could be denoised with.
            EngineUnavailable: an engine that no image could be denoised with.
            VolumeError: the output cannot be used.
            BaikalError: there is one image, and it could not be denoised.
        """
        runner = Runner(listener or Listener(), workers, after, dry_run)
        summary = Summary(self.found.path, self.found.others, self.found.notes, dry_run)
        if self.several:
            _check_options(self.config)
        with self.found.runs(self.config, dry_run=dry_run) as runs:
            for number, config in enumerate(runs, 1):
                if self.several:
                    name = _name(config.input, self.found.path)
                    runner.listener.image(number, len(runs), config.input, name)
                self._denoise(config, runner, summary)
        if self.several:
            if not dry_run and not summary.failed:
                self.found.finish(self.config)
            runner.listener.summary(summary)
        return summary

    def _denoise(self, config: RunConfig, runner: Runner, summary: Summary) -> None:
        real = real_path(config.input)
        if real in summary.parts:
            runner.listener.part(config.input, summary.parts[real])
            return
        try:
            ran = runner.denoise(config)
        except BaikalError as error:
            if not self.several or isinstance(error, ConfigError | ModelError | EngineUnavailable):
                raise
            runner.listener.failed(error)
            summary.failed[config.input] = str(error)
        else:
            summary.done += not ran.before
            summary.before += ran.before
            summary.outputs += [] if runner.dry_run else [ran.output]
            summary.parts |= dict.fromkeys(ran.files - {real}, config.input)


def _name(image: Source, root: Source) -> str:
    try:
        return inside(image, root)
    except ValueError:  # of several inputs that have nothing in common
        return str(image)


def _find(config: RunConfig, draws: int | None) -> Folder | Collection | OneImage:
    found = Folder.at(config.input) or (Collection.at(config.input) if config.series is None else None)
    if found is None:
        return OneImage(config.input, draws)
    _refuse_draws(draws)
    return found


def _refuse_draws(draws: int | None) -> None:
    if draws is not None:
        raise ConfigError(f"--draws {draws}: is for one image, not for several; leave it out")


def _check_options(config: RunConfig) -> None:
    options = {"guide": "guide", "uncertainty": "uncertainty", "mask": "mask", "results": "from"}
    for name, option in options.items():
        if (path := getattr(config, name)) is not None:
            raise ConfigError(f"--{option} {path}: is for one image, not for several; leave it out")
    if config.upload is not None:
        raise ConfigError(f"{config.upload}: is for one image, not for several; write them to a local folder")
