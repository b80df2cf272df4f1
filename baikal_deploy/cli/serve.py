"""baikal-serve: denoise frames for other programs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import rich_click as click

from baikal_deploy._version import __version__
from baikal_deploy.cli.terminal import Command, friendly, plain_console
from baikal_deploy.denoising.precision import AUTO_PRECISION, PRECISIONS, AskedPrecision
from baikal_deploy.denoising.windows import DEFAULT_TILE
from baikal_deploy.engines import AUTO, engine_names
from baikal_deploy.live import LiveDenoiser
from baikal_deploy.models.manifest import DEFAULT_MODEL, shipped_models
from baikal_deploy.serve import Address, Limits
from baikal_deploy.serve.address import HOST, PORT, TOKEN

POSIX = Path("/dev/shm")
"""Folder in which Linux shows POSIX shared memory."""


EXAMPLES = (
    ("baikal-serve --model nuclei --port 8000", "for programs on this machine"),
    ("baikal-serve --latency-ms 100", "as well as can be within 100 ms a frame"),
)


@click.command(
    "baikal-serve",
    cls=Command,
    examples=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    help=f"Shipped model ({', '.join(shipped_models())}), or an .onnx file of baikal-export.",
)
@click.option(
    "--engine",
    default=AUTO,
    help=f"The fastest that works here, or one of {', '.join(engine_names())} and no other in its place.",
)
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default=AUTO_PRECISION,
    help="What the network computes in. auto takes the fastest that works here and loses at most 0.02 dB for "
    "this model, by its record (docs/engines.md).",
)  # fmt: skip
@click.option(
    "--tile", metavar="PX", type=int, default=DEFAULT_TILE, help="Largest side of the network's windows."
)
@click.option(
    "--batch", metavar="N", type=int, default=1,
    help="Windows of a frame that are computed in one call of the engine.",
)  # fmt: skip
@click.option(
    "--memory", metavar="SIZE",
    help="Most memory that the server takes, such as 2GB or 25% of what is free: a frame that needs more is "
    "refused. [default: as much as frames need]",
)  # fmt: skip
@click.option(
    "--host", default=HOST, help="Address to listen on; one that other machines reach needs a token."
)
@click.option("--port", type=int, default=PORT, help="Port to listen on; 0 takes one that is free.")
@click.option(
    "--token", envvar=TOKEN, show_envvar=True,
    help="Answer only requests with Authorization: Bearer TOKEN. The environment is the safer place: other "
    "users of this machine see the options of a command. [default: none]",
)  # fmt: skip
@click.option(
    "--queue", metavar="N", type=click.IntRange(1), default=8,
    help="Frames that may wait; further ones are refused with status 503 and counted as dropped.",
)  # fmt: skip
@click.option(
    "--latency-ms", metavar="MS", type=float,
    help="Give each frame the most network evaluations, up to 8, that keep it within this time. "
    "[default: 1 evaluation]",
)  # fmt: skip
@click.option(
    "--fuse", is_flag=True,
    help="Average each result with what is known of the frames of its channel before it, where they show the "
    "same (docs/neighbours.md).",
)  # fmt: skip
@click.option(
    "--largest", metavar="MB", type=click.IntRange(1), default=Limits.largest,
    help="Largest request; all together may hold 8 times as much.",
)  # fmt: skip
@click.option(
    "--streams", metavar="N", type=click.IntRange(1), default=Limits.streams,
    help="Channels, each in one pixel type, that may have an intensity mapping.",
)  # fmt: skip
@click.option(
    "--shared-memory", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the files that clients on this machine may share. [default: /dev/shm where there is one]",
)  # fmt: skip
@click.version_option(__version__)
@friendly
def main(
    model: str,
    engine: str,
    precision: AskedPrecision,
    tile: int,
    batch: int,
    memory: str | None,
    host: str,
    port: int,
    token: str | None,
    queue: int,
    latency_ms: float | None,
    fuse: bool,
    largest: int,
    streams: int,
    shared_memory: Path | None,
) -> None:
    """Denoise frames for other programs, over HTTP with the Open Inference Protocol (KServe v2).

    Clients such as tritonclient send frames to /v2/models/MODEL/infer. A browser shows the latest frame,
    raw and denoised, at /, and Prometheus reads /metrics. Ctrl-C or SIGTERM ends it when all requests
    that were accepted are answered.
    """
    from baikal_deploy.serve import serve_frames  # its packages are an extra

    address = Address(host, port, token)
    if shared_memory is None and POSIX.is_dir():
        shared_memory = POSIX
    options: dict[str, Any] = {
        "engine": engine,
        "precision": precision,
        "tile": tile,
        "batch": batch,
        "memory": memory,
        "queue": queue,
        "latency_ms": latency_ms,
        "fuse": fuse,
    }
    with closing(address.socket), LiveDenoiser(model, when_full="drop-newest", **options) as live:
        server = serve_frames(live, address, Limits(largest, streams, shared_memory))
        made, console = live.provenance(), plain_console()
        on = made["engine"]
        what = f"{made['model']['name']} on {on['name']} in {on['precision']} ({on['device']})"
        console.print(f"serving {what} at {server.url}; Ctrl-C ends it", soft_wrap=True)
        server.run()
        found = live.statistics
        console.print(f"{found.done} frames denoised, {found.dropped} dropped, {found.failed} failed")
