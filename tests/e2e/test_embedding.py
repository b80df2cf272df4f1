"""The callers in other languages, compiled and run against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from baikal_deploy.serve import Limits
from tests.serving import Served, infer, served

EXAMPLES = Path(__file__).parents[2] / "examples" / "embedding"
STRICT = ["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SHARED = Path("/dev/shm")

Program = list[str]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(Limits(shared_memory=SHARED if SHARED.is_dir() else None), token="sesame") as made:
        yield made


def compiled(compiler: str, standard: str, name: str, folder: Path) -> Program:
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"there is no compiler ({compiler}) to build examples/embedding/{name} with")
    program = folder / "program"
    subprocess.run([found, f"-std={standard}", *STRICT, EXAMPLES / name, "-o", program], check=True)
    return [str(program)]


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return compiled("cc", "c11", "denoise.c", tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def cpp_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return compiled("c++", "c++17", "shared.cpp", tmp_path_factory.mktemp("cpp"))


@pytest.fixture(scope="module")
def java_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    java, compiler = shutil.which("java"), shutil.which("javac")
    if java is None or compiler is None:
        pytest.skip("there is no JDK (java, javac) to build examples/embedding/Denoise.java with")
    folder = tmp_path_factory.mktemp("java")
    subprocess.run([compiler, "-Xlint:all", "-Werror", "-d", folder, EXAMPLES / "Denoise.java"], check=True)
    return [java, "-Xshare:auto", "-cp", str(folder), "Denoise"]


def run(program: Program, *arguments: object, token: str = "sesame") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BAIKAL_SERVE_TOKEN": token}
    words = [*program, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=environment)


def settle(server: Served, frame: np.ndarray) -> np.ndarray:
    """The result of a frame that does not change any more."""
    authorization = {"Authorization": "Bearer sesame"}
    for _ in range(9):
        infer(server.host, frame, authorization)
    while not server.live.statistics.settled:
        infer(server.host, frame, authorization)
    infer(server.host, frame, authorization)
    return infer(server.host, frame, authorization).frame


@pytest.mark.parametrize("language", ["c", "java"])
def test_a_frame(
    language: str, request: pytest.FixtureRequest, server: Served, counts: np.ndarray, tmp_path: Path
) -> None:
    program = request.getfixturevalue(f"{language}_program")
    expected = settle(server, counts[0])
    (tmp_path / "frame.raw").write_bytes(counts[0].tobytes())
    where = server.host.split(":") if language == "c" else [server.url]
    files = tmp_path / "frame.raw", tmp_path / "result.raw"
    done = run(program, *where, "nuclei", *files, *counts[0].shape)
    assert (done.returncode, done.stderr) == (0, "")
    result = np.fromfile(tmp_path / "result.raw", "<u2").reshape(counts[0].shape)
    np.testing.assert_array_equal(result, expected)

    done = run(program, *where, "nuclei", *files, *counts[0].shape, token="wrong")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "a token is needed" in done.stderr
    done = run(program, *where, "other", *files, *counts[0].shape)
    assert "this server has nuclei" in done.stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason="POSIX shared memory is no folder here")
def test_frames_through_shared_memory(
    cpp_program: Program, server: Served, counts: np.ndarray, tmp_path: Path
) -> None:
    expected = [settle(server, frame) for frame in counts]
    (tmp_path / "frames.raw").write_bytes(counts.tobytes())
    where = [*server.host.split(":"), "nuclei", tmp_path / "frames.raw", tmp_path / "results.raw"]
    done = run(cpp_program, *where, *counts.shape)
    assert (done.returncode, done.stderr) == (0, "")
    results = np.fromfile(tmp_path / "results.raw", "<u2").reshape(counts.shape)
    np.testing.assert_array_equal(results, expected)
    assert not [file for file in SHARED.iterdir() if file.name.startswith("baikal-")]

    done = run(cpp_program, *where, *counts.shape, token="wrong")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "a token is needed" in done.stderr
    done = run(cpp_program, *where, 4, *counts.shape[1:])
    assert "has fewer frames" in done.stderr


@pytest.mark.parametrize("language", ["c", "cpp", "java"])
def test_no_server(language: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    program = request.getfixturevalue(f"{language}_program")
    (tmp_path / "frame.raw").write_bytes(bytes(8))
    where = ["http://127.0.0.1:9"] if language == "java" else ["127.0.0.1", 9]
    sizes = [1, 2, 2] if language == "cpp" else [2, 2]
    done = run(program, *where, "nuclei", tmp_path / "frame.raw", tmp_path / "result.raw", *sizes)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert run(program).returncode == 1
