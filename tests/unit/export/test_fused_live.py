"""The live form of the fused sampler matched: its state goes in and out, and equals that of the runtime."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.neighbours import measure_stream_gate, unfused
from baikal_deploy.errors import ConfigError
from baikal_deploy.live.past import Past
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.screen import NOTHING_WRONG
from baikal_deploy.models.manifest import find_model, read_manifest
from baikal_export.fused import parse, write
from baikal_export.fused.matched.inputs import beginning, told, told_gate
from baikal_export.fused.matched.sampler import FusedMatched
from tests.models import exported
from tests.unit.export.test_fused_matched import INTENSITY, LINES, SHOT, TOLERANCE, session_of

GATE = Gate(0.05, ((0.5, 0.05), (1.0, 0.1), (2.0, 0.4)), {"t": 2.25}, {"t": 0.3})
NOISES = {
    "shot": SHOT,
    "uniform": NoiseModel.uniform(90.0),
    "none": NoiseModel.uniform(0.0),
    "lines": LINES,
}
MANIFEST = read_manifest(exported())
SHAPE = (37, 54)


@cache
def fused() -> onnxruntime.InferenceSession:
    return session_of(parse("matched,fuse=live", MANIFEST).build(onnx.load(exported()), MANIFEST))


def stream() -> list[np.ndarray]:
    """Frames of a scene, whose right part changes with the last one."""
    random = np.random.default_rng(3)
    clean = random.uniform(300, 1900, (10, 14)).repeat(4, 0).repeat(4, 1)[: SHAPE[0], : SHAPE[1]]
    frames = [clean + random.normal(0, 12, SHAPE) for _ in range(4)]
    frames[-1][:, 30:] += 700
    return [frame.astype(np.float32) for frame in frames]


def given(frame: np.ndarray, noise: NoiseModel) -> dict[str, np.ndarray]:
    return {"image": frame[None, None], **told(INTENSITY, noise), **told_gate(GATE)}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES.keys())
def test_equals_the_runtime(noise: NoiseModel) -> None:
    past, state = None, beginning(*SHAPE)
    with Denoiser.load(exported(), "onnx-cpu", threads=1) as denoiser:
        chosen = parse("matched,fuse=live", MANIFEST)
        assert isinstance(chosen, FusedMatched)
        found = Measurement(INTENSITY, noise.level, 0, noise, gate=GATE)
        recipe = denoiser.recipe(chosen.sampler, found, 0)
        for frame in stream():
            past = Past.of(past, unfused(denoiser, recipe, frame[None])[0], recipe)
            result, *kept = fused().run(None, given(frame, noise) | state)
            state = dict(zip(state, kept, strict=True))
            expected = INTENSITY.denormalise(past.running.estimate.plane, np.float32)
            assert np.abs(result[0, 0] - expected).max() <= TOLERANCE * INTENSITY.half
            np.testing.assert_allclose(state["frames"][0, 0], past.running.frames, rtol=0, atol=2e-3)
    frames = state["frames"][0, 0]
    assert noise.level == 0 or frames[:, :10].mean() > 1.5 * frames[:, 44:].mean()


def test_frame_of_one_value_is_copied_and_begins_anew() -> None:
    begun = beginning(*SHAPE)
    _, *kept = fused().run(None, given(stream()[0], SHOT) | begun)
    state = dict(zip(begun, kept, strict=True))
    dark = np.full(SHAPE, 7, np.float32)
    result, *_, frames = fused().run(None, given(dark, SHOT) | state)
    np.testing.assert_array_equal(result[0, 0], dark)
    assert not frames.any()


@pytest.mark.parametrize("name", ["correlation", "kernel", "gate", "shares"])
def test_numbers_that_are_not_told_give_no_result(name: str) -> None:
    known = given(stream()[0], SHOT) | beginning(*SHAPE)
    result, *_ = fused().run(None, known | {name: np.full_like(known[name], np.nan)})
    assert np.isnan(result).all()


def test_file_and_refusals(tmp_path: Path) -> None:
    chosen = parse("matched,fuse=live", MANIFEST)
    assert chosen.path(tmp_path / "net.onnx") == tmp_path / "net-matched-live.onnx"
    assert write(chosen, exported(), tmp_path / "live.onnx") <= TOLERANCE
    with pytest.raises(ConfigError, match="fuse must be live, or left out"):
        parse("matched,fuse=t", MANIFEST)
    with pytest.raises(ConfigError, match="only matched"):
        parse("matched,fuse=live,noise=uniform", MANIFEST)


@pytest.mark.slow
def test_real_stream(shared_data: Path) -> None:
    """With the shipped model and a gate that was measured, at a size that is no multiple of anything."""
    model = find_model("general")
    files = sorted((shared_data / "fmd_paired").glob("TwoPhoton_MICE_raw*.png"))[:3]
    frames = [np.asarray(Image.open(file))[:331, :257] for file in files]
    chosen = parse("matched,fuse=live", read_manifest(model))
    assert isinstance(chosen, FusedMatched)
    graph = session_of(chosen.build(onnx.load(model), read_manifest(model)))
    past, state = None, beginning(331, 257)
    with Denoiser.load(model, "onnx-cpu") as denoiser:
        measured = denoiser.measure(frames, chosen.sampler)
        gate = measure_stream_gate(denoiser, denoiser.recipe(chosen.sampler, measured, 0), frames[:2])
        found = Measurement(measured.intensity, measured.sigma, 0, measured.noise, NOTHING_WRONG, gate=gate)
        recipe = denoiser.recipe(chosen.sampler, found, 0)
        assert found.noise is not None
        for frame in frames:
            past = Past.of(past, unfused(denoiser, recipe, frame[None])[0], recipe)
            inputs = told(found.intensity, found.noise) | told_gate(gate) | state
            result, *kept = graph.run(None, inputs | {"image": frame[None, None].astype(np.float32)})
            state = dict(zip(state, kept, strict=True))
            expected = found.intensity.denormalise(past.running.estimate.plane, np.float32)
            assert np.abs(result[0, 0] - expected).max() <= TOLERANCE * found.intensity.half
    assert past is not None
    assert past.frames > 1.4
