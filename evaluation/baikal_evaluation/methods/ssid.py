"""Spatially Adaptive SSID (Li et al., CVPR 2023); ``baikal_evaluation.ssid`` says how, and what differs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from filelock import FileLock

from baikal_deploy.host.durable import whole_file
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.sample import block_means
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Method, Needs, Prediction, Stack, Training, TrainingImages
from baikal_evaluation.ssid.networks import Denoiser
from baikal_evaluation.ssid.training import DEPTH, WIDTH, Plane, at_least, learn

VERSION = 1
"""Version of what is learnt from the same images, minutes and seed."""


FACTOR = 2**DEPTH
"""Number that the sides of planes must be multiples of."""


class SSID(Method):
    """Learns from noisy images alone, also where their noise is correlated over a few pixels.

    Every image is mapped by the percentiles of its block means, so that images of other cameras and
    gains can be learnt from and denoised.
    """

    NEEDS: ClassVar[Needs] = "noisy"
    _learnt: tuple[Denoiser, Training] | None = None

    @property
    def learnt(self) -> tuple[Denoiser, Training]:
        """Network that ``fit`` has trained or found, and what it learnt from.

        Raises:
            EvaluationError: ``fit`` was not called.
        """
        if self._learnt is None:
            raise EvaluationError("ssid: has learnt nothing; call fit first")
        return self._learnt

    def fit(self, training: Training) -> Self:
        path = training.folder / f"ssid-{training.key(f'ssid {VERSION}')}.pt"
        try:
            training.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):  # another process may learn the same
                if not path.is_file():
                    net = learn(_planes(training.images), 60 * training.minutes, training.seed)
                    _save(net, path)
        except OSError as error:
            raise EvaluationError(
                f"ssid: {training.folder}: cannot be written to ({error.strerror or error}); "
                f"free space, or choose another folder"
            ) from error
        self._learnt = _load(path), training
        return self

    @property
    def identity(self) -> dict[str, Any]:
        net, training = self.learnt
        weights = b"".join(tensor.contiguous().numpy().tobytes() for tensor in net.state_dict().values())
        return {
            "version": VERSION,
            "torch": torch.__version__,
            "minutes": training.minutes,
            "seed": training.seed,
            "weights": hashlib.sha256(weights).hexdigest(),
        }

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        net, scale = self.learnt[0], _scale(noisy, "the image")
        if scale.is_constant:
            return Prediction(noisy.copy())
        height, width = noisy.shape[1:]
        padded = at_least(scale.normalise(noisy), height + -height % FACTOR, width + -width % FACTOR)
        with torch.inference_mode():
            planes = [net(torch.from_numpy(plane)[None, None])[0, 0].numpy() for plane in padded]
        return Prediction(scale.denormalise(np.stack(planes)[:, :height, :width], np.float32), nfe=1)


def _planes(images: TrainingImages) -> list[Plane]:
    """Normalised planes. An image of a single value is left out: nothing can be learnt from it."""
    planes: list[Plane] = []
    for index, stack in enumerate(images.noisy):
        scale = _scale(stack, f"training image {index}")
        if not scale.is_constant:
            planes += list(scale.normalise(stack))
    if not planes:
        raise EvaluationError("ssid: no training image holds more than one value; give others")
    return planes


def _scale(stack: Stack, what: str) -> IntensityMap:
    if not np.isfinite(stack).all():
        raise EvaluationError(f"ssid: {what} holds NaN or infinite pixels; replace them")
    return Normalisation().of([block_means(plane) for plane in stack])


def _save(net: Denoiser, path: Path) -> None:
    """Write the file in one step, so that a crash leaves no half a file."""
    with (
        whole_file(path) as partial,
        partial.open("wb") as file,
    ):  # torch would report a full disk as RuntimeError
        torch.save(net.state_dict(), file)


def _load(path: Path) -> Denoiser:
    with torch.device("meta"):  # draws no random weights
        net = Denoiser(WIDTH, DEPTH)
    try:
        net.load_state_dict(torch.load(path, weights_only=True), assign=True)
    except Exception as error:  # damaged bytes make torch raise almost anything
        raise EvaluationError(f"ssid: {path}: what was learnt cannot be read; delete the file") from error
    return net.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
