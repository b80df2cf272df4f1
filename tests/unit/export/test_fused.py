"""A fused sampler equals the runtime's, whatever its options, and a file that does not is never kept."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from baikal_deploy._version import __version__
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.random_field import noise_source
from baikal_deploy.diffusion.samplers.repaint import Repaint
from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.models.manifest import FUSED_KEY, METADATA_KEY, ModelManifest, read_manifest
from baikal_deploy.models.onnx_file import file_sha256
from baikal_export.fused import parse, program, walks, write
from baikal_training.losses import Prediction
from tests.full_disk import full_disk
from tests.models import exported, tiny_checkpoint, tiny_manifest

TOLERANCE = 1e-4
INTENSITY = IntensityMap(130.0, 2130.0)
SEED = 3
MANIFEST = tiny_manifest(tiny_checkpoint())
LEVELS = MANIFEST.schedule.build().noise_levels
SHORT = "start=60,steps=walk4"
SAMPLERS = [
    "forward-backward",
    "forward-backward,preset=paper",
    "forward-backward,start=60,steps=50,clip=unit,variance=fixed_large",
    "mixing,start_scale=1.45,stop_scale=0.3,steps=walk5",
    "mixing,preset=paper",
    f"mixing,{SHORT},stop=20,mix=before,weights=constant,runs=2",
    f"mixing,{SHORT},stop=60",
    "repaint,steps=walk3",
    "repaint,preset=paper",
    f"repaint,{SHORT},stop=10,mix=before,interval=3,final_repeats=1,renoise=false",
    f"repaint,{SHORT},stop=10,interval=2,repeats=2,runs=3,variance=fixed_small",
]
NETWORKS: list[tuple[Prediction, Variance]] = [
    ("velocity", "fixed_small"),
    ("eps", "learned_range"),
]


class Fused:
    """A fused sampler in a session of its own."""

    def __init__(self, text: str, model: Path, folder: Path) -> None:
        self.text, self.model, self.path = text, model, folder / "fused.onnx"
        self.compiled = compiled(text, read_manifest(model))
        assert write(self.compiled, model, self.path) <= TOLERANCE
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.path, settings, providers=["CPUExecutionProvider"])

    @property
    def inputs(self) -> list[str]:
        return [one.name for one in self.session.get_inputs()]

    def denoise(self, planes: np.ndarray, sigma: float) -> np.ndarray:
        """With the noise that the runtime draws for SEED."""
        source = noise_source(SEED, range(len(planes)), planes.shape[1:], like=planes)
        feed = {
            "image": planes[:, None],
            "noise": np.stack([source(visit, draw) for visit, draw in self.compiled.program.draws]),
            "intensity": np.array([INTENSITY.low, INTENSITY.high], dtype=np.float32),
            "sigma": np.array(sigma, dtype=np.float32),
        }
        (result,) = self.session.run(None, {name: feed[name] for name in self.inputs})
        return result[:, 0]

    def expected(self, planes: np.ndarray, sigma: float) -> np.ndarray:
        """What the runtime makes of the planes."""
        with Denoiser.load(self.model, "onnx-cpu", threads=1, batch=len(planes)) as denoiser:
            recipe = denoiser.recipe(self.compiled.sampler, Measurement(INTENSITY, sigma, 0), SEED)
            return denoiser.run(recipe, Stack(planes, range(len(planes)))).planes

    def assert_equal(self, shape: tuple[int, ...], t_star: int) -> np.ndarray:
        planes, sigma = noisy(shape), LEVELS[t_star] / INTENSITY.normalised_sigma(1)
        result, expected = self.denoise(planes, sigma), self.expected(planes, sigma)
        assert difference(result, expected) <= TOLERANCE
        assert difference(result, planes) > 10 * TOLERANCE
        return result


def compiled(text: str, manifest: ModelManifest) -> walks.FusedWalk:
    made = parse(text, manifest)
    assert isinstance(made, walks.FusedWalk)
    return made


def noisy(shape: tuple[int, ...]) -> np.ndarray:
    y = 0.7 * np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    planes: np.ndarray = INTENSITY.denormalise(y, np.float32)
    return planes


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference, on the network's scale."""
    assert one.shape == other.shape
    return float(np.abs(INTENSITY.normalise(one) - INTENSITY.normalise(other)).max())


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fused]:
    """Fused samplers by text and model; each made once."""

    @functools.cache
    def make(text: str, prediction: Prediction = "velocity", variance: Variance = "fixed_small") -> Fused:
        return Fused(text, exported(prediction, variance), tmp_path_factory.mktemp("fused"))

    return make


@pytest.mark.parametrize("text", SAMPLERS)
@pytest.mark.parametrize(("prediction", "variance"), NETWORKS)
def test_fused_sampler_equals_the_runtime(
    text: str, prediction: Prediction, variance: Variance, fused: Callable[..., Fused]
) -> None:
    fused(text, prediction, variance).assert_equal((2, 19, 10), t_star=70)


