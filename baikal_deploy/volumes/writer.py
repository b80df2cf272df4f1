"""Images that are written: what is asked of a format before anything is there, and of an image until it is.

Both are protocols. A format is in ``zarr/format.py`` or ``tiff/format.py``, and what it begins in the file
``writer.py`` beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.urls import Source


class Format(Protocol):
    """Facts on an output before anything of it is there. It begins a ``Writer``.

    Attributes:
        NAME: of the format, for messages.
        GROWS: whether the first axis may become longer while it is written.
        SHARED: whether several processes may write one image.
        NESTS: whether images may lie in a store of several, such as a plate.
        KEPT: in what form ``size`` counts the pixels, for people.
    """

    NAME: str
    GROWS: bool
    SHARED: bool
    NESTS: bool
    KEPT: str

    def size(self, info: VolumeInfo) -> int:
        """Bytes of an image, before they are compressed.

        Args:
            info: the image.
        """

    def check_expressible(self, path: Path, info: VolumeInfo) -> None:
        """Refuse an image that the format cannot hold.

        Args:
            path: the output, for messages.
            info: the image.

        Raises:
            VolumeError: what it has no place for; metadata that is not valid.
        """

    def named(self, path: Path, info: VolumeInfo) -> Path:
        """Path of an output whose name nobody has chosen, with the ending that goes with the image.

        Args:
            path: with the format's usual ending.
            info: the image.
        """

    def check_begin(self, path: Path, overwrite: bool, leftovers: Collection[Path]) -> None:
        """Refuse an output that cannot be begun where it is to be, once the leftovers are removed.

        Args:
            path: the output.
            overwrite: an image that is there already may be replaced.
            leftovers: what an earlier run has left, which will be removed.

        Raises:
            VolumeError: something is there that must not be overwritten, or is not an output.
        """

    def begin(self, path: Path, overwrite: bool) -> Path:
        """Path at which an output grows, where nothing is.

        Args:
            path: the output.
            overwrite: an image that is there already may be replaced.

        Raises:
            VolumeError: see ``check_begin``.
        """

    def create(
        self,
        path: Path,
        info: VolumeInfo,
        *,
        overwrite: bool = False,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> Writer:
        """Begin an image; all of it is 0.

        Args:
            path: where the image will be.
            info: what to write; ``info.dtype`` is the output's pixel type.
            overwrite: replace an existing image. It stays whole until ``finish``: until then the new one is
                NAME.partial beside it.
            layout: of the items; None: the default one.
            run: id of the run that writes it, which the image holds until it is complete; None: none.

        Raises:
            VolumeError: the path is taken, or cannot be written; or see ``check_expressible``.
        """

    def resume(
        self,
        path: Path,
        info: VolumeInfo,
        location: Path,
        *,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> Writer:
        """Continue an image that ``create`` began.

        Args:
            path: where the image will be.
            info: what to write, as ``create`` had it, or with more steps of the first axis if it grows.
            location: where it is: where ``create`` put it, or at ``path`` if it has moved there since.
            layout: of the items; as ``create`` had it.
            run: id of the run; as ``create`` had it.

        Raises:
            VolumeError: it is not there, or is another image.
        """


class Writer(Protocol):
    """An image that is being written, of whatever format; ``create.format_of`` says who makes one.

    Items may be written in any order and by several threads, but each by one. Until ``finish`` the image says
    of itself that it is not complete, and what is to be replaced stays whole.

    Attributes:
        path: where the image will be.
        info: its axes, shape, pixel type, and so on.
        items: what there is to write.
        reductions: what is then to be made of it; none where items are all that there is.
        location: where the image is until ``finish``: at ``path``, links followed, or beside it.
    """

    @property
    def path(self) -> Path: ...

    @property
    def info(self) -> VolumeInfo: ...

    @property
    def items(self) -> Sequence[WorkItem]: ...

    @property
    def reductions(self) -> Sequence[Reduction]: ...

    @property
    def location(self) -> Path: ...

    def grown(self, info: VolumeInfo) -> Self:
        """The same image with more steps of the first axis, and the metadata of what they are of.

        Args:
            info: with these steps.

        Raises:
            VolumeError: a format that cannot grow; a full disk and the like; metadata that is not valid.
        """

    def write(self, item: WorkItem, planes: Raw) -> None:
        """Write one item.

        Args:
            item: one of ``items``.
            planes: (N, H, W), or (N, height, width) of the item's region, in ``info.dtype``.

        Raises:
            VolumeError: planes that do not fit the item, or a full disk and the like.
        """

    def reduce(self, reduction: Reduction) -> None:
        """Write one of ``reductions``, all of which before it are written.

        Args:
            reduction: one of ``reductions``.

        Raises:
            VolumeError: a reduction of another image; a full disk and the like.
        """

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when a piece that was written is on disk.

        Args:
            piece: an item or a reduction.

        Raises:
            VolumeError: a full disk and the like.
        """

    def files(self, piece: WorkItem | Reduction) -> Sequence[Path]:
        """Files that hold the pixels of a piece; one with nothing but zeros may be missing.

        Args:
            piece: an item or a reduction.
        """

    def copy_labels(self, labels: Source) -> list[str]:
        """Give the image the label images of another one.

        Args:
            labels: the group that holds them.

        Returns:
            Remarks on labels that it could not have, in sentences.

        Raises:
            VolumeError: a full disk and the like.
        """

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Record how the image was made and mark it complete; then put it in its place.

        Args:
            provenance: anything that JSON can hold.

        Raises:
            VolumeError: a full disk and the like.
        """
