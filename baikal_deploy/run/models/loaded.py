"""Loaded models of a volume's channels, each with its sampler."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.provenance import SOFTWARE, made_with, model_and_engine
from baikal_deploy.denoising.suiting import Suited, best_suited
from baikal_deploy.diffusion.random_field import noise_generator
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.pixels.arrays import Raw


@dataclass(frozen=True)
class Loaded:
    """A loaded model, with the sampler.

    Attributes:
        denoiser: the model on its engine.
        sampler: as asked for, with what this model recommends.
    """

    denoiser: Denoiser
    sampler: Sampler

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.denoiser.manifest.name

    @property
    def noise(self) -> str:
        """Generator of the random numbers, in words."""
        engine = self.denoiser.predictor.engine
        return noise_generator(engine.upload(np.zeros((1, 1, 1, 1), dtype=np.float32)))


@dataclass(frozen=True)
class Models:
    """The models of a volume's channels. That of a channel may be chosen when it is first seen.

    Attributes:
        loaded: every model that a channel may have, by its file.
        of_channels: files for each channel that is denoised; one, or those that one is chosen of.
        chosen: what was chosen so far, by channel.
    """

    loaded: dict[Path, Loaded]
    of_channels: Mapping[int, Sequence[Path]]
    chosen: dict[int, Suited] = field(default_factory=dict)

    @classmethod
    def load(cls, files: Mapping[int, Sequence[Path]], load: Callable[[Path], Loaded]) -> Self:
        """Load every model once; close them.

        Args:
            files: see ``of_channels``.
            load: the model of a file.

        Raises:
            BaikalError: see ``load``; none stays loaded.
        """
        loaded: dict[Path, Loaded] = {}
        with ExitStack() as stack:
            for path in dict.fromkeys(path for own in files.values() for path in own):
                loaded[path] = load(path)
                stack.callback(loaded[path].denoiser.close)
            stack.pop_all()
        return cls(loaded, files)

    @property
    def channels(self) -> Collection[int]:
        """Numbers of the channels that are denoised."""
        return tuple(self.of_channels)

    @property
    def one(self) -> Loaded | None:
        """The model that is asked for for all channels; None where they differ, or are chosen."""
        asked = {tuple(files) for files in self.of_channels.values()} or {tuple(self.loaded)}
        (first, *_) = asked
        return self.loaded[first[0]] if len(asked) == len(first) == 1 else None

    @property
    def used(self) -> list[Loaded]:
        """Models of all channels, each once; where one is to be chosen, all that it may be.

        Of a volume whose channels are all copied, that which was asked for.
        """
        files = {
            path: None
            for channel, own in self.of_channels.items()
            for path in (own if self.is_open(channel) else [self._file(channel)])
        } or dict.fromkeys(self.loaded)
        return [self.loaded[path] for path in files]

    def of(self, channel: int) -> Loaded:
        """Model of a channel; one that is to be chosen has been.

        Args:
            channel: one that is denoised.
        """
        return self.loaded[self._file(channel)]

    def is_open(self, channel: int) -> bool:
        """True if a model is still to be chosen for a channel.

        Args:
            channel: one that is denoised.
        """
        return len(self.of_channels[channel]) > 1 and channel not in self.chosen

    def choose(self, channel: int, sample: Sequence[Raw]) -> None:
        """Choose the model of a channel by what each makes of it.

        Args:
            channel: one that is denoised.
            sample: (H, W) windows of it, in raw units.

        Raises:
            EngineError: a network failed.
        """
        denoisers = {path.stem: self.loaded[path].denoiser for path in self.of_channels[channel]}
        self.chosen[channel] = best_suited(sample, denoisers)

    def _file(self, channel: int) -> Path:
        files = self.of_channels[channel]
        return files[0] if len(files) == 1 else next(f for f in files if f.stem == self.chosen[channel].name)

    def made_with(self) -> dict[str, Any]:
        """Software, and the model and the engine if they are those of all channels, as JSON holds them."""
        return dict(SOFTWARE) if self.one is None else made_with(self.one.denoiser)

    def record(self, channel: int) -> dict[str, Any]:
        """Model and engine of a channel, if not all have been asked to have the same, as JSON holds them.

        Args:
            channel: one that is denoised, whose model is known.
        """
        if self.one is not None:
            return {}
        found = self.chosen.get(channel)
        chosen = {} if found is None else {"chosen": asdict(found)}
        return model_and_engine(self.of(channel).denoiser) | chosen

    def asked(self) -> dict[str, Any]:
        """All that decides the models of the channels, whatever is chosen, as JSON holds it."""
        if self.one is not None:
            return {"options": asdict(self.one.sampler)}
        return {
            "models": {
                str(channel): [self._asked(path) for path in files]
                for channel, files in self.of_channels.items()
            }
        }

    def _asked(self, path: Path) -> dict[str, Any]:
        own = self.loaded[path]
        return model_and_engine(own.denoiser) | {"options": asdict(own.sampler)}

    def check_open(self) -> None:
        """Raise EngineError after ``close``."""
        for own in self.used:
            own.denoiser.check_open()

    def close_unused(self) -> None:
        """Free the models that were not chosen."""
        used = self.used
        for path, own in list(self.loaded.items()):
            if own not in used:
                own.denoiser.close()
                del self.loaded[path]

    def close(self) -> None:
        """Free all models."""
        for own in self.loaded.values():
            own.denoiser.close()
