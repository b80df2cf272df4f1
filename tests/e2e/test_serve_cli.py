"""baikal-serve as a command: how it starts, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from baikal_deploy.cli.serve import main
from baikal_deploy.host.extras import install
from tests.capabilities import require
from tests.gate import WAIT
from tests.serving import Process, ask, infer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered_before_it_ends(number: signal.Signals, counts: np.ndarray) -> None:
    require("signals")
    large = np.tile(counts[0], (5, 6))
    with Process("--engine", "auto") as process, ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(infer, process.host, large) for _ in range(5)]
        deadline = time.monotonic() + WAIT
        while ask(process.host, "GET", "/live.json").json["statistics"]["waiting"] < 3:
            assert time.monotonic() < deadline
        process.popen.send_signal(number)
        done = sum(answer.done() for answer in answers)
        assert done < 5, "all were answered before it was told to end"
        assert [answer.result().status for answer in answers] == [200] * 5
        assert process.popen.wait(WAIT) == 0
        assert process.popen.stderr is not None
        assert process.popen.stderr.read() == "5 frames denoised, 0 dropped, 0 failed\n"
        with pytest.raises(ConnectionRefusedError):
            ask(process.host, "GET", "/v2")


def test_the_token_may_be_in_the_environment(counts: np.ndarray) -> None:
    with Process("--engine", "analytic", environment={"BAIKAL_SERVE_TOKEN": "sesame"}) as process:
        assert "sesame" not in process.line
        assert infer(process.host, counts[0]).status == 401
        assert infer(process.host, counts[0], {"Authorization": "Bearer sesame"}).status == 200


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["--engine", "analytic", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "host 0.0.0.0: other machines reach it, so a token is needed"),
        (["--host", "::"], "host ::: other machines reach it"),
        (
            ["--host", "example.invalid", "--token", "a"],
            "example.invalid: is not an address of this",
        ),
        (["--host", "192.0.2.1", "--token", "a"], "192.0.2.1:8000: cannot be served on"),
        (["--host", "a..b", "--token", "a"], "host a..b: is not an address of this machine"),
        (["--token", ""], "the token: must be of ASCII"),
        (["--token", "sesame ü"], "the token: must be of ASCII"),
        (["--token", "two words"], "without spaces"),
        (["--port", "70000"], "port 70000: must be from 0 to 65535"),
        (["--model", "none"], "none"),
        (["--port", "0", "--latency-ms", "-1"], "latency_ms -1.0: must be greater than 0"),
    ],
)
def test_mistakes_end_in_one_line(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", port)
    assert done.exit_code == 2
    assert done.stderr == (
        f"error: 127.0.0.1:{port}: cannot be served on (Address already in use); choose another port\n"
    )


@pytest.mark.parametrize("name", ["uvicorn", "starlette", "prometheus_client"])
def test_the_extra_is_named_where_it_is_missing(name: str) -> None:
    code = f"import sys; sys.modules['{name}'] = None; from baikal_deploy.cli.serve import main; main()"
    command = [sys.executable, "-c", code, "--engine", "analytic", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 2
    wanted = f"error: serving needs the package {name}: {install('serve')}\n"
    assert done.stderr == wanted
