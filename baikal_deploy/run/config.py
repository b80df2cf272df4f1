"""The options of a run: an image to denoise, and the way to do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from baikal_deploy.denoising.precision import AUTO_PRECISION, AskedPrecision
from baikal_deploy.denoising.stack import Defects
from baikal_deploy.denoising.windows import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER
from baikal_deploy.engines import AUTO
from baikal_deploy.errors import ConfigError
from baikal_deploy.host.sizes import memory_limit, size_of
from baikal_deploy.measurement.gate import Fuse
from baikal_deploy.models.manifest import DEFAULT_MODEL
from baikal_deploy.pixels.dtypes import TYPES
from baikal_deploy.run.models.asked import Asked, Model
from baikal_deploy.volumes.axes import check_asked
from baikal_deploy.volumes.create import check_upload
from baikal_deploy.volumes.layout import SHARD_BYTES
from baikal_deploy.volumes.naming import Kind, default_output, kind_of_name, renamed
from baikal_deploy.volumes.selection import Span, check_span
from baikal_deploy.volumes.storage import Ngff, Storage
from baikal_deploy.volumes.urls import Source, Url, looks_like_url

HOW_STORED = ("format", "folder", "ending", "ngff", "codec", "chunk", "shard", "upload")
"""Options that say where the output goes and how it is stored; what is written in between is always alike."""
Normalise = Literal["per-volume", "per-timepoint"]
ShareNoise = Literal["none", "z", "tz"]
OtherChannels = Literal["copy", "drop"]


@dataclass(frozen=True)
class RunConfig:
    """The image to denoise, and the way to do it. Paths may be relative.

    Attributes:
        input: of any format in docs/formats.md; a ``Url`` for one that is not local.
        series: which image of several; None: the only one.
        axes: names of the input's axes, such as "zyx", if no metadata names them; None: see ``plain_axes``.
        output: OME-Zarr (.zarr) or OME-TIFF (.tif and the like) to write; None: NAME_denoised.ome.tif or
            .ome.zarr beside the input, or in the current folder if that is a URL.
        model: name of a shipped model, path of an .onnx file, or "auto", which takes the shipped model that
            suits a channel best. Or these for channels by number or name, "*" for the rest, and "skip" for
            what is to stay as it is: ``{"DAPI": "nuclei", "*": "skip"}``, or as text, "DAPI=nuclei,*=skip".
        sampler: name of the sampler.
        options: of the sampler, by name; they override what the model recommends.
        seed: of the noise.
        engine: see ``Denoiser.load``.
        precision: what the network computes in; "auto" takes that of ``Denoiser.load`` for samplers of few
            evaluations and fp32 for the others, and for outputs that were begun, theirs.
        tile, overlap, batch: see ``Denoiser.load``.
        guide: another denoiser's output for the same volume, to guide the sampler.
        uncertainty: image to write with the standard deviation of each pixel of the result; None: none.
        mask: image to write with 1 where the result contradicts the data; None: none.
        overwrite: replace an existing output, once the new one is complete.
        dtype: pixel type of the result, of ``dtypes.TYPES``, in the input's units; None: the input's.
        normalise: whether intensities and noise of a channel are measured once, or for each time point.
        share_noise: axes along which planes get the same random numbers: "none", "z", or "tz".
        t, z: which time points and planes to denoise, such as ``slice(5, 20)`` or ``7``; None: all.
        channels: numbers or names of the channels to denoise; None: all.
        other_channels: whether the others are copied unchanged, or left out ("drop").
        roi: which rows and columns of each plane, such as ``(slice(0, 512), slice(0, 512))``; None: all.
        memory: most that a process may take, such as "1GB", "500MB", "25%" (of what is free), or in bytes;
            it decides the output's shards where the usual ones are too large. None: half of what is free.
        defects: whether hot and dead pixels are replaced by what is around them, or keep their values
            ("keep").
        on_error: what becomes of a plane that cannot be read or denoised: "stop" ends the run, which may be
            continued with another choice; "keep-raw" writes it as it is, with 0 in chunks that cannot be
            read; "zero" writes 0.
        fuse: axes along which results are averaged with those of the planes beside them, where these show the
            same; None: each plane by itself.
        again: whether planes, averaged with those beside them, are denoised once more.
        results: an output that such a run without ``fuse`` has finished, whose planes are fused; None: they
            are denoised first.
        format: of an output that is not named, "tif" or "zarr"; None: a file becomes an OME-TIFF where that
            can be written and read everywhere (see ``naming.named``), all else an OME-Zarr.
        folder: of an output that is not named; None: that of the input. Of one at a URL, where its journal
            is, and what is not uploaded yet; None: the current folder.
        ending: of the stem of an output that is not named, such as "_draw1".
        ngff, codec, chunk: how outputs are stored; see ``Storage``.
        shard: most bytes of the pixels of a shard, such as "16MB"; "none": chunks are files of their own;
            None: 64 MiB.
        upload: URL of the output, which has no path then, such as ``Url("s3://bucket/clean.ome.zarr")``.
    """

    input: Source
    output: Path | None = None
    model: Model = DEFAULT_MODEL
    sampler: str = DEFAULT_SAMPLER
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    engine: str = AUTO
    precision: AskedPrecision = AUTO_PRECISION
    tile: int = DEFAULT_TILE
    overlap: int = DEFAULT_OVERLAP
    batch: int = 1
    guide: Source | None = None
    uncertainty: Path | None = None
    mask: Path | None = None
    overwrite: bool = False
    series: int | None = None
    axes: str | None = None
    dtype: str | None = None
    normalise: Normalise = "per-volume"
    share_noise: ShareNoise = "z"
    t: Span | None = None
    z: Span | None = None
    roi: tuple[Span, Span] | None = None
    channels: Sequence[str | int] | None = None
    other_channels: OtherChannels = "copy"
    memory: str | int | None = None
    defects: Defects = "replace"
    on_error: OnError = "stop"
    fuse: Fuse | None = None
    again: bool = False
    results: Source | None = None
    format: Kind | None = None
    folder: Path | None = None
    ending: str = ""
    ngff: Ngff = "0.5"
    codec: str | None = None
    chunk: int | None = None
    shard: str | int | None = None
    upload: Url | None = None

    def __post_init__(self) -> None:
        if self.roi is not None and not (isinstance(self.roi, tuple) and len(self.roi) == 2):
            raise ConfigError(f"--roi {self.roi}: give two slices, of rows and of columns")
        for axis, span in self.spans.items():
            check_span(axis, span)
        choices = {
            "normalise": Normalise,
            "share_noise": ShareNoise,
            "other_channels": OtherChannels,
            "defects": Defects,
            "on_error": OnError,
        }
        for name, allowed in choices.items():
            _check_choice(name, getattr(self, name), get_args(allowed))
        if self.fuse is not None:
            _check_choice("fuse", self.fuse, get_args(Fuse))
        elif self.results is not None:
            raise ConfigError(f"--from {self.results}: say along which axes to fuse (--fuse t)")
        if self.again and self.fuse is None:
            raise ConfigError("--again: say along which axes to fuse (--fuse t)")
        if self.dtype is not None:
            _check_choice("dtype", self.dtype, TYPES)
        if self.other_channels == "drop" and self.channels is None:
            raise ConfigError("--other-channels drop: say which channels to denoise (--channel)")
        self._check_format()
        _ = self.storage, self.shard_bytes
        Asked.of(self.model)
        if self.axes is not None:
            check_asked(self.axes)
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed {self.seed}: must lie within 0 … 2^64 − 1")
        memory_limit(self.memory, free=0)
        if self.upload is not None:
            check_upload(self.upload, free=False)
            if self.format == "tif":
                raise ConfigError(f"--format tif: an output at a URL is an OME-Zarr ({self.upload})")
        for path in (self.output, self.uncertainty, self.mask):
            if path is not None and looks_like_url(path):
                raise ConfigError(
                    f"{path}: only OUTPUT may be a URL (upload=Url(…) in Python); write other images to files"
                )

    def _check_format(self) -> None:
        if self.format is None:
            return
        _check_choice("format", self.format, get_args(Kind))
        named = None if self.output is None else kind_of_name(self.output)
        if named not in (None, self.format):
            raise ConfigError(
                f"--format {self.format}: OUTPUT is {self.output}, which is of another; leave out one of them"
            )

    @property
    def storage(self) -> Storage:
        """How the outputs are stored."""
        return Storage(self.ngff, self.codec, self.chunk, self.shard != "none")

    @property
    def shard_bytes(self) -> int:
        """Most bytes of the pixels of a shard."""
        return SHARD_BYTES if self.shard in (None, "none") else size_of("--shard", self.shard)

    @property
    def spans(self) -> dict[str, Span]:
        """Chosen parts of the axes, by axis."""
        rows, columns = self.roi or (None, None)
        spans = {"t": self.t, "z": self.z, "y": rows, "x": columns}
        return {axis: span for axis, span in spans.items() if span is not None}

    @property
    def shared_axes(self) -> tuple[str, ...]:
        """The axes along which planes share their noise."""
        return () if self.share_noise == "none" else tuple(self.share_noise)

    @property
    def target(self) -> Path:
        """Path of the output; of one that is not named, as long as nothing is known of the input."""
        if self.output is not None:
            return self.output
        if self.upload is not None:
            return (self.folder or Path.cwd()) / renamed(Path(self.upload.name), ".uploading")
        found = renamed(default_output(self.input, self.series, self.format), self.ending)
        return found if self.folder is None else self.folder / found.name

    @property
    def result(self) -> Source:
        """Place of the output when it is complete: its path or URL."""
        return self.upload or self.target

    @property
    def outputs(self) -> list[Path]:
        """Every image that is written, the result first."""
        return [self.target, *(path for path in (self.uncertainty, self.mask) if path is not None)]

    @property
    def unfused(self) -> Path:
        """Path of the results before they are fused, while a run that fuses is not complete."""
        return self.target.with_name(f"{self.target.name}.unfused.zarr")


@dataclass(frozen=True)
class Unfused(RunConfig):
    """The options of the first half of a run that fuses: planes are denoised, each by itself."""

    @classmethod
    def of(cls, whole: RunConfig) -> Self:
        """The first half of a run; what an earlier one has left of it is not replaced.

        Args:
            whole: the options of the run.
        """
        values = {field.name: getattr(whole, field.name) for field in fields(whole)}
        own = {
            "output": whole.unfused, "uncertainty": None, "mask": None, "dtype": "float32", "again": False,
        }  # fmt: skip
        stored = {field.name: field.default for field in fields(whole) if field.name in HOW_STORED}
        return cls(**values | own | stored)


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"--{name.replace('_', '-')} {value}: choose one of {', '.join(allowed)}")


OnError = Literal["stop", "keep-raw", "zero"]
"""Fate of a plane, or a region of one, that cannot be read or denoised: an end of the run; what can be read
of it, with 0 in the chunks that cannot; or 0 everywhere."""
