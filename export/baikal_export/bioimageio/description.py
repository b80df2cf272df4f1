"""The description of a package: bioimageio.yaml and README.md.

Fields are those of the model description 0.5 (https://bioimage-io.github.io/spec-bioimage-io).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from baikal_deploy._version import __version__
from baikal_deploy.models.manifest import ModelManifest

FORMAT = "0.5.4"
LEAST_SIDE = 16
"""Pixels of a side that the package asks for, at least: of fewer nothing can be measured."""
_LICENCES = ("BSD-3-Clause", "Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0")
"""Licences that are found in the words of a card, by their SPDX identifiers."""
_CITED = [
    {
        "text": "Chaudhary, S., Sankarapandian, S., Sooknah, M., Pai, J., McCue, C., Chen, Z., Xu, J.: "
        "Baikal: Unpaired Denoising of Fluorescence Microscopy Images using Diffusion Models. MICCAI 2024.",
        "doi": "10.1101/2024.06.04.597486",  # of the preprint
    },
    {
        "text": "Ho, J., Jain, A., Abbeel, P.: Denoising diffusion probabilistic models (2020).",
        "doi": "10.48550/arXiv.2006.11239",
    },
]


def described(
    manifest: ModelManifest, files: Mapping[str, bytes], opset: int, time: datetime
) -> dict[str, Any]:
    """The contents of bioimageio.yaml.

    Args:
        manifest: of the model.
        files: of the package, by name.
        opset: of the graph.
        time: when it is made.
    """

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    name = re.sub(r"[^A-Za-z0-9_+ ()-]", " ", manifest.name)
    licence = _licence(manifest)
    return {
        "type": "model",
        "format_version": FORMAT,
        "name": f"Baikal denoiser {name}"[:64],
        "description": "Denoises a plane of a fluorescence microscope at the noise level that it measures.",
        "authors": [{"name": "the Baikal Deploy developers"}],
        "cite": _CITED,
        **({} if licence is None else {"license": licence}),
        "tags": ["denoising", "restoration", "fluorescence-light-microscopy", "2d", "diffusion"],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "timestamp": time.isoformat(),
        "inputs": [_tensor("image", "raw pixels of one channel, of any camera", file("test_input.npy"))],
        "outputs": [_tensor("denoised", "in the units of the image", file("test_output.npy"), of="image")],
        "weights": {"onnx": {**file("model.onnx"), "opset_version": opset}},
        "config": {"baikal": {"version": __version__, "model": manifest.name}},
    }


def _tensor(name: str, words: str, test: dict[str, str], of: str | None = None) -> dict[str, Any]:
    def size(axis: str) -> dict[str, Any]:
        return {"min": LEAST_SIDE, "step": 1} if of is None else {"tensor_id": of, "axis_id": axis}

    axes = [{"type": "space", "id": axis, "size": size(axis)} for axis in "yx"]
    return {
        "id": name,
        "description": words,
        "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["intensity"]}, *axes],
        "data": {"type": "float32"},
        "test_tensor": test,
    }


def _licence(manifest: ModelManifest) -> str | None:
    words = manifest.card.get("licence", "")
    places = {words.find(name): name for name in _LICENCES if name in words}
    model = words.find("Model:")  # a card may tell that of the images first
    after = [place for place in places if place > model]
    return places[min(after or places)] if places else None


def readme(manifest: ModelManifest, noisy_db: float, denoised_db: float) -> str:
    """The contents of README.md.

    Args:
        manifest: of the model.
        noisy_db, denoised_db: PSNR of the test image, before and after.
    """
    card = "\n".join(f"- **{name}**: {words}" for name, words in manifest.card.items())
    return f"""# Baikal denoiser {manifest.name}

Denoises planes of a fluorescence microscope: raw grey values in, grey values out, of any size from
{LEAST_SIDE} x {LEAST_SIDE} pixels. The file measures intensities and noise of the image itself (gain, read
noise, and whether neighbouring pixels share it): nothing is to be normalised before, and nothing to be set.

- Give it **whole images** of one channel. Tiles are measured each on its own, and may differ at their
  borders. Fine structure that fills a small crop can be taken for noise. Memory grows with the image.
- Values must be raw or at least linear: not stretched.
- The planes of one call are measured together.
- A diffusion model can invent detail that is plausible where the data says nothing. Do not measure texture
  on strongly denoised images.

## The model

{card or "The model has no card."}

## Validation

A simulated plane of {noisy_db:.1f} dB PSNR comes out at {denoised_db:.1f} dB; it is the test tensor of this
package. The graph was compared with the runtime when it was written, by Baikal Deploy {__version__}, whose
docs/results.md compares the runtime with other methods on real pairs of noisy and clean images.
"""
