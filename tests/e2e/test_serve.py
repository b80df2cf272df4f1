"""The server, as clients of the Open Inference Protocol and plain HTTP use it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import EngineError
from baikal_deploy.live.timed import TimedEngine
from baikal_deploy.pixels.arrays import Planes
from baikal_deploy.serve import Limits
from baikal_deploy.serve.protocol import DATATYPES
from tests.e2e.inference import looks_denoised, tensor
from tests.gate import WAIT, Gate
from tests.serving import Reply, Served, ask, infer, served, until


def test_client_reads_what_the_server_is(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("general")
    assert client.is_model_ready("general", "1")
    assert not client.is_model_ready("membranes")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    found = client.get_model_metadata("general")
    assert (found["inputs"][0]["name"], found["outputs"][0]["name"]) == ("frame", "denoised")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_client_gets_its_frame_denoised(
    binary_in: bool, binary_out: bool | None, client: Any, counts: np.ndarray
) -> None:
    outputs = None
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput("denoised", binary_data=binary_out)]
    inputs = [tensor(counts[0], binary_data=binary_in)]
    answer = client.infer("general", inputs, outputs=outputs, request_id="7", parameters={"channel": "a"})
    assert answer.get_response()["id"] == "7"
    assert answer.get_response()["parameters"]["evaluations"] == 1
    assert looks_denoised(answer.as_numpy("denoised"), counts[0])


@pytest.mark.parametrize("datatype", list(DATATYPES))
def test_every_pixel_type_comes_back_as_it_went(datatype: str, client: Any, counts: np.ndarray) -> None:
    frame = (counts[0] / counts[0].max() * 120).astype(DATATYPES[datatype])
    answer = client.infer("general", [tensor(frame)], parameters={"channel": datatype})
    assert looks_denoised(answer.as_numpy("denoised"), frame)


def test_the_frame_is_denoised_as_python_denoises_it(counts: np.ndarray) -> None:
    eight = [*counts, *counts, *counts[:2]]
    with served() as own:
        for frame in eight:
            infer(own.host, frame)
        until(lambda: infer(own.host, counts[0]).status == 200 and own.live.statistics.settled)
        found = infer(own.host, counts[1]).frame
    with Denoiser.load(engine="analytic") as reference:
        sampler = make_sampler("matched", {}, {})
        recipe = reference.recipe(sampler, reference.measure(eight, sampler), 0)
        expected = reference.run(recipe, Stack(counts[1:2], [0])).planes
    np.testing.assert_array_equal(found, expected[0])


def test_several_frames_in_one_request(client: Any, counts: np.ndarray) -> None:
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput("denoised", binary_data=binary)]
        answer = client.infer("general", [tensor(counts)], outputs=outputs, parameters={"channel": "a"})
        assert looks_denoised(answer.as_numpy("denoised"), counts)


def test_eight_clients_at_once(server: Served, counts: np.ndarray) -> None:
    def one(number: int) -> list[Reply]:
        frame = counts[0] + np.uint16(100 * number)
        replies = []
        while len(replies) < 5:
            reply = infer(server.host, frame, channel=number)
            if reply.status == 503:  # eight wait and one is in work: hardly ever
                time.sleep(0.05)
                continue
            replies.append(reply)
        return replies

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    for number, replies in enumerate(answers):
        for reply in replies:
            # Nobody gets the frame of somebody else.
            assert reply.frame.mean() == pytest.approx(counts[0].mean() + 100 * number, abs=40)


def test_a_full_queue_is_told_and_counted(gate: Gate, counts: np.ndarray) -> None:
    with served(queue=1) as own, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(infer, own.host, counts[0])]
        assert gate.entered.acquire(timeout=WAIT)
        waiting.append(pool.submit(infer, own.host, counts[0]))
        until(lambda: own.live.statistics.waiting == 2)
        refused = infer(own.host, counts[0])
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "dropped" in refused.error
        gate.open_for_all()
        assert [one.result().status for one in waiting] == [200, 200]
        assert (own.live.statistics.done, own.live.statistics.dropped) == (2, 1)


def test_a_frame_that_nobody_waits_for_any_more_is_not_denoised(gate: Gate, counts: np.ndarray) -> None:
    with served() as own, ThreadPoolExecutor(1) as pool:
        first = pool.submit(infer, own.host, counts[0])
        assert gate.entered.acquire(timeout=WAIT)
        late = infer(own.host, counts[0], timeout=50_000)
        assert late.status == 504
        assert "50000 microseconds" in late.error
        gate.open_for_all()
        assert first.result().status == 200
        until(lambda: own.live.statistics.waiting == 0)
        assert (own.live.statistics.done, own.live.statistics.dropped) == (1, 1)


def test_a_timeout_of_0_is_none(server: Served, counts: np.ndarray) -> None:
    assert infer(server.host, counts[0], timeout=0).status == 200


def test_a_network_that_fails(monkeypatch: pytest.MonkeyPatch, counts: np.ndarray) -> None:
    failures = [EngineError("out of memory"), ZeroDivisionError("a bug")]
    predict = TimedEngine._predict

    def failing(engine: TimedEngine, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        if failures and threading.current_thread().name == "baikal-live":
            raise failures.pop(0)
        return predict(engine, x_t, t)

    with served() as own:
        infer(own.host, counts[0])
        until(lambda: own.live.statistics.waiting == 0)
        monkeypatch.setattr(TimedEngine, "_predict", failing)
        found = [infer(own.host, counts[0], channel="b") for _ in range(3)]
    assert [one.status for one in found] == [500, 500, 200]
    assert found[0].error == "out of memory"
    assert found[1].error == "the server failed; its log says how"


def test_streams_are_bounded(counts: np.ndarray) -> None:
    with served(Limits(streams=2)) as own:
        assert [infer(own.host, counts[0], channel=one).status for one in ("a", 1, "1", "a")] == [200] * 4
        refused = infer(own.host, counts[0], channel="c")
        assert refused.status == 400
        assert "2 channels" in refused.error
        assert infer(own.host, counts[0].astype("f4"), channel="a").status == 400
        assert infer(own.host, counts[0], channel="a").status == 200


def test_prometheus_reads_what_became_of_the_frames(counts: np.ndarray, gate: Gate) -> None:
    with served(queue=2) as own, ThreadPoolExecutor(1) as pool:
        first = pool.submit(infer, own.host, counts[0])
        assert gate.entered.acquire(timeout=WAIT)
        assert infer(own.host, counts[:2], timeout=1000).status == 504
        gate.open_for_all()
        assert first.result().status == 200
        until(lambda: "latency_seconds_count 1.0" in ask(own.host, "GET", "/metrics").body.decode())
        lines = ask(own.host, "GET", "/metrics").body.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    found = {name: float(values[f"baikal_{name}"]) for name in EXPECTED}
    assert found == EXPECTED
    assert 0 < float(values["baikal_engine_share"]) <= 1
    assert float(values["baikal_frame_latency_seconds_sum"]) > 0


EXPECTED = {
    "frames_submitted_total": 3,
    'frames_total{outcome="done"}': 1,
    'frames_total{outcome="dropped"}': 2,
    'frames_total{outcome="failed"}': 0,
    "frames_waiting": 0,
    "queue_size": 2,
    'frame_latency_seconds_bucket{le="+Inf"}': 1,
}
