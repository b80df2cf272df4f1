"""Nuclei as they are counted and measured in noisy, denoised and clean images, and objects in empty fields.

    python benchmarks/counting.py PAIRS [--model NAME ...]

One rule for all images of a pair: the clean image's threshold (Otsu's, of the logarithm: that of the
intensities parts bright chromocentres from the rest of a nucleus), holes filled, a watershed on distances to
the background, no object smaller than SMALLEST. The clean image, often the mean of many exposures during
which the stain bleaches, is first brought to the brightness of the noisy one by scale and offset (least
squares, without what is so bright that the noisy image is saturated there).
Objects that touch the rim count. "area" is the share of the image that objects cover, in per cent;
"found" the share of the clean image's nuclei that some object overlaps by half of both together.

Empty fields are background alone with the noise of a camera. An object there is as large as one elsewhere
and stands out by EMPTY_CONTRAST standard deviations of the noise; a speck does, and may be a single pixel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from baikal_deploy import Denoiser
from baikal_evaluation.pairs import find_pairs
from baikal_training.camera import Camera

SMALLEST = 30
"""Pixels of an object."""
APART = 7
"""Pixels between the middles of two objects."""
HALF = 0.5
CLIPPED = 5
"""Percentile of the clean plane, where the noisy one has its largest value, above which that is saturated."""
SMOOTH = 1
"""Sigma in pixels of the distances that are parted, so that a ragged rim does not split a nucleus."""
EMPTY_SIDE, EMPTY_FIELDS, EMPTY_LEVEL, EMPTY_CONTRAST = 256, 8, 0.2, 1.0
"""Side in pixels, number, intensity of 1; and the threshold in standard deviations of the noise."""

Plane = np.ndarray


def objects(image: Plane, threshold: float) -> Plane:
    """Labels (H, W) of the objects brighter than a threshold, without holes; 0 is background."""
    parts, count = label(binary_fill_holes(image > threshold))
    large = np.bincount(parts.ravel(), minlength=count + 1) >= SMALLEST
    parts *= large[parts]
    distance = gaussian_filter(distance_transform_edt(parts > 0), SMOOTH)
    peaks = peak_local_max(distance, min_distance=APART, labels=parts)
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = watershed(-distance, markers, mask=parts > 0)
    found *= (np.bincount(found.ravel()) >= SMALLEST)[found]
    return found


def recovered(found: Plane, clean: Plane) -> float:
    """Share of the clean objects that an object overlaps by HALF of both together."""
    pairs, both = np.unique(np.stack([clean.ravel(), found.ravel()]), axis=1, return_counts=True)
    sizes = [np.bincount(labels.ravel()) for labels in (clean, found)]
    union = sizes[0][pairs[0]] + sizes[1][pairs[1]] - both
    good = (both > HALF * union) & (pairs > 0).all(axis=0)
    return float(good.sum() / max(len(np.unique(clean)) - 1, 1))


def as_bright(clean: Plane, noisy: Plane) -> Plane:
    """The clean plane with the scale and offset that fit it best to the unsaturated noisy one."""
    # Chosen by the clean plane: without the saturated pixels alone, the rest of a place is too dark.
    told = clean <= np.percentile(clean[noisy == noisy.max()], CLIPPED)
    scale, offset = np.polyfit(clean[told], noisy[told].astype(np.float64), 1)
    return np.asarray(scale * clean + offset)


def between(clean: Plane) -> float:
    """The brightness that parts nuclei from background: Otsu's, of the logarithm."""
    return float(np.expm1(threshold_otsu(np.log1p(np.maximum(clean, 0)))))


def row(name: str, what: str, image: Plane, clean: Plane, threshold: float) -> None:
    found = objects(image, threshold)
    count, area = len(np.unique(found)) - 1, 100 * (found > 0).mean()
    print(f"| {name} | {what} | {count} | {area:.2f} | {recovered(found, clean):.2f} |", flush=True)


def counted(pairs: Path, denoisers: dict[str, Denoiser]) -> None:
    print("| image | | nuclei | area, % | found |\n|---|---|---|---|---|")
    for pair in find_pairs(pairs):
        noisy, clean = pair.read()
        assert clean is not None, "counting needs the clean side"
        for plane, stored in zip(noisy, clean.astype(np.float64), strict=True):
            truth = as_bright(stored, plane)
            threshold = between(truth)
            known = objects(truth, threshold)
            row(pair.name, "clean", truth, known, threshold)
            row(pair.name, "noisy", plane, known, threshold)
            for model, denoiser in denoisers.items():
                row(pair.name, model, denoiser.denoise(plane, dtype=np.float64), known, threshold)


def empty(denoisers: dict[str, Denoiser]) -> None:
    print("\n| empty fields | objects | specks |\n|---|---|---|")
    background = np.full((EMPTY_SIDE, EMPTY_SIDE), EMPTY_LEVEL, np.float32)
    fields = [Camera().expose(background, seed) for seed in range(EMPTY_FIELDS)]
    threshold = float(np.mean(fields[0]) + EMPTY_CONTRAST * np.std(fields[0]))
    for model, denoiser in denoisers.items():
        results = [denoiser.denoise(field, dtype=np.float64) for field in fields]
        found = sum(len(np.unique(objects(result, threshold))) - 1 for result in results)
        specks = sum(label(result > threshold)[1] for result in results)
        print(f"| {model} | {found} | {specks} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--model", nargs="+", default=["nuclei"])
    args = parser.parse_args()
    denoisers = {model: Denoiser.load(model) for model in args.model}
    counted(args.pairs, denoisers)
    empty(denoisers)


if __name__ == "__main__":
    main()
