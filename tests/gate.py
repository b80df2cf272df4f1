"""Holds up the denoising thread of a live stream."""

from __future__ import annotations

import threading

WAIT = 60.0


class Gate:
    """Lets the network's evaluations of the live thread pass one by one, or all."""

    def __init__(self) -> None:
        self.passes = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.open = False

    def __call__(self) -> None:
        if threading.current_thread().name == "baikal-live":
            self.entered.release()
            if not self.open:
                assert self.passes.acquire(timeout=WAIT)

    def open_for_all(self) -> None:
        self.open = True
        self.passes.release()
