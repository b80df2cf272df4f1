"""What baikal-serve costs, in ms of a round trip of a frame.

* Frames of 2048², uint16, with a denoiser that hands them back, against a bare echo of the same bytes by the
  same HTTP server (wanted: at most 1.5 times as long): over HTTP, through shared memory, and in Python.
* The model nuclei on frames of 512², with one evaluation a frame: over HTTP, through shared memory, in
  Python, and the time in the engine; and a fused graph of forward-backward, which takes ten.

All in turn, medians; servers are processes of their own.

    python benchmarks/serving.py --engine auto
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Denoised, Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.live import LiveDenoiser
from baikal_deploy.models.manifest import find_model, read_manifest
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.serve import Address, Limits, serve_frames
from baikal_deploy.serve.server import Server
from baikal_export.fused import parse, write
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

REGION = "/v2/systemsharedmemory/region/frames/register"
INFER = "/v2/models/general/infer"
WARM = 10


def hands_back(self: Denoiser, recipe: Any, stack: Stack, *more: Any, **options: object) -> Denoised:
    return Denoised(stack.pixels.copy(), None, None, Tally(stack.pixels.size))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message["body"])
        more = message["more_body"]
    body = b"".join(pieces)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def run_server(pipe: Connection, kind: str, engine: str) -> None:
    """Serve in this process until it is killed."""
    address = Address(port=0)
    if kind == "echo":
        pipe.send(address.url)
        return Server(echo, address).run()
    if kind == "identity":
        Denoiser.run = hands_back  # type: ignore[method-assign, assignment]
    with LiveDenoiser("nuclei", engine=engine, when_full="drop-newest") as live:
        server = serve_frames(live, address, Limits(shared_memory=Path("/dev/shm")))
        pipe.send(server.url)
        server.run()


class Client:
    """Sends one frame again and again."""

    def __init__(self, url: str, frame: np.ndarray) -> None:
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"))
        self.frame = frame
        self.tensor = {"name": "frame", "datatype": "UINT16", "shape": frame.shape}

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        self.connection.request("POST", path, body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return answer

    def over_http(self) -> None:
        size = self.frame.nbytes
        inputs = [{**self.tensor, "parameters": {"binary_data_size": size}}]
        text = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        headers = {"Inference-Header-Content-Length": str(len(text))}
        answer = self.post(INFER, text + self.frame.tobytes(), headers)
        assert len(np.frombuffer(answer, np.uint8)[-size:]) == size

    def register(self, memory: SharedMemory) -> None:
        self.memory = np.frombuffer(memory.buf, np.uint16).reshape(2, *self.frame.shape)
        self.post(REGION, json.dumps({"key": memory.name, "byte_size": memory.size}).encode(), {})

    def shared(self) -> None:
        place = {"shared_memory_region": "frames", "shared_memory_byte_size": self.frame.nbytes}
        output = {**place, "shared_memory_offset": self.frame.nbytes}
        asked = {
            "inputs": [{**self.tensor, "parameters": place}],
            "outputs": [{"name": "denoised", "parameters": output}],
        }
        self.memory[0] = self.frame
        self.post(INFER, json.dumps(asked).encode(), {})
        self.memory[1].copy()

    def echoed(self) -> None:
        self.post("/", self.frame.tobytes(), {})


def medians(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds of each way, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + WARM):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if number >= WARM:
                times[name].append(1e3 * (time.perf_counter() - started))
    return {name: float(np.median(found)) for name, found in times.items()}


def measure(kind: str, engine: str, frame: np.ndarray, rounds: int) -> dict[str, float]:
    """Of a denoiser that hands back ("identity") or of the network ("model")."""
    context = multiprocessing.get_context("spawn")
    kinds = ["echo", kind]
    pipes = [context.Pipe() for _ in kinds]
    servers = [
        context.Process(target=run_server, args=(pipe[1], name, engine), daemon=True)
        for pipe, name in zip(pipes, kinds, strict=True)
    ]
    for server in servers:
        server.start()
    bare, client = (Client(pipe[0].recv(), frame) for pipe in pipes)
    run = Denoiser.run
    if kind == "identity":
        Denoiser.run = hands_back  # type: ignore[method-assign, assignment]
    memory = SharedMemory(create=True, size=2 * frame.nbytes)
    with LiveDenoiser("nuclei", engine=engine) as live:
        client.register(memory)
        engine_ms: list[float] = []
        ways = {
            "bare echo": bare.echoed,
            "over HTTP": client.over_http,
            "through shared memory": client.shared,
            "LiveDenoiser in Python": lambda: engine_ms.append(live.submit(frame).result().engine_ms),
        }
        found = medians(ways, rounds)
    Denoiser.run = run  # type: ignore[method-assign]
    if kind == "model":
        found["of that in the engine"] = float(np.median(engine_ms[WARM:]))
    for server in servers:
        server.terminate()
        server.join()
    del client.memory, ways
    memory.close()
    memory.unlink()
    return found


def fused(frame: np.ndarray, rounds: int) -> float:
    """Median milliseconds of a graph with sampler forward-backward on ONNX Runtime's CPU."""
    model = find_model("nuclei")
    with tempfile.TemporaryDirectory() as folder, Denoiser.load("nuclei", "onnx-cpu") as denoiser:
        path = Path(folder) / "fused.onnx"
        write(parse("forward-backward", read_manifest(model)), model, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        measured = denoiser.measure([frame], make_sampler("forward-backward", {}, {}))
    planes = session.get_inputs()[1].shape[0]
    feed = {
        "image": frame[None, None].astype(np.float32),
        "noise": np.random.default_rng(0).standard_normal((planes, 1, 1, *frame.shape), dtype=np.float32),
        "intensity": np.array([measured.intensity.low, measured.intensity.high], dtype=np.float32),
        "sigma": np.array(measured.sigma, dtype=np.float32),
    }
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        session.run(None, feed)
        times.append(1e3 * (time.perf_counter() - started))
    return float(np.median(times[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    for kind, side, engine in (("identity", 2048, "analytic"), ("model", 512, args.engine)):
        frame = Camera().expose(simulate_nuclei((1, side, side), seed=3), seed=3)[0]
        found = measure(kind, engine, frame, args.rounds)
        print(f"{kind}, {side}², {engine}")
        for name, milliseconds in found.items():
            ratio = f"{milliseconds / found['bare echo']:6.2f}" if kind == "identity" else ""
            print(f"  {name:<24} {milliseconds:7.1f} ms {ratio}")
    print(f"  {'fused graph':<24} {fused(frame, 3):7.1f} ms")


if __name__ == "__main__":
    main()
