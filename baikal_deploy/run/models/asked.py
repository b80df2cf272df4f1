"""Models that are asked for: one for all channels, or one for each by its number or name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.models.manifest import (
    AUTO_MODEL,
    find_model,
    is_shipped,
    read_manifest,
    remark_on,
    shipped_models,
)
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.channels import find_channels

SKIP = "skip"
"""Stands for a model where a channel is to stay as it is."""
REST = "*"
"""Stands for the channels that are not named."""
OPTION = "--model"

Model = str | Mapping[str | int, str]
"""Name of a shipped model, path of an .onnx file, or "auto"; or these and "skip" by channel, also as text."""


@dataclass(frozen=True)
class Asked:
    """The models that are asked for.

    Attributes:
        named: name, path, "auto" or "skip", by the number or name of a channel.
        rest: the same for the other channels; None: they have none.
    """

    named: Mapping[str, str]
    rest: str | None

    @classmethod
    def of(cls, model: Model) -> Self:
        """What ``RunConfig.model`` asks for.

        Args:
            model: such as "nuclei", "DAPI=nuclei,GFP=my.onnx", or {"DAPI": "nuclei", "*": "skip"}.

        Raises:
            ConfigError: a text or mapping that cannot be understood, or that leaves nothing to denoise.
        """
        if isinstance(model, Mapping):
            pairs = [(str(channel), str(name)) for channel, name in model.items()]
        elif "=" in str(model) and not os.path.isfile(model):
            pairs = list(_pairs(str(model)))
        else:
            pairs = [(REST, str(model))]
        for channel, name in pairs:
            if not channel or not name:
                raise ConfigError(
                    f"{OPTION} {_text(pairs)}: write CHANNEL=MODEL, with commas in between and one MODEL for "
                    "the rest, such as DAPI=nuclei,BF=skip,*=auto"
                )
        if len(dict(pairs)) < len(pairs):
            raise ConfigError(f"{OPTION} {_text(pairs)}: a channel has two models; choose one of them")
        if not pairs:
            raise ConfigError(f"{OPTION}: no channel has a model; name one")
        if all(name == SKIP for _, name in pairs):
            raise ConfigError(f"{OPTION} {_text(pairs)}: leaves nothing to denoise; name a model")
        named = dict(pairs)
        rest = named.pop(REST, None)
        return cls(named, rest)

    def of_channels(self, info: VolumeInfo, channels: Iterable[int]) -> dict[int, str]:
        """Models of some channels of a volume: name, path, "auto" or "skip", by number.

        Args:
            info: of the volume.
            channels: numbers of those that need one.

        Raises:
            VolumeError: a channel that is named is not there, or has two models; one that needs a model has
                none.
        """
        found: dict[int, str] = {}
        for channel, model in self.named.items():
            for number in find_channels(info, [channel], OPTION):
                if found.setdefault(number, model) != model:
                    raise VolumeError(
                        f"{info.path}: channel {info.channel_name(number)} has two models, {found[number]} "
                        f"and {model}, by its name and its number; choose one ({OPTION})"
                    )
        chosen = {channel: found.get(channel, self.rest) for channel in channels}
        without = [info.channel_name(channel) for channel, model in chosen.items() if model is None]
        if without:
            raise VolumeError(
                f"{info.path}: there is no model for channel {', '.join(without)}; add {without[0]}=MODEL, "
                f"*=MODEL for all that are not named, or {SKIP} as MODEL to leave them as they are ({OPTION})"
            )
        models = {channel: model for channel, model in chosen.items() if model is not None}
        if set(models.values()) == {SKIP}:
            raise VolumeError(
                f"{info.path}: {OPTION} leaves all of its channels as they are; nothing to denoise"
            )
        return models

    def check(self) -> None:
        """Check all models where several are named; one alone is when it is loaded.

        Raises:
            ModelError: there is no such model, or its file cannot be used.
        """
        files = self.files if self.named or self.rest == AUTO_MODEL else []
        for path in files:
            read_manifest(path)

    @property
    def files(self) -> list[Path]:
        """Files of all models that are named, each once; with "auto" those of the shipped ones.

        Raises:
            ModelError: there is no such model.
        """
        found = [path for name in self._names if name != SKIP for path in files_of(name)]
        return list(dict.fromkeys(found))

    @property
    def remarks(self) -> list[str]:
        """What to know of models that are named by former names, in sentences."""
        return [remark for name in self._names if (remark := remark_on(name)) is not None]

    @property
    def _names(self) -> Iterable[str]:
        """All names, each once."""
        return dict.fromkeys([*self.named.values(), *([] if self.rest is None else [self.rest])])

    def absolute(self) -> Model:
        """The same, for a process in another folder.

        Raises:
            ModelError: there is no such model.
        """
        here: dict[str | int, str] = {channel: _absolute(name) for channel, name in self.named.items()}
        if self.rest is not None:
            here[REST] = _absolute(self.rest)
        return here[REST] if list(here) == [REST] else here


def files_of(name: str) -> list[Path]:
    """The file of a model; those of all shipped ones for "auto".

    Args:
        name: of a shipped model, a path, or "auto".

    Raises:
        ModelError: there is no such model.
    """
    return list(shipped_models().values()) if name == AUTO_MODEL else [find_model(name)]


def _absolute(name: str) -> str:
    return name if name in (SKIP, AUTO_MODEL) or is_shipped(name) else str(Path(name).absolute())


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Channels and models of a text; a model without a channel is that of the rest."""
    for part in text.split(","):
        channel, equals, model = part.partition("=")
        yield (channel.strip(), model.strip()) if equals else (REST, part.strip())


def _text(pairs: Iterable[tuple[str, str]]) -> str:
    return ",".join(f"{channel}={model}" for channel, model in pairs)
