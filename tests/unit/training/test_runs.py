"""The folder of a training run, interrupted."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from baikal_training.interrupts import uninterrupted
from baikal_training.runs import RunFolder
from tests.capabilities import require


def test_a_row_is_whole_before_ctrl_c_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KeyboardInterrupt inside TensorBoard's queue leaves its lock taken, and closing waits for ever."""
    require("signals")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # an earlier test may have set another
    folder = RunFolder.create(tmp_path / "run", {}, {})
    written: list[str] = []

    def add_scalar(name: str, *_: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        written.append(name)

    with monkeypatch.context() as patch:
        patch.setattr(folder._tensorboard, "add_scalar", add_scalar)
        with pytest.raises(KeyboardInterrupt):
            folder.log(1, {"loss": 1.0, "learning_rate": 0.1})
    assert written == ["loss", "learning_rate"]
    assert (tmp_path / "run" / "log.csv").read_text().splitlines()[-1].startswith("1,1.0,0.1")
    folder.close()
    signal.signal(signal.SIGINT, before)


def test_what_goes_wrong_in_the_block_comes_first() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), uninterrupted():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_signals_alone() -> None:
    done: list[bool] = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
