"""Zarr stores on an S3 server and on a web server, which are real HTTP servers on this machine."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.host.extras import install
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.urls import Url, open_store, source_of
from baikal_deploy.volumes.zarr.reader import open_volume
from tests.e2e.conftest import BaikalRun
from tests.e2e.test_collection import FIELDS, attributes, image, make_plate
from tests.e2e.test_labels import NAMES, labelled

obstore = pytest.importorskip("obstore")
boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")
serving = pytest.importorskip("werkzeug.serving")

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}  # fmt: skip


class Server:
    """An S3 server with a bucket "data".

    Attributes:
        failures: answers to give instead of the next ones to GET and HEAD: (status, code).
        requests: how many were made.
    """

    def __init__(self) -> None:
        self.failures: list[tuple[int, str]] = []
        self.requests = 0
        self._app = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)
        self.http = serving.make_server("127.0.0.1", 0, self, threaded=True)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.port}"

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.requests += 1
        if self.failures and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            status, code = self.failures.pop(0)
            start_response(f"{status} {code}", [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code></Error>".encode()]
        return self._app(environ, start_response)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    for key, value in {**ENVIRONMENT, "AWS_ENDPOINT": server.address}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    open_store.cache_clear()
    server.failures.clear()
    client(server).create_bucket(Bucket="data")
    return server


def client(server: Server) -> Any:
    return boto3.client("s3", endpoint_url=server.address, region_name=ENVIRONMENT["AWS_REGION"])


def upload(folder: Path, name: str) -> str:
    """Everything below a folder, to s3://data/NAME."""
    store = obstore.store.from_url("s3://data")
    for file in folder.rglob("*"):
        if file.is_file():
            obstore.put(store, f"{name}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return f"s3://data/{name}"


@pytest.fixture
def remote(s3: Server, tmp_path: Path, counts: np.ndarray) -> str:
    (tmp_path / "local").mkdir()
    return upload(labelled(tmp_path / "local" / "a.zarr", counts, 3), "größe 1.ome.zarr")


def test_an_image_is_denoised_as_if_it_were_here(
    remote: str, tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    result = baikal_run(remote)
    assert result.exit_code == 0, result.output
    output = tmp_path / "größe 1_denoised.ome.zarr"
    assert result.stdout.strip() == str(output)
    assert baikal_run(tmp_path / "local" / "a.zarr", tmp_path / "here.zarr").exit_code == 0
    for level in ("0", "labels/" + NAMES[1] + "/1"):
        here, there = (
            zarr.open_array(path / level, mode="r")[...] for path in (tmp_path / "here.zarr", output)
        )
        np.testing.assert_array_equal(here, there)
    assert attributes(output)["baikal"]["input"] == remote
    assert open_input(source_of(remote)).info.scale == (2, 0.5, 0.5)


def test_a_plate(s3: Server, tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    (tmp_path / "local").mkdir()
    url = upload(make_plate(tmp_path / "local" / "p.zarr", counts), "plate.zarr")
    result = baikal_run(url + "/")
    assert result.exit_code == 0, result.output
    output = tmp_path / "plate_denoised.ome.zarr"
    assert [open_volume(output / field).info.name for field in FIELDS] == [
        f"field {field}" for field in FIELDS
    ]
    assert baikal_run(f"{url}/A/1/0").exit_code == 0
    assert open_volume(tmp_path / "plate_A_1_0_denoised.ome.zarr").info.name == "field A/1/0"


def test_failures_that_pass_are_tried_again(remote: str, s3: Server, counts: np.ndarray) -> None:
    s3.failures = [(503, "SlowDown"), (500, "InternalError")]
    volume = open_input(source_of(remote))
    s3.failures = [(503, "SlowDown"), (503, "SlowDown")]
    np.testing.assert_array_equal(volume.read(range(3)), counts)
    assert s3.failures == []


def refused(baikal_run: BaikalRun, *arguments: Any) -> str:
    result = baikal_run(*arguments)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_failures_that_stay_end_the_run(remote: str, s3: Server, baikal_run: BaikalRun) -> None:
    before = s3.requests
    s3.failures = [(503, "SlowDown")] * 100
    assert "the server or the network failed; try again later" in refused(baikal_run, remote)
    assert s3.requests - before < 20


def test_what_is_wrong_is_said(
    remote: str, s3: Server, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "is not a Zarr store" in refused(baikal_run, "s3://data/nothing.zarr")
    assert "there is no such bucket" in refused(baikal_run, "s3://nowhere/a.zarr")
    assert "only Zarr stores are read from URLs" in refused(baikal_run, f"{remote}/zarr.json")
    assert "give a whole URL" in refused(baikal_run, "s3://")
    assert "ftp:// is not supported" in refused(baikal_run, "ftp://data/a.zarr")
    s3.failures = [(403, "AccessDenied")]
    message = refused(baikal_run, remote)
    assert f"error: {remote}" in message
    assert "access is denied; check the credentials" in message
    assert "AWS_SKIP_SIGNATURE=true" in message
    assert "can only be read" in refused(baikal_run, remote, "https://data/out.zarr")
    for inside in (remote, f"{remote}/out.zarr"):
        assert "lies in the input" in refused(baikal_run, remote, inside)
    assert not list(tmp_path.glob("*_denoised*"))


def test_a_lost_server_is_named(remote: str, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    open_store.cache_clear()
    assert "the server or the network failed" in refused(baikal_run, remote)


def test_a_truncated_object_is_named(
    s3: Server, tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    (tmp_path / "local").mkdir()
    image(tmp_path / "local" / "a.zarr", counts, 3, "cells")
    url = upload(tmp_path / "local" / "a.zarr", "cut.zarr")
    chunk = tmp_path / "local" / "a.zarr" / "0" / "c" / "0" / "0" / "0"
    obstore.put(obstore.store.from_url("s3://data"), "cut.zarr/0/c/0/0/0", chunk.read_bytes()[:100])
    assert f"{url}/0: plane" in refused(baikal_run, url)


def test_a_changed_object_is_another_input(remote: str, baikal_run: BaikalRun, tmp_path: Path) -> None:
    """Size and version of the metadata objects are in the fingerprint of a run."""
    first = open_input(source_of(remote)).metadata_files
    before = [file.stamp() for file in first if isinstance(file, Url)]
    assert len(before) == 2
    data = Url(f"{remote}/zarr.json").read_bytes()
    obstore.put(obstore.store.from_url(remote), "zarr.json", data.replace(b"cells", b"CELLS"))
    assert before != [file.stamp() for file in first if isinstance(file, Url)]


def test_public_data_without_credentials(
    remote: str, s3: Server, monkeypatch: pytest.MonkeyPatch, counts: np.ndarray
) -> None:
    for found in client(s3).list_objects_v2(Bucket="data")["Contents"]:
        client(s3).put_object_acl(Bucket="data", Key=found["Key"], ACL="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    open_store.cache_clear()
    np.testing.assert_array_equal(open_input(source_of(remote)).read([1])[0], counts[1])


def test_a_missing_package_is_named(baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    open_store.cache_clear()
    assert install("cloud") in refused(baikal_run, "s3://data/a.zarr")


def test_a_web_server(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, monkeypatch: Any) -> None:
    (tmp_path / "www").mkdir()
    image(tmp_path / "www" / "a b.zarr", counts, 2, "cells")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_port}/a b.zarr"
        monkeypatch.chdir(tmp_path)
        result = baikal_run(url)
        web.shutdown()
    assert result.exit_code == 0, result.output
    assert open_volume(tmp_path / "a b_denoised.ome.zarr").info.name == "cells"
