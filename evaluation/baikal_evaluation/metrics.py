"""Metrics of a prediction against the clean image. A figure means nothing without its ``Definition``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.sample import noise_std, sample_windows
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Stack

Range = Literal["joint"] | float
"""Range of the intensities that a metric compares the error with: joint maximum − joint minimum of the two
images, or a number."""
Fit = Literal["none", "affine"]
Planes = NDArray[np.float64]
WINDOW = 7
"""Side of the uniform window of SSIM, the default of scikit-image."""


@dataclass(frozen=True)
class Definition:
    """Definition of the metrics. ``str()`` says it in one line.

    Attributes:
        normalisation: maps these percentiles of the whole clean image to 0 and 1 and takes both images
            there, unclipped; None compares them in the units they are stored in.
        project: max-project volumes over z first, as CARE does; otherwise, as for all that are not volumes,
            figures are means over planes.
        fit: "affine" maps the prediction by the scale and offset that bring it closest to the clean image
            in the least-squares sense, one fit for all planes that are compared; for data sets whose two
            sides were scaled independently.
        ssim_range, psnr_range: the data range of each metric.

    Raises:
        ConfigError: a range that is not positive.
    """

    normalisation: Normalisation | None = field(default_factory=Normalisation)
    project: bool = True
    fit: Fit = "none"
    ssim_range: Range = "joint"
    psnr_range: Range = 1.0

    def __post_init__(self) -> None:
        for value in (self.ssim_range, self.psnr_range):
            if value != "joint" and not 0 < value < np.inf:
                raise ConfigError(f"metrics: a data range is {value}; it must be 'joint' or above 0")

    def __str__(self) -> str:
        scale = self.normalisation
        units = (
            "intensities as stored"
            if scale is None
            else f"intensities on 0 to 1 (percentiles {scale.low:g} and {scale.high:g} of the clean image)"
        )
        planes = "volumes max-projected over z" if self.project else "mean over planes"
        fit = ", scale and offset fitted by least squares" if self.fit == "affine" else ""
        return (
            f"{units}, {planes}{fit}; SSIM with {_told(self.ssim_range)}, PSNR with {_told(self.psnr_range)}"
        )


AUTHORS = Definition()
"""Definition of the paper's authors: SSIM with the joint range, PSNR with range 1, on normalised and
max-projected images."""
AUTHORS_STORED = Definition(normalisation=None)
"""Definition of the paper's authors for images that were normalised before they were stored, as in CARE's
.npz files, from which the paper's table is made."""


class Scores(NamedTuple):
    """Figures of one image.

    Attributes:
        ssim: 1 for an exact prediction.
        psnr: in dB, and infinite for an exact prediction.
        mse: in the squared units of the definition.
    """

    ssim: float
    psnr: float
    mse: float


class NoiseLevels(NamedTuple):
    """Standard deviations of white noise in raw units, for images that have no clean side.

    Noise that is left after denoising says nothing of what else was taken away: a constant image has 0.
    """

    noise_before: float
    noise_after: float


def score(prediction: Stack, clean: Stack, definition: Definition, is_volume: bool) -> Scores:
    """Compare a prediction with the clean image.

    SSIM is that of Wang et al. (2004) with scikit-image's defaults: a uniform 7 x 7 window, sample
    covariance, K1 = 0.01, K2 = 0.03, borders left out.

    Args:
        prediction, clean: planes (N, H, W) in the same raw units.
        definition: of the metrics.
        is_volume: whether the planes are z sections of one volume.

    Raises:
        EvaluationError: the shapes differ, planes are smaller than the window, pixels are not finite, or
            the clean image is constant.
    """
    _check(prediction, clean)
    low, high = _scale(clean, definition.normalisation)
    if definition.project and is_volume:
        prediction, clean = (stack.max(axis=0, keepdims=True) for stack in (prediction, clean))
    compared, truth = ((stack.astype(np.float64) - low) / (high - low) for stack in (prediction, clean))
    if definition.fit == "affine":
        compared = _fitted(compared, truth)
    figures = [_plane_scores(*planes, definition) for planes in zip(compared, truth, strict=True)]
    return Scores(*(float(figure) for figure in np.mean(figures, axis=0)))


def noise_levels(noisy: Stack, prediction: Stack) -> NoiseLevels:
    """Noise of an image before and after denoising, which can be measured without a clean image.

    Args:
        noisy, prediction: planes (N, H, W) in raw units.
    """
    return NoiseLevels(noise_std(list(noisy)), noise_std(list(prediction)))


def _check(prediction: Stack, clean: Stack) -> None:
    if prediction.shape != clean.shape:
        raise EvaluationError(
            f"the prediction has shape {prediction.shape} and the clean image {clean.shape}; they must agree"
        )
    if min(clean.shape[1:]) < WINDOW:
        raise EvaluationError(f"planes of {clean.shape[1:]} pixels; SSIM needs {WINDOW} x {WINDOW} or more")
    for side, stack in (("prediction", prediction), ("clean image", clean)):
        if not np.isfinite(stack).all():
            raise EvaluationError(f"the {side} holds NaN or infinite pixels; leave the image out")


def _scale(clean: Stack, normalisation: Normalisation | None) -> tuple[float, float]:
    """Intensities that become 0 and 1."""
    if normalisation is None:
        return 0.0, 1.0
    windows = sample_windows(len(clean), (clean.shape[1], clean.shape[2]))
    intensity = normalisation.of([clean[window] for window in windows])
    if intensity.is_constant:
        raise _constant()
    return intensity.low, intensity.high


def _fitted(prediction: Planes, clean: Planes) -> Planes:
    """The prediction by the scale and offset of least squares; a constant one becomes the clean mean."""
    deviation = prediction - prediction.mean()
    variance = np.mean(deviation**2)
    scale = np.mean(deviation * (clean - clean.mean())) / variance if variance > 0 else 0.0
    return deviation * scale + clean.mean()


def _plane_scores(prediction: Planes, clean: Planes, definition: Definition) -> Scores:
    if clean.min() == clean.max():
        raise _constant()
    low, high = min(prediction.min(), clean.min()), max(prediction.max(), clean.max())
    ssim_range, psnr_range = (
        high - low if data_range == "joint" else data_range
        for data_range in (definition.ssim_range, definition.psnr_range)
    )
    with np.errstate(divide="ignore"):  # an exact prediction
        psnr = peak_signal_noise_ratio(clean, prediction, data_range=psnr_range)
    ssim = structural_similarity(clean, prediction, win_size=WINDOW, data_range=ssim_range)
    return Scores(ssim, psnr, mean_squared_error(clean, prediction))


def _constant() -> EvaluationError:
    return EvaluationError(
        "the clean image, or a plane of it, is constant, and SSIM says nothing of such; leave it out"
    )


def _told(data_range: Range) -> str:
    return "joint range (max − min of both)" if data_range == "joint" else f"data range {data_range:g}"
