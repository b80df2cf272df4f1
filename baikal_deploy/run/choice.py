"""What a run reads: the part of the input that is chosen, and of its guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.inputs import Input
from baikal_deploy.run.models.asked import SKIP, Asked
from baikal_deploy.run.naming import named
from baikal_deploy.run.targets import check_formats, check_places
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.channels import find_channels
from baikal_deploy.volumes.open import files_of, open_input
from baikal_deploy.volumes.selection import SelectedVolume, select, select_alike
from baikal_deploy.volumes.urls import Source


@dataclass(frozen=True)
class Choice:
    """The part of input and guide that a run reads.

    Attributes:
        volume: of the input.
        guide: the same part of the guide; None if there is none.
        models: for each channel that is denoised, by its number; see ``Asked.of_channels``.
        skipped: numbers of the channels whose model is ``SKIP``.
        written: what the output is.
        config: the options, with the name of the output.
        why: why it is an OME-Zarr, where a file would become a TIFF; empty where nobody need ask.
    """

    volume: SelectedVolume
    guide: SelectedVolume | None
    models: Mapping[int, str]
    skipped: Sequence[int]
    written: VolumeInfo
    config: RunConfig
    why: str


def choose(config: RunConfig, source: Input, *, shared: bool = False) -> Choice:
    """Open the input, and the guide if there is one, and choose the part that the options name.

    Args:
        config: the options of the run.
        source: the input.
        shared: whether several processes will write the output.

    Raises:
        ConfigError: options that do not go with what is there.
        VolumeError: something cannot be read, or an output cannot be written where it is to be.
    """
    whole = source.open()
    channels = None if config.channels is None else find_channels(whole.info, config.channels)
    kept = channels if config.other_channels == "drop" else None
    volume = select(whole, config.spans, kept)
    guide = None if config.guide is None else open_input(config.guide)
    written = replace(volume.info, dtype=np.dtype(config.dtype or volume.info.dtype))
    config, why = named(config, written, shared=shared)
    _check_paths(config, volume, guide, written)
    own = None if guide is None else select_alike(guide, volume)
    wanted = range(whole.info.num_channels) if channels is None else channels
    models = Asked.of(config.model).of_channels(whole.info, wanted)
    if kept:
        models = {place: models[channel] for place, channel in enumerate(kept)}
    skipped = [channel for channel, model in models.items() if model == SKIP]
    denoised = {channel: model for channel, model in models.items() if model != SKIP}
    return Choice(volume, own, denoised, skipped, written, config, why)


def _check_paths(
    config: RunConfig, volume: SelectedVolume, guide: Volume | None, written: VolumeInfo
) -> None:
    sources: list[Source] = [config.input, *files_of(volume)]
    if config.results is not None:
        sources.append(config.results)
    if guide is not None:
        sources += [guide.info.path, *files_of(guide)]
    check_places(config, sources)
    check_formats(config, written)
    shape = volume.whole.info.shape
    if guide is not None and guide.info.shape != shape:
        raise VolumeError(
            f"{config.guide}: a guide of shape {guide.info.shape}; it must have the input's, {shape}"
        )
