from __future__ import annotations

import threading
import time

import pytest

from baikal_deploy.run.prefetch import Check, overlapped


def nothing(item: int, *more: object) -> int:
    return item


def test_everything_is_done_once_and_in_order() -> None:
    written: list[tuple[int, int]] = []
    overlapped(
        range(7),
        lambda item: item * 10,
        lambda item, found, check: found + item,
        lambda item, done: written.append((item, done)),
    )
    assert written == [(item, 11 * item) for item in range(7)]
    overlapped([], nothing, nothing, nothing)


def test_reading_and_writing_go_on_while_work_is_done() -> None:
    """Work on item 1 lasts until item 2 has been read and item 0 written."""
    read, written = [threading.Event() for _ in range(3)], [threading.Event() for _ in range(3)]

    def work(item: int, found: None, check: Check) -> None:
        if item == 1:
            assert read[2].wait(20)
            assert written[0].wait(20)

    overlapped(range(3), lambda item: read[item].set(), work, lambda item, done: written[item].set())


def test_no_more_than_one_item_waits_on_either_side() -> None:
    lock, held, most = threading.Lock(), 0, 0

    def count(change: int) -> None:
        nonlocal held, most
        with lock:
            held += change
            most = max(most, held)

    def write(item: int, done: None) -> None:
        time.sleep(0.01)
        count(-1)

    overlapped(range(12), lambda item: count(1), lambda item, found, check: time.sleep(0.002), write)
    assert most == 3


@pytest.mark.parametrize("step", ["read", "work", "write"])
def test_an_error_ends_it_and_keeps_what_was_worked_on(step: str) -> None:
    written: list[int] = []

    def failing(name: str) -> None:
        if name == step:
            raise OSError(f"cannot {name}")

    def read(item: int) -> None:
        if item == 3:
            failing("read")

    def work(item: int, found: None, check: Check) -> None:
        if item == 3:
            failing("work")

    def write(item: int, done: None) -> None:
        if item == 3:
            failing("write")
        time.sleep(0.01)
        written.append(item)

    with pytest.raises(OSError, match=f"cannot {step}"):
        overlapped(range(9), read, work, write)
    assert written == [0, 1, 2]


def test_work_learns_that_writing_has_failed() -> None:
    def work(item: int, found: None, check: Check) -> None:
        for _ in range(2000 if item else 0):
            check()
            time.sleep(0.01)
        assert not item, "worked to the end for nothing"

    def write(item: int, done: None) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        overlapped(range(2), lambda item: None, work, write)