@pytest.mark.parametrize("t_star", [0, 1, 12, 70, 300, 650, 999])
def test_walk_follows_the_noise_level(t_star: int, fused: Callable[..., Fused]) -> None:
    fused("mixing,start_scale=1.45,stop_scale=0.3,steps=walk5").assert_equal((1, 6, 7), t_star)


@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 2, 1), (3, 3, 2), (1, 4, 8), (2, 33, 31)])
def test_any_size_and_number_of_planes(shape: tuple[int, ...], fused: Callable[..., Fused]) -> None:
    fused(f"repaint,{SHORT},stop=10,interval=2,repeats=2,runs=3,variance=fixed_small").assert_equal(shape, 70)


def test_noise_level_is_rounded_to_the_nearest_timestep(fused: Callable[..., Fused]) -> None:
    sampler, planes = fused("forward-backward,steps=walk2"), noisy((1, 8, 8))
    below, above = LEVELS[40:42] / INTENSITY.normalised_sigma(1)
    at_40, at_41 = sampler.expected(planes, below), sampler.expected(planes, above)
    assert difference(at_40, at_41) > 10 * TOLERANCE
    for fraction, expected in [(0, at_40), (0.49, at_40), (0.51, at_41), (1, at_41)]:
        result = sampler.denoise(planes, below + fraction * (above - below))
        assert difference(result, expected) <= TOLERANCE


def test_noise_beyond_the_schedule_is_its_last_level(fused: Callable[..., Fused]) -> None:
    sampler, planes = fused("forward-backward,steps=walk2"), noisy((1, 8, 8))
    last = LEVELS[-1] / INTENSITY.normalised_sigma(1)
    np.testing.assert_array_equal(sampler.denoise(planes, 3 * last), sampler.denoise(planes, last))


@pytest.mark.parametrize(
    ("text", "reached", "beyond"),
    [("mixing,start_scale=1,stop=30,steps=walk3", 30, 29), ("forward-backward,steps=ddim10", 900, 901)],
)
def test_noise_level_that_the_sampler_cannot_start_at_is_an_error(
    text: str, reached: int, beyond: int, fused: Callable[..., Fused]
) -> None:
    """stop 30 lies above the start of small t*, and ddim10 keeps nothing above 900."""
    sampler = fused(text)
    sampler.assert_equal((1, 4, 4), reached)
    with pytest.raises(Exception, match="sampler_cannot_start_at_this_noise_level"):
        sampler.denoise(noisy((1, 4, 4)), LEVELS[beyond] / INTENSITY.normalised_sigma(1))


def test_sigma_is_an_input_only_where_something_depends_on_it(fused: Callable[..., Fused]) -> None:
    assert fused("repaint,steps=walk3").inputs == ["image", "noise", "intensity", "sigma"]
    assert fused("repaint,preset=paper").inputs == ["image", "noise", "intensity"]


def test_precision_that_the_result_cannot_be_proved_in_is_refused() -> None:
    manifest = dataclasses.replace(read_manifest(exported()), precision="bf16")
    with pytest.raises(ConfigError, match=r"in bf16, which .* choose --precision fp32, fp16, int8"):
        parse("repaint", manifest)


def test_file_is_valid_and_loads_without_a_word(
    fused: Callable[..., Fused], capfd: pytest.CaptureFixture[str]
) -> None:
    path = fused("repaint,steps=walk3", "eps", "learned_range").path
    onnx.checker.check_model(onnx.load(path), full_check=True)
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert capfd.readouterr() == ("", "")


def test_file_says_what_it_is(fused: Callable[..., Fused]) -> None:
    sampler = fused(f"repaint,{SHORT},stop=10,interval=2,repeats=2,runs=3,variance=fixed_small")
    metadata = {entry.key: entry.value for entry in onnx.load(sampler.path).metadata_props}
    assert METADATA_KEY not in metadata
    facts = json.loads(metadata[FUSED_KEY])
    assert facts["model"] == {"name": "tiny", "sha256": file_sha256(exported())}
    assert (facts["sampler"], facts["version"]) == ("repaint", __version__)
    assert Repaint(**facts["options"]) == sampler.compiled.sampler
    assert facts["nfe"] == {"least": 24, "most": 24}
    assert len(facts["noise"]) == sampler.session.get_inputs()[1].shape[0]
    assert facts["noise"][:3] == [[0, 0], [1, 0], [1, 1]]


def test_fused_file_is_no_model_of_the_runtime(fused: Callable[..., Fused]) -> None:
    with pytest.raises(ModelError, match="not a network; give the model that it was made of"):
        read_manifest(fused("repaint,steps=walk3").path)


@pytest.mark.parametrize("text", ["mixing,steps=walk5", "repaint,steps=50,start_scale=0.3", "mixing,runs=2"])
def test_program_evaluates_as_often_as_the_sampler(text: str) -> None:
    made, full = compiled(text, MANIFEST), MANIFEST.schedule.build()
    for t_star in (0, 3, 40, 333, 999):
        resolved = made.sampler.resolved(float(t_star), len(full), MANIFEST.variance)
        evaluations = made.program.evaluations[made.program.walk_of[t_star]]
        assert evaluations == resolved.nfe(resolved.respace(full))


