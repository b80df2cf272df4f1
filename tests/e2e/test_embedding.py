"""The callers in other languages, compiled and run against a real server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
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


@pytest.fixture(scope="module")
def cs_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    mono, compiler = shutil.which("mono"), shutil.which("mcs")
    if mono is None or compiler is None:
        pytest.skip("there is no Mono (mono, mcs) to build examples/embedding/Denoise.cs with")
    program = tmp_path_factory.mktemp("cs") / "Denoise.exe"
    strict = ["-warnaserror", "-warn:4", "-r:System.Net.Http.dll", f"-out:{program}"]
    subprocess.run([compiler, *strict, EXAMPLES / "Denoise.cs"], check=True)
    return [mono, str(program)]


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


@pytest.mark.parametrize("language", ["c", "java", "cs"])
def test_a_frame(
    language: str, request: pytest.FixtureRequest, server: Served, counts: np.ndarray, tmp_path: Path
) -> None:
    program = request.getfixturevalue(f"{language}_program")
    expected = settle(server, counts[0])
    (tmp_path / "frame.raw").write_bytes(counts[0].tobytes())
    where = server.host.split(":") if language == "c" else [server.url]
    files = tmp_path / "frame.raw", tmp_path / "result.raw"
    done = run(program, *where, "general", *files, *counts[0].shape)
    assert (done.returncode, done.stderr) == (0, "")
    result = np.fromfile(tmp_path / "result.raw", "<u2").reshape(counts[0].shape)
    np.testing.assert_array_equal(result, expected)

    done = run(program, *where, "general", *files, *counts[0].shape, token="wrong")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "a token is needed" in done.stderr
    done = run(program, *where, "other", *files, *counts[0].shape)
    assert "this server has general" in done.stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason="POSIX shared memory is no folder here")
def test_frames_through_shared_memory(
    cpp_program: Program, server: Served, counts: np.ndarray, tmp_path: Path
) -> None:
    expected = [settle(server, frame) for frame in counts]
    (tmp_path / "frames.raw").write_bytes(counts.tobytes())
    where = [*server.host.split(":"), "general", tmp_path / "frames.raw", tmp_path / "results.raw"]
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


@pytest.mark.parametrize("language", ["c", "cpp", "java", "cs"])
def test_no_server(language: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    program = request.getfixturevalue(f"{language}_program")
    (tmp_path / "frame.raw").write_bytes(bytes(8))
    where = ["http://127.0.0.1:9"] if language in ("java", "cs") else ["127.0.0.1", 9]
    sizes = [1, 2, 2] if language == "cpp" else [2, 2]
    done = run(program, *where, "general", tmp_path / "frame.raw", tmp_path / "result.raw", *sizes)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert run(program).returncode == 1


def test_an_answer_that_is_cut_off_is_no_result(c_program: Program, tmp_path: Path) -> None:
    """A few bytes less than all, so that as many as the frame has would still be there."""
    (tmp_path / "frame.raw").write_bytes(bytes(8))
    text = b'{"outputs": []}'
    head = b"HTTP/1.1 200 OK\r\ninference-header-content-length: %d\r\n\r\n" % len(text)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(head + text + bytes(5))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(2**16):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        files = tmp_path / "frame.raw", tmp_path / "result.raw"
        done = run(c_program, "127.0.0.1", server.getsockname()[1], "nuclei", *files, 2, 2)
        thread.join()
    assert (done.returncode, done.stderr) == (1, "denoise: server: hung up in the middle of the answer\n")
    assert not (tmp_path / "result.raw").exists()
