"""Does something in a process of its own, in bounded time and memory.

Each is a child of one process that has loaded everything and done nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from tests.capabilities import require

SECONDS = 20
MOST_MB = 300
"""That anything may take beyond what the process holds when it has loaded everything."""
SPACE = 4 * 2**30
"""Of addresses: more ends in a MemoryError, not in a machine that stands still."""


def bounded(what: str, *paths: Path) -> str:
    """The mean of some pixels ("read"), notes ("labels"), a model's name ("model"), or an error."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([what, *map(str, paths)]) + "\n")
    server.stdin.flush()
    said, grown = json.loads(server.stdout.readline())
    assert grown < MOST_MB, (said, grown)
    assert "\n" not in said
    return str(said)


@lru_cache
def _server() -> subprocess.Popen[str]:
    """Ends with this process, when its input does."""
    require("fork", "limits", "signals")
    return subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _serve() -> None:
    import resource

    for line in sys.stdin:
        if not (child := os.fork()):
            resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
            signal.alarm(SECONDS)
            before = _peak()
            said = _do(*json.loads(line))
            print(json.dumps([said, _peak() - before]), flush=True)
            os._exit(0)
        if status := os.waitpid(child, 0)[1]:
            print(json.dumps([f"died: {status}", MOST_MB]), flush=True)


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _do(what: str, path: str, *more: str) -> str:
    from baikal_deploy.errors import BaikalError
    from baikal_deploy.models.manifest import read_manifest
    from baikal_deploy.volumes.open import open_input
    from baikal_deploy.volumes.zarr.labels import copy_labels

    try:
        if what == "read":
            return repr(float(open_input(Path(path)).read_window(0, slice(0, 32), slice(0, 32)).mean()))
        if what == "labels":
            return "; ".join(copy_labels(Path(path), Path(more[0]), "0.5"))
        return read_manifest(Path(path)).name
    except BaikalError as error:
        return f"error: {error}"
    except BaseException as error:
        return f"raised {error!r}"


if __name__ == "__main__":
    _serve()
