"""Programs in C, C# and Java call the fused sampler matched."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from baikal_deploy.models.manifest import read_manifest
from baikal_export.fused import parse, write
from tests.e2e.test_fused_c import EXAMPLES, compiled
from tests.models import exported

HERE = Path(__file__).parent
HEIGHT, WIDTH = 23, 37
KNOWN = [100.0, 1100.0, 4.0, -250.0, 300.0]
DISTANCES = np.arange(-12, 13)
SHARED = [1.6, 2.4, 0.05, 0.01, *np.exp(-np.add.outer(DISTANCES**2, DISTANCES**2 / 4)).ravel()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled example in C, the graph, and a plane."""
    made = tmp_path_factory.mktemp("fused_matched")
    compiled("fused_matched", made)
    write(parse("matched", read_manifest(exported())), exported(), made / "matched.onnx")
    plane = np.random.default_rng(0).normal(600, 200, (HEIGHT, WIDTH))
    (made / "plane.raw").write_bytes(plane.astype("<f4").tobytes())
    return made


def run(folder: Path, *rest: object) -> subprocess.CompletedProcess[str]:
    files = [folder / "matched.onnx", folder / "plane.raw", folder / "result.raw"]
    words = [folder / "fused_matched", *files, HEIGHT, WIDTH, *rest]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


def numbers(folder: Path, words: Sequence[object]) -> list[Path]:
    if not words:
        return []
    (folder / "numbers.txt").write_text("\n".join(map(str, words)))
    return [folder / "numbers.txt"]


@pytest.mark.parametrize(
    "known",
    [KNOWN, [*KNOWN, 1, 1, 0, 0], [*KNOWN[:2], math.nan, math.nan, math.nan], [], [*KNOWN, *SHARED]],
    ids=["known", "independent", "partly", "measured", "shared"],
)
def test_c_program_gets_what_python_gets(known: list[float], folder: Path) -> None:
    done = run(folder, *numbers(folder, known))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{HEIGHT} x {WIDTH} pixels" in done.stdout
    session = onnxruntime.InferenceSession(folder / "matched.onnx", providers=["CPUExecutionProvider"])
    given = np.full(634, math.nan, np.float32)
    given[: len(known)] = known
    if len(known) == 9:
        given[9:] = 0
    image = np.fromfile(folder / "plane.raw", "<f4").reshape(1, 1, HEIGHT, WIDTH)
    parts = np.split(given, [2, 5, 9])
    names = "intensity", "noise_model", "correlation"
    inputs = dict(zip(names, parts, strict=False)) | {"kernel": parts[-1].reshape(25, 25)}
    (expected,) = session.run(None, {"image": image, **inputs})
    result = np.fromfile(folder / "result.raw", "<f4").reshape(HEIGHT, WIDTH)
    assert np.abs(result - image[0, 0]).max() > 10
    np.testing.assert_allclose(result, expected[0, 0], rtol=0, atol=0.05)


@pytest.mark.parametrize("known", [[1, 2, 3], [1, 2, 3, 4, "x"], [1] * 635], ids=["few", "word", "many"])
def test_mistakes_end_in_one_line(known: list[object], folder: Path) -> None:
    done = run(folder, *numbers(folder, known))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_c_sharp_code_compiles(tmp_path: Path) -> None:
    """Against stand-ins for the package."""
    if (compiler := shutil.which("mcs")) is None:
        pytest.skip("there is no Mono (mcs) to build examples/FusedMatched.cs with")
    strict = ["-warnaserror", "-warn:4", "-target:library", f"-out:{tmp_path / 'fused.dll'}"]
    sources = [HERE / "fused_cs" / "OnnxRuntime.cs", EXAMPLES / "FusedMatched.cs"]
    subprocess.run([compiler, *strict, *sources], check=True)


def test_java_code_compiles(tmp_path: Path) -> None:
    """Against stand-ins for the package."""
    if (compiler := shutil.which("javac")) is None:
        pytest.skip("there is no JDK (javac) to build examples/FusedMatched.java with")
    sources = [*(HERE / "fused_java").rglob("*.java"), EXAMPLES / "FusedMatched.java"]
    subprocess.run([compiler, "-Xlint:all", "-Werror", "-d", tmp_path, *sources], check=True)
