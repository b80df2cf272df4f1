"""Items that wait between two threads: a bounded queue that says what it drops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition
from typing import Literal, TypeVar

from baikal_deploy.errors import BaikalError

WhenFull = Literal["drop-oldest", "drop-newest", "block"]
Item = TypeVar("Item")


class FrameDropped(BaikalError):
    """A frame that was not denoised, since others waited or the stream was ended."""


class Waiting(Iterator[Item]):
    """A queue of at most ``size`` items, and an iterator over them that ends when it is closed.

    Arguments:
        when_full: what becomes of an item that finds the queue full, or of the oldest one in it; "block" lets
            ``put`` wait.
    """

    def __init__(self, size: int, when_full: WhenFull) -> None:
        self.size, self.when_full = size, when_full
        self._items: deque[Item] = deque()
        self._changed = Condition()
        self._closed = False

    @property
    def closed(self) -> bool:
        """True if nothing more is taken."""
        return self._closed

    def __next__(self) -> Item:
        item = self.get()
        if item is None:
            raise StopIteration
        return item

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> list[Item]:
        """Add an item.

        Returns:
            The items that are dropped for it, or the item itself where it is refused.
        """
        with self._changed:
            if self.when_full == "block":
                self._changed.wait_for(lambda: self._closed or len(self._items) < self.size)
            if self._closed or (self.when_full == "drop-newest" and len(self._items) >= self.size):
                return [item]
            dropped = [self._items.popleft() for _ in range(len(self._items) + 1 - self.size)]
            self._items.append(item)
            self._changed.notify_all()
            return dropped

    def get(self) -> Item | None:
        """The oldest item; waits for one. None when the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) > 0)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def remove(self, unwanted: Callable[[Item], bool]) -> list[Item]:
        """Take some items out of the queue.

        Args:
            unwanted: True for the items to take.

        Returns:
            The items that were taken out.
        """
        with self._changed:
            removed = [item for item in self._items if unwanted(item)]
            if removed:
                self._items = deque(item for item in self._items if not unwanted(item))
                self._changed.notify_all()
            return removed

    def close(self, keep: bool = True) -> list[Item]:
        """Take nothing more.

        Args:
            keep: items that wait are still given out; otherwise they are dropped.

        Returns:
            The items that are dropped.
        """
        with self._changed:
            self._closed = True
            dropped = [] if keep else list(self._items)
            if not keep:
                self._items.clear()
            self._changed.notify_all()
            return dropped
