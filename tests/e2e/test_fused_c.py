"""A program in C runs a whole sampler with one call of ONNX Runtime."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy import stats

from baikal_deploy.models.manifest import read_manifest
from baikal_export.fused import parse, write
from tests.capabilities import require
from tests.models import exported

EXAMPLES = Path(__file__).parents[2] / "examples"
HEADER = Path(__file__).parent / "fused_c"
LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))
HEIGHT, WIDTH, LOW, HIGH, SIGMA = 23, 37, 100, 1100, 130
AUTOMATIC, FIXED = "repaint,steps=walk3", "mixing,start=60,stop=20,steps=walk3"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled example."""
    return compiled("fused_sampler", tmp_path_factory.mktemp("fused_c"))


def compiled(name: str, folder: Path) -> Path:
    """An example in C, compiled and linked with the library of the Python package."""
    require("links")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip(f"there is no C compiler (cc) to build examples/{name}.c with")
    for library in ("libonnxruntime.so", "libonnxruntime.so.1"):  # to link with, and to load
        (folder / library).symlink_to(LIBRARY)
    strict = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    linked = ["-L", folder, f"-Wl,-rpath,{folder}", "-lonnxruntime", "-lm"]
    command = [compiler, *strict, "-I", HEADER, EXAMPLES / f"{name}.c", *linked, "-o", folder / name]
    subprocess.run(command, check=True)
    return folder / name


@pytest.fixture(params=[AUTOMATIC, FIXED])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A fused sampler that takes sigma, and one that does not."""
    return fused(request.param, tmp_path)


def fused(text: str, folder: Path) -> Path:
    write(parse(text, read_manifest(exported())), exported(), folder / "fused.onnx")
    return folder / "fused.onnx"


def save(path: Path, values: np.ndarray) -> Path:
    path.write_bytes(values.astype("<f4").tobytes())
    return path


def image(folder: Path) -> Path:
    pixels = np.random.default_rng(0).normal(600, 200, (HEIGHT, WIDTH))
    return save(folder / "plane.raw", pixels)


def run(program: Path, model: Path, *rest: object) -> subprocess.CompletedProcess[str]:
    """The program on ``image``; ``rest`` are the arguments after SIGMA."""
    files = [model, image(model.parent), model.parent / "result.raw"]
    words = [program, *files, HEIGHT, WIDTH, LOW, HIGH, SIGMA, *rest]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


def result_of(model: Path) -> np.ndarray:
    return np.fromfile(model.parent / "result.raw", dtype="<f4").reshape(HEIGHT, WIDTH)


def test_c_program_gets_what_python_gets(program: Path, model: Path) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = {one.name: one.shape for one in session.get_inputs()}
    noise = np.random.default_rng(1).standard_normal((inputs["noise"][0], 1, 1, HEIGHT, WIDTH), dtype="f4")
    done = run(program, model, save(model.parent / "noise.raw", noise))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{HEIGHT} x {WIDTH} pixels, {len(noise)} planes of noise" in done.stdout
    feed = {
        "image": np.fromfile(image(model.parent), dtype="<f4").reshape(1, 1, HEIGHT, WIDTH),
        "noise": noise,
        "intensity": np.array([LOW, HIGH], dtype=np.float32),
        "sigma": np.array(SIGMA, dtype=np.float32),
    }
    (expected,) = session.run(None, {name: feed[name] for name in inputs})
    assert np.std(expected) > 10
    np.testing.assert_allclose(result_of(model), expected[0, 0], rtol=0, atol=1e-4 * (HIGH - LOW) / 2)


def test_noise_that_the_program_draws_is_standard_normal(program: Path, tmp_path: Path) -> None:
    """With a model that returns the last of its noise planes."""
    graph = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        last (float[N,1,H,W] image, float[7,N,1,H,W] noise, float[2] intensity) => (float[N,1,H,W] denoised)
        <int64 six = {6}> { denoised = Gather (noise, six) }""")
    onnx.save(graph, tmp_path / "last.onnx")
    assert run(program, tmp_path / "last.onnx").returncode == 0
    noise = result_of(tmp_path / "last.onnx").ravel()
    assert stats.kstest(noise, "norm").pvalue > 0.01
    assert all(abs(np.corrcoef(noise[lag:], noise[:-lag])[0, 1]) < 0.1 for lag in (1, 2, WIDTH))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.onnx"], "usage: fused_sampler MODEL IMAGE"),
        (["none.onnx", "i.raw", "r.raw", 4, 4, 0, 1, 1], "ONNX Runtime: Load model from none.onnx failed"),
        (["none.onnx", "i.raw", "r.raw", 4, "x", 0, 1, 1], "x: must be a number of pixels"),
        (["none.onnx", "i.raw", "r.raw", 4, 4, 0, "", 1], "must be a number"),
    ],
)
def test_mistakes_end_in_one_line(program: Path, words: list[object], message: str) -> None:
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("planes", [1, 99])
def test_noise_of_another_size_is_refused(planes: int, program: Path, tmp_path: Path) -> None:
    noise = save(tmp_path / "noise.raw", np.zeros((planes, HEIGHT, WIDTH)))
    done = run(program, fused(FIXED, tmp_path), noise)
    assert done.returncode == 1
    assert "noise.raw: is not of the size" in done.stderr
