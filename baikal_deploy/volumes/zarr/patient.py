"""A store in a folder whose files other programs may hold for a moment, as happens on Windows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

from zarr.storage import LocalStore

from baikal_deploy.host.moves import move, remove_file, remove_folder


class PatientFolder(LocalStore):
    """Store in a folder that is written with the patience of ``host.moves``; nobody else writes it.

    zarr-python's own gives up at the first refusal, and leaves what it was writing.
    """

    async def set(self, key: str, value: Any) -> None:
        await self._ensure_open()
        self._check_writable()
        await asyncio.to_thread(_put, self.root / key, value)

    def set_sync(self, key: str, value: Any) -> None:
        self._check_writable()
        _put(self.root / key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        if not (self.root / key).exists():
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        self._check_writable()
        await asyncio.to_thread(_remove, self.root / key)

    def delete_sync(self, key: str) -> None:
        self._check_writable()
        _remove(self.root / key)

    async def delete_dir(self, prefix: str) -> None:
        await self.delete(prefix)


def _put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        with new.open("wb") as file:
            file.write(value.as_buffer_like())
        move(new, path)
    except BaseException:
        remove_file(new)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_folder(path)
    else:
        remove_file(path)
