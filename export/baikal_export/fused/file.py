"""Writing a fused sampler, and proving it equal to the NumPy one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx

from baikal_deploy._version import __version__
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.diffusion.samplers.matched import Matched
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.host.durable import whole_file
from baikal_deploy.models.manifest import FUSED_KEY, ModelManifest, Stored, read_manifest
from baikal_deploy.models.onnx_file import file_sha256
from baikal_export.fused.base import FusedSampler
from baikal_export.fused.matched.sampler import FusedMatched
from baikal_export.fused.walks import FusedWalk

TOLERANCES: dict[Stored, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 1e-2}
"""Largest difference from the NumPy sampler, on the network's scale, where an image spans [−1, 1]; by
the network's precision, since there a last bit of fp32 can tip a value to the next one of fp16 or int8."""


def parse(text: str, manifest: ModelManifest) -> FusedSampler:
    """The sampler that a text asks for.

    Args:
        text: "NAME,key=value,…", such as "repaint,steps=walk10"; options that it does not name
            are those that the model recommends.
        manifest: of the model.

    Raises:
        ConfigError: a text of another form, an unknown sampler or option, options that do not fit
            the model, or a model in a precision that ONNX Runtime's CPU provider cannot compute.
    """
    if manifest.precision not in TOLERANCES:
        raise ConfigError(
            f"--fused-sampler {text}: not for model {manifest.name} in {manifest.precision}, which ONNX "
            f"Runtime's CPU provider cannot compute; choose --precision {', '.join(TOLERANCES)}"
        )
    name, options = _options(text)
    fuse = options.pop("fuse", None) if name == "matched" else None
    if fuse not in (None, "live"):
        raise ConfigError(f"--fused-sampler {text}: fuse must be live, or left out")
    sampler = make_sampler(name, options, manifest.recommended.get(name, {}))
    if isinstance(sampler, Matched) and sampler.noise == "signal":
        return FusedMatched.of(name, sampler, manifest, "told" if fuse is None else "live")
    if fuse is not None or not isinstance(sampler, WalkSampler) or sampler.noise != "uniform":
        raise ConfigError(
            f"--fused-sampler {text}: only matched, and walks at one noise level can be fused: "
            "forward-backward, mixing, repaint, or posterior,noise=uniform"
        )
    return FusedWalk.of(name, sampler, manifest)


def _options(text: str) -> tuple[str, dict[str, str]]:
    """The sampler's name, and its options by name."""
    name, *pairs = text.split(",")
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or key in options:
            raise ConfigError(
                f"--fused-sampler {text}: '{pair}'; write NAME,KEY=VALUE,… with each key once, "
                "such as repaint,steps=walk10"
            )
        options[key] = value
    return name, options


def write(fused: FusedSampler, model: Path, path: Path) -> float:
    """Write ``path``, after proving it equal to the NumPy sampler with ``model`` on ONNX Runtime's CPU.

    Args:
        fused: made for this model.
        model: .onnx file of the model.
        path: of the file to write.

    Returns:
        The largest difference, on the network's scale, of two planes at up to three noise levels.

    Raises:
        ModelError: the file cannot be written, or the results differ by more than TOLERANCES. Nothing
            is left at ``path`` then but what was there before.
    """
    manifest = read_manifest(model)
    graph = fused.build(onnx.load(model), manifest)
    graph.metadata_props.add(key=FUSED_KEY, value=json.dumps(_description(fused, manifest, model)))
    onnx.checker.check_model(graph, full_check=True)
    try:
        with whole_file(path) as partial:
            onnx.save(graph, partial)
            difference = fused.largest_difference(model, partial)
            if not difference <= (allowed := TOLERANCES[manifest.precision]):
                raise ModelError(
                    f"{path}: not written; the graph and the NumPy sampler differ by {difference:.1e}, "
                    f"more than {allowed:.0e}"
                )
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from error
    return difference


def _description(fused: FusedSampler, manifest: ModelManifest, model: Path) -> dict[str, Any]:
    """Metadata of the file; not a manifest, since it is not a model of baikal-run."""
    return {
        "model": {"name": manifest.name, "sha256": file_sha256(model)},
        "sampler": fused.name,
        **fused.description(),
        "version": __version__,
    }
