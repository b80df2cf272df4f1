"""A folder of images as input: the images in it, and the places of the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.create import is_image_name
from baikal_deploy.volumes.names import folded
from baikal_deploy.volumes.naming import default_output
from baikal_deploy.volumes.open import images_among, is_image
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.places import check_writable
from baikal_deploy.volumes.urls import Source, Url


@dataclass(frozen=True)
class Folder:
    """The images in a folder, by name; or those of several inputs.

    Attributes:
        path: the folder, or what all inputs have in common.
        places: what ``is_image`` takes for an image, with the folder of its output in that of all outputs.
        others: what is not an image that can be read; hidden files are not looked at.
    """

    path: Path
    places: Mapping[Path, Path]
    others: tuple[Path, ...]

    @property
    def images(self) -> tuple[Path, ...]:
        """The images, in order."""
        return tuple(self.places)

    @classmethod
    def at(cls, path: Source, *, recursive: bool = False, without: Path | None = None) -> Folder | None:
        """The images at a path; None if it is not a folder, is one image itself, or holds none.

        PNG and JPEG files count where there are no others: beside these they mostly are pictures of them.

        Args:
            path: of anything.
            recursive: look into the folders in it, too; the outputs get the same folders.
            without: a folder that is not looked into.

        Raises:
            VolumeError: the folder cannot be listed.
        """
        try:
            if isinstance(path, Url) or not path.is_dir() or is_image(path):
                return None
            entries = list(_entries(path, recursive, without))
        except OSError as error:
            raise VolumeError(
                f"{path}: cannot be listed: {error.strerror or error}; check its permissions"
            ) from error
        places = {image: image.parent.relative_to(path) for image in images_among(entries)}
        return cls(path, places, tuple(e for e in entries if e not in places)) if places else None

    @property
    def notes(self) -> tuple[str, ...]:
        """No remarks: all there is to know is what was not looked at."""
        return ()

    @contextmanager
    def runs(self, config: RunConfig, *, dry_run: bool) -> Iterator[list[RunConfig]]:
        """Yield a run for each image, to NAME_denoised.ome.tif or .ome.zarr in the output folder.

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
            image: target / place / default_output(image, config.series, config.format).name
            for image, place in self.places.items()
        }
        for first, second in _pairs(outputs):
            raise VolumeError(
                f"{first} and {second.name} would both be written to {outputs[second]}; rename one of them"
            )
        existed = self._claim(target)
        folders = sorted({output.parent for output in outputs.values()} - {target})
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            yield [
                replace(config, input=image, output=None, folder=target / place)
                for image, place in self.places.items()
            ]
        finally:  # a dry run, or nothing could be denoised
            for folder in [*reversed(folders), *([] if existed else [target])]:
                _remove_empty(folder)

    def finish(self, config: RunConfig) -> None:
        """Nothing is to be marked: a folder has no mark.

        Args:
            config: the options of the runs.
        """

    def _claim(self, target: Path) -> bool:
        """Make the output folder; True if it was there before."""
        check_writable(target)
        existed = target.exists()
        if existed and any(target.samefile(folder) for folder in {image.parent for image in self.places}):
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


def _entries(path: Path, recursive: bool, without: Path | None) -> Iterator[Path]:
    """What lies in a folder, in order, but for hidden files."""
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        # Links are not followed: they may lead in a circle.
        inner = recursive and entry.is_dir() and not entry.is_symlink() and not is_image(entry)
        if not inner or entry.suffix == ".zarr":
            yield entry
        elif without is None or not without.exists() or not entry.samefile(without):
            yield from _entries(entry, recursive, without)


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _pairs(outputs: dict[Source, Path]) -> Iterator[tuple[Source, Source]]:
    """Images with the same output; case is ignored, as by some file systems."""
    seen: dict[str, Source] = {}
    for image, output in outputs.items():
        first = seen.setdefault(folded(output.as_posix()), image)
        if first is not image:
            yield first, image
