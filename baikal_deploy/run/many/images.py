"""Several images, one after the other, and their results."""

from __future__ import annotations

from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.many.draws import OneImage
from baikal_deploy.run.many.folder import Folder
from baikal_deploy.run.many.listener import Listener, Summary
from baikal_deploy.run.many.plate import Collection
from baikal_deploy.run.many.runner import After, Runner
from baikal_deploy.run.workers import SharedOut
from baikal_deploy.volumes.places import real_path
from baikal_deploy.volumes.urls import inside


class Images:
    """All images at an input: of a folder, of a plate or a store of several, or one alone, once or in draws.

    >>> summary = Images(RunConfig(Path("raw"), Path("denoised"))).execute()
    >>> summary.done, summary.failed
    (12, {})

    Attributes:
        config: what was asked for, the same for all images; its output is where all go.
        found: what is there.
    """

    def __init__(self, config: RunConfig, draws: int | None = None) -> None:
        """Look what is there.

        Args:
            config: the options of all runs.
            draws: outputs to make of one image, NAME_draw1 and so on, each with the next seed, with a sampler
                that draws at random; None: one, NAME.

        Raises:
            ConfigError: draws of several images.
            VolumeError: the input cannot be looked through.
        """
        self.config = config
        self.found = _find(config, draws)

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
                    name = inside(config.input, self.found.path)
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
            summary.outputs += [] if runner.dry_run else [config.target]
            summary.parts |= dict.fromkeys(ran.files - {real}, config.input)


def _find(config: RunConfig, draws: int | None) -> Folder | Collection | OneImage:
    found = Folder.at(config.input) or (Collection.at(config.input) if config.series is None else None)
    if found is None:
        return OneImage(config.input, draws)
    if draws is not None:
        raise ConfigError(f"--draws {draws}: is for one image, not for several; leave it out")
    return found


def _check_options(config: RunConfig) -> None:
    for name in ("guide", "uncertainty", "mask"):
        if (path := getattr(config, name)) is not None:
            raise ConfigError(f"--{name} {path}: is for one image, not for several; leave it out")
