"""A folder of images as input: the images in it, and the places of the outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.create import is_image_name
from baikal_deploy.volumes.names import folded
from baikal_deploy.volumes.naming import default_output
from baikal_deploy.volumes.open import is_image
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.places import check_writable
from baikal_deploy.volumes.urls import Source, Url


@dataclass(frozen=True)
class Folder:
    """The images directly in a folder, by name.

    Attributes:
        path: the folder.
        images: what ``is_image`` takes for one.
        others: what is not an image that can be read; hidden files are not looked at.
    """

    path: Path
    images: tuple[Path, ...]
    others: tuple[Path, ...]

    @classmethod
    def at(cls, path: Source) -> Folder | None:
        """The images at a path; None if it is not a folder, is one image itself, or holds none.

        Args:
            path: of anything.

        Raises:
            VolumeError: the folder cannot be listed.
        """
        try:
            if isinstance(path, Url) or not path.is_dir() or is_image(path):
                return None
            entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise VolumeError(
                f"{path}: cannot be listed: {error.strerror or error}; check its permissions"
            ) from error
        images = tuple(entry for entry in entries if is_image(entry))
        return cls(path, images, tuple(e for e in entries if e not in images)) if images else None

    @property
    def notes(self) -> tuple[str, ...]:
        """No remarks: all there is to know is what was not looked at."""
        return ()

    @contextmanager
    def runs(self, config: RunConfig, *, dry_run: bool) -> Iterator[list[RunConfig]]:
        """Yield a run for each image, to NAME_denoised.ome.zarr in the output folder.

        The folder is made, and removed again if nothing was written into it.

        Args:
            config: the options that they share; its output is the folder.
            dry_run: nothing will be written.

        Raises:
            ConfigError: there is no output folder.
            VolumeError: it is the folder itself, is not a folder, or cannot be made; two images of one name.
        """
        if config.output is None:
            raise ConfigError(
                f"{self.path}: is a folder of {len(self.images)} images; give an output folder to "
                f"denoise them all, or choose one, such as {self.images[0]}"
            )
        target = config.output
        outputs: dict[Source, Path] = {
            image: target / default_output(image, config.series).name for image in self.images
        }
        for first, second in _pairs(outputs):
            raise VolumeError(
                f"{first} and {second.name} would both be written to {outputs[second]}; rename one of them"
            )
        existed = self._claim(target)
        try:
            yield [replace(config, input=image, output=output) for image, output in outputs.items()]
        finally:
            if not existed and not any(target.iterdir()):  # a dry run, or nothing could be denoised
                target.rmdir()

    def finish(self, config: RunConfig) -> None:
        """Nothing is to be marked: a folder has no mark.

        Args:
            config: the options of the runs.
        """

    def _claim(self, target: Path) -> bool:
        """Make the output folder; True if it was there before."""
        check_writable(target)
        existed = target.exists()
        if existed and target.samefile(self.path):
            raise VolumeError(f"{target}: is the folder of the inputs; choose another output folder")
        if is_zarr(target) or (existed and not target.is_dir()) or (not existed and is_image_name(target)):
            raise VolumeError(f"{target}: outputs of a folder go to one, and this is none; choose another")
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise VolumeError(
                f"{target}: cannot be made: {error.strerror or error}; create it, or choose another"
            ) from error
        check_writable(target / self.path.name)
        return existed


def _pairs(outputs: dict[Source, Path]) -> Iterator[tuple[Source, Source]]:
    """Images with the same output; case is ignored, as by some file systems."""
    seen: dict[str, Source] = {}
    for image, output in outputs.items():
        first = seen.setdefault(folded(output.name), image)
        if first is not image:
            yield first, image
