"""An OME-Zarr that goes to an object store as it is written: one object for each shard.

It grows in a local folder, beside its journal; a shard that is finished is uploaded, and then removed here.
Metadata is uploaded last, that of the image itself at the very end: until then there is no image at the URL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.host.moves import remove_file
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.objects import WRITABLE, put_object, remove_object
from baikal_deploy.volumes.paths import METADATA_FILES, PROVENANCE, attributes_file, discard, translated
from baikal_deploy.volumes.urls import Source, Url
from baikal_deploy.volumes.writer import Writer
from baikal_deploy.volumes.zarr.labels import LABELS

PROBE = "baikal.probe"
"""Name of an object that shows whether any can be written."""


@dataclass(frozen=True)
class Uploading:
    """An image that is uploaded piece by piece: a ``Writer``, whose methods are described there.

    Attributes:
        inner: the image as it grows here.
        url: where it goes.
    """

    inner: Writer
    url: Url

    @property
    def path(self) -> Path:
        """Folder in which it grows."""
        return self.inner.path

    @property
    def info(self) -> VolumeInfo:
        """The image."""
        return self.inner.info

    @property
    def items(self) -> Sequence[WorkItem]:
        """Items of the image."""
        return self.inner.items

    @property
    def reductions(self) -> Sequence[Reduction]:
        """Reductions of the image."""
        return self.inner.reductions

    @property
    def location(self) -> Path:
        """Folder in which it grows."""
        return self.inner.location

    def grown(self, info: VolumeInfo) -> Self:
        """The same image with more steps of the first axis; see ``Writer.grown``."""
        return replace(self, inner=self.inner.grown(info))

    def write(self, item: WorkItem, planes: Raw) -> None:
        """Write one item here; see ``Writer.write``."""
        self.inner.write(item, planes)

    def reduce(self, reduction: Reduction) -> None:
        """Write one of the reductions here, where the level above still is; see ``Writer.reduce``."""
        self.inner.reduce(reduction)

    def files(self, piece: WorkItem | Reduction) -> Sequence[Path]:
        """Files that hold a piece until it is uploaded; see ``Writer.files``."""
        return self.inner.files(piece)

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when a piece is at the URL; see ``Writer.sync``.

        What holds nothing but zeros has no file, and gets no object: one of a run before must go.
        """
        if self.reductions:
            self.inner.sync(piece)  # smaller levels are made of what is here
        for file in self.files(piece):
            key = file.relative_to(self.location).as_posix()
            if not file.exists():
                remove_object(self.url, key)
                continue
            put_object(self.url, key, file)
            if not self.reductions:
                with translated(file, "removed (it is uploaded)"):
                    remove_file(file)

    def copy_labels(self, labels: Source) -> list[str]:
        """Give the image the label images of another one; see ``Writer.copy_labels``."""
        return self.inner.copy_labels(labels)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Upload what is not there yet, the mark that it is complete last, and remove it here."""
        root = attributes_file(self.location)
        assert isinstance(root, Path)
        first, last = _metadata(self.location, root)
        for file in first:
            put_object(self.url, file.relative_to(self.location).as_posix(), file)
        for file in last:
            made = {**provenance, "complete": True}
            data = _completed(file, made) if file == root else file.read_bytes()
            put_object(self.url, file.name, data)
        discard(self.location)


def _metadata(location: Path, root: Path) -> tuple[list[Path], list[Path]]:
    """Files that are uploaded at the end: those of arrays and labels, and those of the image itself."""
    found = sorted(file for file in location.rglob("*") if file.is_file())
    own = [file for file in found if file.parent == location and file.name in METADATA_FILES]
    others = [
        file
        for file in found
        if file.parent != location
        and (file.name in METADATA_FILES or file.relative_to(location).parts[0] == LABELS)
    ]
    return others, sorted(own, key=lambda file: file.name == ".zgroup" or file == root)


def _completed(file: Path, provenance: Mapping[str, Any]) -> bytes:
    """Attributes of the image with its provenance, written as zarr-python writes them."""
    content = json.loads(file.read_bytes())
    attributes = content if file.name == ".zattrs" else content["attributes"]
    attributes[PROVENANCE] = provenance
    return json.dumps(content, indent=2).encode()


def check_url(url: Url) -> None:
    """Refuse a URL that no image can be written to.

    Args:
        url: of an output.

    Raises:
        ConfigError: another scheme, or a name that does not end in .zarr.
    """
    if url.text.partition("://")[0] not in WRITABLE:
        raise ConfigError(f"{url}: can only be read; outputs go to local files or to s3://, gs:// and az://")
    if url.suffix != ".zarr":
        raise ConfigError(f"{url}: an output at a URL is an OME-Zarr; name it {url}.ome.zarr")


def check_free(url: Url) -> None:
    """Refuse a URL where an image is already, or nothing can be written. Nothing is left of the attempt.

    Args:
        url: of an output.

    Raises:
        VolumeError: something is there; the server refuses, or cannot be reached.
    """
    if any((url / name).is_file() for name in METADATA_FILES):
        raise VolumeError(
            f"{url}: exists already, and nothing at a URL is replaced; remove it (aws s3 rm --recursive), or "
            f"choose another output"
        )
    put_object(url, PROBE, b"")
    remove_object(url, PROBE)
