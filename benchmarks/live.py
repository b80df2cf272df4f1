"""What live denoising costs beside its network, and whether it bears being overloaded.

* Frames of 512², one after another: time from `submit` to the result, less that in the engine (wanted: at
  most 2 ms), with the model nuclei.
* Ten minutes at twice the rate that can be held: memory at every tenth of the time (wanted: flat), and what
  became of the frames (wanted: submitted = done + dropped + failed).

    python benchmarks/live.py --minutes 10 --engine auto
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np

from baikal_deploy.live import LiveDenoiser
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

SIDE = 512
FRAMES = 100


def overhead(engine: str, frames: np.ndarray) -> tuple[float, float]:
    """Medians in ms of the time beside the engine, and of the latency, once the stream has settled."""
    beside, latencies = [], []
    with LiveDenoiser("nuclei", engine=engine) as live:
        number = 0
        while not live.statistics.settled:
            live.submit(frames[number % len(frames)]).result()
            number += 1
        for number in range(FRAMES):
            result = live.submit(frames[number % len(frames)]).result()
            latencies.append(result.latency_ms)
            beside.append(result.latency_ms - result.engine_ms)
    return float(np.median(beside)), float(np.median(latencies))


def overloaded(engine: str, frames: np.ndarray, interval: float, minutes: float) -> bool:
    """Submit a frame every ``interval`` seconds; whether all are accounted for."""
    with LiveDenoiser("nuclei", engine=engine) as live:
        began, number, reported = time.perf_counter(), 0, 0
        while (elapsed := time.perf_counter() - began) < 60 * minutes:
            live.submit(frames[number % len(frames)])
            number += 1
            if elapsed >= 6 * minutes * reported:
                reported += 1
                print(f"{elapsed:6.0f} s: {rss():.0f} MB, {live.statistics}", flush=True)
            time.sleep(max(0.0, began + number * interval - time.perf_counter()))
    found = live.statistics
    print(f"   end  : {rss():.0f} MB, {found}")
    return number == found.submitted == found.done + found.dropped + found.failed


def rss() -> float:
    """Memory that this process holds, in MB."""
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--engine", default="auto")
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    frames = Camera().expose(simulate_nuclei((8, SIDE, SIDE), seed=3), seed=3)
    beside, latency = overhead(args.engine, frames)
    print(
        f"a frame of {SIDE}²: {latency:.1f} ms, {beside:.1f} ms of it beside the engine (wanted: at most 2)"
    )
    exact = overloaded(args.engine, frames, latency / 2000, args.minutes)
    print(f"submitted = done + dropped + failed: {'yes' if exact else 'NO'}")


if __name__ == "__main__":
    main()
