"""Files that Windows would not let go of at once; the refusals are made up, with Windows' own codes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.host import moves
from baikal_deploy.host.moves import move, remove_file, remove_folder


class Held:
    """A call to the system that refuses a number of times."""

    def __init__(self, call: Callable[..., Any], times: int, code: int) -> None:
        self.call, self.left, self.code = call, times, code

    def __call__(self, path: Path, *args: Any, **kwargs: Any) -> Any:
        if self.left:
            self.left -= 1
            error = PermissionError(13, "Access is denied", str(path))
            vars(error)["winerror"] = self.code
            raise error
        return self.call(path, *args, **kwargs)


def hold(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, times: int = 3, code: int = 32) -> Held:
    held = Held(getattr(owner, name), times, code)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: held(*args, **kwargs))
    return held


@pytest.mark.parametrize("code", moves.HELD)
def test_a_file_that_is_held_for_a_moment_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("new")
    new.write_text("old")
    held = hold(monkeypatch, Path, "replace", code=code)
    assert move(old, new) == new
    assert (held.left, new.read_text(), old.exists()) == (0, "new", False)


def test_what_is_held_for_a_moment_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    (folder / "inside").touch()
    hold(monkeypatch, Path, "unlink")
    hold(monkeypatch, shutil, "rmtree")
    remove_file(file)
    remove_folder(folder)
    assert not list(tmp_path.iterdir())


def test_what_is_held_for_good_says_who_may_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(moves, "PATIENCE", 0.05)
    hold(monkeypatch, Path, "unlink", times=10**6)
    with pytest.raises(PermissionError, match="viewer, a virus scanner or a backup: close that") as caught:
        remove_file(tmp_path / "file")
    assert caught.value.filename == str(tmp_path / "file")


def test_another_refusal_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = hold(monkeypatch, Path, "replace", code=0)
    with pytest.raises(PermissionError, match="Access is denied"):
        move(tmp_path / "old", tmp_path / "new")
    assert held.left == 2