def test_recommended_options_are_the_defaults() -> None:
    recommended = {"mixing": {"start": 90, "w_start": 0.9}, "repaint": {"start": 10}}
    manifest = dataclasses.replace(MANIFEST, recommended=recommended)
    sampler = compiled("mixing,w_start=0.4,stop=7", manifest).sampler
    assert (sampler.start, vars(sampler)["w_start"], vars(sampler)["stop"]) == (90, 0.4, 7)
    assert compiled("mixing,preset=paper", manifest).sampler.start == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown sampler ''"),
        ("inpaint", "unknown sampler 'inpaint'; choose one of auto, forward-backward"),
        ("repaint,", "--fused-sampler repaint,: ''; write NAME,KEY=VALUE"),
        ("repaint,steps", "--fused-sampler repaint,steps: 'steps'; write NAME,KEY=VALUE"),
        ("repaint,=3", "'=3'; write NAME,KEY=VALUE"),
        ("repaint,start=3,start=4", "'start=4'; write NAME,KEY=VALUE,… with each key once"),
        ("repaint,speed=3", "sampler repaint: no option 'speed'"),
        ("repaint,start=soon", "sampler repaint: option start=soon"),
        ("repaint,steps=fast", "steps 'fast': give N, ddimN or walkN"),
        ("repaint,start=1000", "start 1000: out of range; the model allows 1 … 999"),
        ("mixing,start=50,stop=51", "stop 51: out of range; it must not lie above start 50"),
        ("mixing,start=985,steps=ddim50", "start 985: out of range; steps 'ddim50' end at 980"),
        ("mixing,variance=learned_range", "'learned_range' needs a model with a variance output"),
    ],
)
def test_refused_texts(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text, MANIFEST)


def test_walks_too_long_to_hold_them_all_are_refused() -> None:
    with pytest.raises(ConfigError, match="make 1501548 evaluations, more than 150000; give start"):
        parse("repaint,steps=1000", MANIFEST)
    parse("repaint,steps=1000,start=100,stop=50", MANIFEST)


def test_file_lies_beside_the_model() -> None:
    compiled = parse("forward-backward,start=9", MANIFEST)
    assert compiled.path(Path("out") / "my.model.onnx") == Path("out") / "my.model-forward-backward.onnx"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "fused.onnx"
    path.write_bytes(b"the old file")
    return path


def refused(path: Path, message: str) -> None:
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(ModelError, match=message) as caught:
        write(parse(f"repaint,{SHORT},stop=10", MANIFEST), exported(), path)
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.exists() else None) == before
    assert not list(path.parent.glob("*.partial"))


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Multiply the last x_0 in the graphs that are written by a factor."""
    build = walks.build

    def spoiled(factor: float, *arguments: Any) -> onnx.ModelProto:
        model = build(*arguments)
        (table,) = (one for one in model.graph.initializer if one.name == "table")
        values = onnx.numpy_helper.to_array(table).copy()
        values[-1, program.Instruction._fields.index("of_z")] *= factor
        table.CopyFrom(onnx.numpy_helper.from_array(values, "table"))
        return model

    return lambda factor: monkeypatch.setattr(walks, "build", functools.partial(spoiled, factor))


def test_unspoiled_graph_is_written(spoil: Callable[[float], None], old: Path) -> None:
    """The control of the refusals below. A program that has the old file open keeps it."""
    open_elsewhere = old.with_name("link.onnx")
    open_elsewhere.hardlink_to(old)
    spoil(1.0)
    assert write(parse(f"repaint,{SHORT},stop=10", MANIFEST), exported(), old) <= TOLERANCE
    onnx.checker.check_model(onnx.load(old))
    assert open_elsewhere.read_bytes() == b"the old file"


@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_graph_that_differs_is_refused_and_the_old_file_stays(
    factor: float, spoil: Callable[[float], None], old: Path
) -> None:
    spoil(factor)
    refused(old, "not written; the graph and the NumPy sampler differ by .* more than 1e-04")


def test_network_of_a_lower_precision_may_differ_more(spoil: Callable[[float], None], tmp_path: Path) -> None:
    """With the fp32 network, which only says that it is another one."""
    manifest = dataclasses.replace(MANIFEST, precision="fp16")
    model = onnx.load(exported())
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    onnx.save(model, tmp_path / "half.onnx")
    compiled = parse(f"repaint,{SHORT},stop=10", manifest)
    spoil(1.001)
    assert 1e-4 < write(compiled, tmp_path / "half.onnx", tmp_path / "fused.onnx") < 1e-2
    spoil(1.1)
    with pytest.raises(ModelError, match="more than 1e-02"):
        write(compiled, tmp_path / "half.onnx", tmp_path / "fused.onnx")


def test_full_disk_leaves_the_old_file(old: Path) -> None:
    with full_disk(1000):
        refused(old, "cannot be written")


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "gone" / "fused.onnx", "cannot be written")
