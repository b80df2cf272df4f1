"""The memory and the streams of a GPU that is none."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Range = tuple[int, int]
"""Address and number of bytes."""
NULL_STREAM = 0


class Misuse(AssertionError):
    """A call that the vendor's documents forbid."""


@dataclass
class Memory:
    """A block of the GPU's memory, or page-locked memory of the host.

    Attributes:
        kind: "device" or "host".
        bytes: where it really is; addresses are real ones.
        stream: the one that it was taken in, for memory of CuPy's: what it gives back is used again
            by that stream.
        dtype: of the array that it was taken for.
        accesses: the last write and the reads since: (stream, position there, whether it writes).
    """

    kind: str
    bytes: NDArray[np.uint8]
    stream: int | None
    dtype: Any = None
    accesses: list[tuple[int, int, bool]] = field(default_factory=list)
    address: int = field(init=False)

    def __post_init__(self) -> None:
        self.address = int(self.bytes.ctypes.data)


@dataclass
class Work:
    """Something that a stream does.

    Attributes:
        run: does it.
        reads, writes: the memory that it touches.
        uses: where the user of it has work, to be filled in: the last position in each stream.
    """

    run: Callable[[], None]
    reads: Sequence[Range] = ()
    writes: Sequence[Range] = ()
    uses: dict[int, int] = field(default_factory=dict)


@dataclass
class Stream:
    """Work in order, done when something waits for it, and no earlier.

    Attributes:
        queue: work that is not done, by position.
        last: position of the newest.
        known: for each stream, the position up to which its work is done before this stream's next.
        captured: the work of the graph that is being captured, if one is.
    """

    handle: int
    queue: deque[tuple[int, Callable[[], None]]] = field(default_factory=deque)
    last: int = 0
    known: Counter[int] = field(default_factory=Counter)
    captured: list[Work] | None = None


@dataclass
class Event:
    """A position of a stream, and what is done by then; at first none."""

    stream: int | None = None
    position: int = 0
    known: Counter[int] = field(default_factory=Counter)


