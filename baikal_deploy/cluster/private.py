"""Dask's servers, for one run and nobody else: who talks to them holds its keys.

Scheduler and workers do what any process tells them that they let in. Without keys that would be every
user of the machine, also where they listen on loopback only.
"""

from __future__ import annotations

import os
from pathlib import Path

from distributed import Scheduler, Worker
from distributed.security import Security

from baikal_deploy.errors import ClusterError


class _NoPages:
    """A server without HTTP: Dask's pages show code and logs, and ask nobody for a key."""

    def start_http_server(self, *arguments: object, **options: object) -> None:
        """Start no HTTP server."""


class PrivateScheduler(_NoPages, Scheduler):  # type: ignore[misc]
    """A scheduler without a dashboard."""


class PrivateWorker(_NoPages, Worker):  # type: ignore[misc]
    """A worker without a dashboard."""


def keys() -> Security:
    """TLS keys that are made for this, and lie in memory only."""
    return Security.temporary()


def keys_in(folder: Path) -> Security:
    """TLS keys that are made for this, in files that workers on other machines read.

    Raises:
        ClusterError: others can read the folder, as where a file system knows no permissions.
        OSError: it cannot be written.
    """
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        raise ClusterError(
            f"{folder.parent}: keys would not be safe there, since its file system lets everybody read them; "
            "start this in a folder of another one"
        )
    made, key, certificate = keys(), folder / "key.pem", folder / "certificate.pem"
    for file, text in ((key, made.tls_worker_key), (certificate, made.tls_worker_cert)):
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
    roles = {
        f"tls_{role}_{kind}": str(file)
        for role in ("client", "scheduler", "worker")
        for kind, file in (("key", key), ("cert", certificate))
    }
    return Security(require_encryption=True, tls_ca_file=str(certificate), **roles)
