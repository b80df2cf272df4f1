"""Who can talk to the processes of a cluster: what listens, and to whom."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed.comm import connect
from distributed.security import Security

from baikal_deploy.cluster.private import keys_in
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun
from tests.e2e.hand_cluster import HandCluster, items_done, said, start_run, wait_until
from tests.e2e.test_cluster import SLOW, arguments, out, source

__all__ = ["out", "source"]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does")


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def listening(processes: list[psutil.Process]) -> Iterator[tuple[str, int]]:
    """Host and port of every socket that takes connections; of a Unix one its path and 0."""
    for process in processes:
        for one in process.net_connections("all"):
            if one.family == socket.AF_UNIX:
                if one.laddr:
                    yield str(one.laddr), 0
            elif one.type != socket.SOCK_STREAM or one.status == psutil.CONN_LISTEN:
                yield one.laddr.ip, one.laddr.port


def answers(address: str, security: Security) -> bool:
    """Whether a Dask client with such keys is let in."""

    async def greeted() -> bool:
        try:
            comm = await connect(address, timeout=2, **security.get_connection_args("client"))
        except OSError:
            return False
        await comm.close()
        return True

    return asyncio.run(greeted())


def reply(port: int, words: bytes) -> bytes:
    """What a server on loopback says to a plain connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(words)
        try:
            return connection.recv(100)
        except (TimeoutError, ConnectionResetError):
            return b""


def test_a_local_cluster_talks_to_its_own_processes_only(
    tmp_path: Path, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("signals")
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    run = start_run(tmp_path, *arguments(source, out), "--dask", "local:2", preload=SLOW.replace("0.3", "10"))
    try:
        wait_until(lambda: items_done(out / "result.zarr") >= 1, "the first item")
        processes = family(run.pid)
        ports = [port for host, port in listening(processes) if host == "127.0.0.1"]
        assert len(list(listening(processes))) == len(ports) == 5  # a scheduler, two nannies, two workers
        for port in ports:
            assert not answers(f"tcp://127.0.0.1:{port}", Security())
            assert not answers(f"tls://127.0.0.1:{port}", Security.temporary())
            assert b"HTTP" not in reply(port, b"GET /info/main/workers.html HTTP/1.0\r\n\r\n")
        told = [" ".join([*one.cmdline(), *one.environ().values()]) for one in processes]
        kept = [file.read_text(errors="replace") for file in scratch.rglob("*") if file.is_file()]
        assert not any("PRIVATE KEY" in text for text in [*told, *kept])
    finally:
        os.killpg(run.pid, signal.SIGINT)
        text = said(run)
    assert "not complete yet; " in text


@pytest.fixture
def tls_cluster(tmp_path: Path) -> Iterator[tuple[HandCluster, Security]]:
    """A scheduler that asks for keys, and those."""
    (tmp_path / "tls").mkdir(mode=0o700)
    security = keys_in(tmp_path / "tls")
    options = ["--protocol", "tls", "--tls-ca-file", security.tls_ca_file]
    options += ["--tls-cert", security.tls_worker_cert, "--tls-key", security.tls_worker_key]
    with HandCluster(tmp_path, *options) as cluster:
        yield cluster, security


def test_a_scheduler_with_keys_is_reached_with_those_of_dasks_configuration(
    source: Path,
    out: Path,
    tmp_path: Path,
    tls_cluster: tuple[HandCluster, Security],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, security = tls_cluster
    assert cluster.address.startswith("tls://")
    cluster.add_worker("only")
    command = (*arguments(source, out), "--dask", cluster.address)
    text = said(start_run(tmp_path, *command))
    assert f"error: {cluster.address}: needs keys; name them in distributed.comm.tls" in text
    assert "Traceback" not in text
    variable = "DASK_DISTRIBUTED__COMM__TLS__"
    monkeypatch.setenv(f"{variable}CA_FILE", security.tls_ca_file)
    monkeypatch.setenv(f"{variable}CLIENT__CERT", security.tls_client_cert)
    monkeypatch.setenv(f"{variable}CLIENT__KEY", security.tls_client_key)
    run = start_run(tmp_path, *command)
    text = said(run)
    assert run.returncode == 0, text
    monkeypatch.setenv(f"{variable}CLIENT__KEY", str(tmp_path / "none.pem"))
    text = said(start_run(tmp_path, *command, "--overwrite"))
    assert "in distributed.comm.tls cannot be used ([Errno 2] No such file" in text
    assert "Traceback" not in text


def test_a_configuration_that_asks_for_encryption_is_obeyed(
    source: Path, tmp_path: Path, baikal_run: BaikalRun
) -> None:
    import dask

    with dask.config.set({"distributed.comm.require-encryption": True}):
        result = baikal_run(source, tmp_path / "out.zarr", "--dask", "tcp://127.0.0.1:9")
    assert result.exit_code == 2
    assert "tcp://127.0.0.1:9: Dask's configuration asks for encryption; give a tls:// sched" in result.stderr
    assert not (tmp_path / "out.zarr").exists()
