"""Reading ahead and writing behind while the network computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Done = TypeVar("Done")
Check = Callable[[], None]


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    work: Callable[[Item, Read, Check], Done],
    write: Callable[[Item, Done], None],
) -> None:
    """Read, work on and write items in order, the three beside each other.

    The next item is read, and the last one written, in a thread of its own; no more than these two are held
    beside the one that is worked on.

    Args:
        items: in order.
        read: runs in a thread.
        work: runs in this thread. It may call its last argument now and then, which raises what writing
            raised, so that work that cannot be kept ends early.
        write: runs in another thread.

    Raises:
        What any of the three raises; what was worked on before that is written.
    """
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        left = iter(items)
        behind: Future[None] | None = None

        def next_read() -> tuple[Item, Future[Read]] | None:
            item = next(left, None)
            return None if item is None else (item, reader.submit(read, item))

        def check() -> None:
            if behind is not None and behind.done():
                behind.result()

        coming = next_read()
        while coming is not None:
            item, found = coming[0], coming[1].result()
            coming = next_read()
            done = work(item, found, check)
            if behind is not None:
                behind.result()
            behind = writer.submit(write, item, done)
            del found, done  # the threads hold what is still needed
        if behind is not None:
            behind.result()
