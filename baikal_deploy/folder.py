"""A folder of images as input: what is in it, and where the outputs go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from baikal_deploy.config import default_output
from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.inputs import is_tiff
from baikal_deploy.volumes.stores import is_zarr


@dataclass(frozen=True)
class Folder:
    """The images directly in a folder, by name.

    Attributes:
        path: the folder.
        images: TIFF files and Zarr stores.
        others: what is no image that can be read; hidden files are not looked at.
    """

    path: Path
    images: tuple[Path, ...]
    others: tuple[Path, ...]

    @classmethod
    def at(cls, path: Path) -> Folder | None:
        """The images at a path; None if it is no folder, is one image itself, or holds none.

        Raises:
            VolumeError: the folder cannot be listed.
        """
        try:
            if not path.is_dir() or is_zarr(path):
                return None
            entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise VolumeError(
                f"{path}: cannot be listed: {error.strerror or error}; check its permissions"
            ) from error
        images = tuple(entry for entry in entries if _is_image(entry))
        return cls(path, images, tuple(e for e in entries if e not in images)) if images else None

    def outputs(self, target: Path, series: int | None) -> dict[Path, Path]:
        """Where the output of each image goes: NAME_denoised.ome.zarr in ``target``, which is made.

        Raises:
            VolumeError: ``target`` is the folder itself, is no folder, or cannot be made; two images of
                one name.
        """
        outputs = {image: target / default_output(image, series).name for image in self.images}
        for first, second in _pairs(outputs):
            raise VolumeError(
                f"{first} and {second.name} would both be written to {outputs[second]}; rename one of them"
            )
        if target.exists() and target.samefile(self.path):
            raise VolumeError(f"{target}: is the folder of the inputs; choose another output folder")
        if is_zarr(target) or (target.exists() and not target.is_dir()):
            raise VolumeError(f"{target}: outputs of a folder go to one, and this is none; choose another")
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise VolumeError(
                f"{target}: cannot be made: {error.strerror or error}; create it, or choose another"
            ) from error
        return outputs


def _is_image(path: Path) -> bool:
    return is_zarr(path) if path.is_dir() else is_tiff(path)


def _pairs(outputs: dict[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """Images with the same output; case is ignored, as some file systems do."""
    seen: dict[str, Path] = {}
    for image, output in outputs.items():
        first = seen.setdefault(output.name.lower(), image)
        if first is not image:
            yield first, image