class Device:
    """Everything that exists on the GPU.

    Attributes:
        memory: blocks that are not freed, by address.
        contexts: execution contexts that there are.
        streams, events, graphs, launchables: those that are not destroyed, by handle.
        misuses: all that was ever done wrong, also where an exception could not tell.
        calls: how often each call was made, by name.
        failing: calls that are to fail, and the number of CUDA's error.
        capturable: whether the networks' work can be captured in a graph.
        driver, there, capability: CUDA version of the driver, whether there is a GPU, and its compute
            capability.
        free_bytes: of its memory, as CUDA tells it.
        array: the class of CuPy's arrays.
    """

    array: type

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.memory: dict[int, Memory] = {}
        self.streams = {NULL_STREAM: Stream(NULL_STREAM)}
        self.events: dict[int, Event] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.launchables: dict[int, list[Work]] = {}
        self.contexts = 0
        self.host_knows: Counter[int] = Counter()
        self.misuses: list[str] = []
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, int] = {}
        self.capturable = True
        self.driver, self.there, self.capability = 13000, True, (8, 9)
        self.free_bytes = 2**33
        self._handles = 1000
        self._local = threading.local()

    @property
    def current(self) -> int:
        """Handle of the stream that CuPy's work of this thread goes to."""
        return int(getattr(self._local, "current", NULL_STREAM))

    def use_own_stream(self) -> None:
        """Let CuPy's work of this thread go to a stream that no other thread uses."""
        if self.current == NULL_STREAM:
            handle = self._local.current = self.handle()
            self.streams[handle] = Stream(handle)

    @property
    def problem(self) -> int:
        """The error that looking for a GPU ends with; 0 if there is one."""
        if self.driver < 13000:
            return 35
        return 0 if self.there else 100

    def live(self) -> dict[str, int]:
        """How much of each kind exists."""
        kinds = Counter(block.kind for block in self.memory.values())
        return {
            "device": kinds["device"], "host": kinds["host"], "streams": len(self.streams) - 1,
            "events": len(self.events), "graphs": len(self.graphs), "launchables": len(self.launchables),
            "contexts": self.contexts,
        }  # fmt: skip

    def misuse(self, text: str) -> Misuse:
        self.misuses.append(text)
        return Misuse(text)

    def handle(self) -> int:
        self._handles += 1
        return self._handles

    def context_is_gone(self, uses: dict[int, int]) -> None:
        self.contexts -= 1
        if any(self.host_knows[stream] < position for stream, position in uses.items()):
            self.misuses.append("a context is dropped before the host knows that its work is done")

    def allocate(self, kind: str, size: int, stream: int | None = None, dtype: Any = None) -> Memory:
        """Memory of what are no numbers at first."""
        block = Memory(kind, np.full(max(size, 1), 0xFF, np.uint8), stream, dtype)
        with self.lock:
            self.memory[block.address] = block
            if stream is not None:  # an earlier owner may still be at work there
                self.enqueue(stream, Work(lambda: None, writes=[(block.address, 1)]))
        return block

    def free(self, address: int) -> None:
        """Free page-locked memory that nothing can still be using, as far as the host knows."""
        with self.lock:
            block = self.memory.get(address)
            if block is None or block.kind != "host":
                raise self.misuse(f"freeing {address}: no page-locked memory, or freed before")
            self._end(block, self.host_knows)

    def give_back(self, address: int) -> None:
        """Free memory of CuPy's: the stream that it was taken in may use it again at once."""
        with self.lock:
            block = self.memory[address]
            self._end(block, self.streams[block.stream].known | self.host_knows)

    def _end(self, block: Memory, known: Counter[int]) -> None:
        del self.memory[block.address]
        if any(known[stream] < position for stream, position, _ in block.accesses):
            self.misuses.append(f"{block.kind} memory is freed while a stream may still use it")

    def block(self, place: Range) -> Memory:
        """The block that holds a range of addresses."""
        address, size = place
        for block in self.memory.values():
            if block.address <= address and address + size <= block.address + block.bytes.size:
                return block
        raise self.misuse(f"{size} bytes at {address}: not, or no longer, allocated")

    def values(self, place: Range) -> NDArray[np.uint8]:
        """The bytes of a range of addresses."""
        block = self.block(place)
        start = place[0] - block.address
        return block.bytes[start : start + place[1]]

    def stream(self, handle: Any) -> Stream:
        if int(handle) not in self.streams:
            raise self.misuse(f"stream {int(handle)}: not, or no longer, there")
        return self.streams[int(handle)]

    def event(self, handle: Any) -> Event:
        if int(handle) not in self.events:
            raise self.misuse(f"event {int(handle)}: not, or no longer, there")
        return self.events[int(handle)]

    def enqueue(self, handle: Any, work: Work) -> None:
        """Give a stream work, unless it captures a graph."""
        with self.lock:
            stream = self.stream(handle)
            if stream.captured is not None:
                stream.captured.append(work)
                return
            position = work.uses[stream.handle] = self._next(stream, work.run)
            for place, writes in [(r, False) for r in work.reads] + [(w, True) for w in work.writes]:
                self._access(stream, position, self.block(place), writes)

    def _next(self, stream: Stream, run: Callable[[], None]) -> int:
        stream.known |= self.host_knows
        stream.last += 1
        stream.known[stream.handle] = stream.last
        stream.queue.append((stream.last, run))
        return stream.last

    def _access(self, stream: Stream, position: int, block: Memory, writes: bool) -> None:
        for other, its_position, it_writes in block.accesses:
            if (writes or it_writes) and stream.known[other] < its_position:
                raise self.misuse(f"streams {other} and {stream.handle} use the same memory in no order")
        if writes:
            block.accesses.clear()
        block.accesses = [one for one in block.accesses if one[0] != stream.handle or one[2]]
        block.accesses.append((stream.handle, position, writes))

    def record(self, event: Any, handle: Any) -> None:
        with self.lock:
            stream, marker = self.stream(handle), self.event(event)
            self._not_captured(stream)
            marker.stream, marker.position = stream.handle, self._next(stream, lambda: None)
            marker.known = Counter(stream.known)

    def order(self, event: Any, handle: Any) -> None:
        """Let a stream's later work wait for an event."""
        with self.lock:
            stream, marker = self.stream(handle), self.event(event)
            self._not_captured(stream)
            stream.known |= marker.known
            other, position = marker.stream, marker.position
            if other is not None:
                self._next(stream, lambda: self._run(other, position))

    def wait(self, event: Any) -> None:
        """Let the host wait for an event."""
        with self.lock:
            marker = self.event(event)
            if marker.stream is not None:
                self._run(marker.stream, marker.position)
                self.host_knows |= marker.known

    def finish(self, handle: Any) -> None:
        """Let the host wait for all work of a stream."""
        with self.lock:
            stream = self.stream(handle)
            self._not_captured(stream)
            self._run(stream.handle, stream.last)
            self.host_knows |= stream.known

    def catch_up(self, handle: int) -> None:
        """Do all work of a stream, without the host's knowing."""
        with self.lock:
            self._run(handle, self.stream(handle).last)

    def _run(self, handle: int, position: int) -> None:
        queue = self.streams[handle].queue if handle in self.streams else deque()
        while queue and queue[0][0] <= position:
            queue.popleft()[1]()

    def _not_captured(self, stream: Stream) -> None:
        if stream.captured is not None:
            raise self.misuse(f"stream {stream.handle} captures a graph, and is waited for or recorded")
