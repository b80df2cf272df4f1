"""The options of baikal-run, group by group as --help shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import rich_click as click

from baikal_deploy.denoising.precision import AUTO_PRECISION, PRECISIONS
from baikal_deploy.denoising.stack import Defects
from baikal_deploy.denoising.windows import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER, sampler_names
from baikal_deploy.diffusion.samplers.auto import BUDGETS
from baikal_deploy.engines import AUTO, engine_names
from baikal_deploy.measurement.gate import Fuse
from baikal_deploy.models.manifest import DEFAULT_MODEL, shipped_models
from baikal_deploy.pixels.dtypes import TYPES
from baikal_deploy.run.config import Normalise, OnError, OtherChannels, ShareNoise
from baikal_deploy.run.follow import TIMEOUT
from baikal_deploy.volumes.naming import Kind
from baikal_deploy.volumes.storage import LEVELS, Ngff

Command = TypeVar("Command", bound=Callable[..., Any])
Option = tuple[tuple[str, ...], dict[str, Any]]
"""Names and settings, as click.option takes them."""

FILE = click.Path(path_type=Path)
LOGS = ("text", "json")


PLACE = click.Path(path_type=str)
"""A file, a folder or a URL, as text; shells complete it as a file."""


def _completed(names: Callable[[], Iterable[str]]) -> Callable[[Any, Any, str], list[str]]:
    """Function with which a shell completes one of several names."""
    return lambda ctx, param, incomplete: [name for name in names() if name.startswith(incomplete)]


def option(*names: str, **settings: Any) -> Option:
    """One line of the table below."""
    return names, settings


GROUPS: dict[str, list[Option]] = {
    "What to do": [
        option(
            "--series", metavar="N", type=int,
            help="Which image of several. [default: the only one; all of an OME-Zarr store]",
        ),
        option(
            "--recursive", is_flag=True,
            help="Also denoise what is in the folders of a folder; OUTPUT gets the same folders.",
        ),
        option(
            "--axes", metavar="zyx|tcyx|…",
            help="Axes of INPUT if nothing in it names them: letters of t, c, z, in this order, then yx. "
            "[default: zyx, czyx or tczyx]",
        ),
        option(
            "--overwrite", is_flag=True,
            help="Replace OUTPUT once the new one is complete; drop what another run left unfinished.",
        ),
        option(
            "--on-error", type=click.Choice(get_args(OnError)), default="stop",
            help="A plane that cannot be read or denoised: end the run, write it as it is (bad chunks 0), or "
            "as 0.",
        ),
        option(
            "--follow", is_flag=True,
            help="INPUT is still being written: denoise what is there and what comes (docs/follow.md).",
        ),
        option(
            "--follow-timeout", metavar="SECONDS", type=float,
            help="With --follow: INPUT has ended when nothing was written for so long. "
            f"[default: {TIMEOUT:g}]",
        ),
        option(
            "--journal", metavar="FOLDER", type=FILE,
            help="Local folder of the journal of an OUTPUT at a URL, and of what is not uploaded yet. "
            "[default: the current folder]",
        ),
        option("--dry-run", is_flag=True, help="Measure, print the plan, and write nothing."),
        option(
            "--guide", metavar="VOLUME",
            help="Another denoiser's output for INPUT (N2V, say) to guide the sampler. [default: none]",
        ),
    ],
    "Which part of it": [
        option(
            "--channel", "channels", metavar="N|NAME,…", multiple=True,
            help="Channels to denoise; may be repeated. [default: all]",
        ),
        option(
            "--other-channels", type=click.Choice(get_args(OtherChannels)), default="copy",
            help="Whether the output has the other channels, unchanged.",
        ),
        option("--t", metavar="SPAN", help="Time points, as Python slices: 0:10, ::2 or 3. [default: all]"),
        option("--z", metavar="SPAN", help="Planes of each stack, as --t. [default: all]"),
        option("--roi", metavar="Y0:Y1,X0:X1", help="Rows and columns of each plane. [default: all]"),
    ],
    "What to write": [
        option(
            "--format", type=click.Choice(get_args(Kind)),
            help="Format of outputs that are not named, also those of a folder. [default: OME-TIFF for "
            "files, OME-Zarr for stores, URLs, above 4 GB and with --dask or --follow]",
        ),
        option(
            "--dtype", metavar="TYPE",
            help=f"Pixel type of OUTPUT, in the units of INPUT: {', '.join(TYPES)}. [default: that of INPUT]",
        ),
        option(
            "--defects", type=click.Choice(get_args(Defects)), default="replace",
            help="Whether hot and dead pixels of the detector are replaced by what is around them, or keep "
            "their values.",
        ),
        option(
            "--preview", metavar="FILE.png", type=FILE,
            help="Also write a picture: projections along z before and after, and what has changed. "
            "[default: none]",
        ),
        option(
            "--report", metavar="FILE.html", type=FILE,
            help="Also write a page: planes with a slider, histograms, the noise, what was chosen. "
            "[default: none]",
        ),
        option(
            "--uncertainty", metavar="IMAGE", type=FILE,
            help="Also write the standard deviation of each pixel of the result; 8 times more work. "
            "[default: none]",
        ),
        option(
            "--mask", metavar="IMAGE", type=FILE,
            help="Also write a mask of where the result differs from the data by more than noise. "
            "[default: none]",
        ),
    ],
    "How to store it": [
        option(
            "--codec", metavar="NAME[:LEVEL]",
            help=f"Compression: none, {', '.join(LEVELS)} (not in a TIFF), such as zstd:9. "
            "[default: zstd:1 in an OME-Zarr, none in a TIFF]",
        ),
        option(
            "--ngff", type=click.Choice(get_args(Ngff)), default="0.5",
            help="Version of OME-Zarr: 0.5 in Zarr 3, or 0.4 in Zarr 2 for programs that read no other.",
        ),
        option(
            "--chunk", metavar="PX", type=int,
            help="Largest side of the chunks of an OME-Zarr, a power of two. [default: up to 1024]",
        ),
        option(
            "--shard", metavar="SIZE",
            help="Most pixels of a shard of an OME-Zarr, such as 16MB, or none: each chunk is a file of its "
            "own. [default: 64MiB]",
        ),
    ],
    "How to denoise": [
        option(
            "--model", metavar="MODEL|CHANNEL=MODEL,…", default=DEFAULT_MODEL,
            shell_complete=_completed(shipped_models),
            help=f"Shipped model ({', '.join(shipped_models())}), .onnx file of baikal-export, or auto: the "
            "shipped one that suits a channel best. For each channel: DAPI=nuclei,BF=skip,*=auto, where skip "
            "leaves it as it is, and * is for the others (docs/runs.md).",
        ),
        option(
            "--sampler", default=DEFAULT_SAMPLER, shell_complete=_completed(sampler_names),
            help=f"One of {', '.join(sampler_names())}; --help-sampler NAME tells its options.",
        ),
        option(
            "--budget", metavar="NAME|N",
            help=f"{', '.join(BUDGETS)}, or network evaluations per plane, for sampler auto. "
            "[default: balanced]",
        ),
        option(
            "-o", "--option", "options", metavar="KEY=VALUE", multiple=True,
            help="Option of the sampler, such as -o start=200 or -o preset=paper; may be repeated.",
        ),
        option(
            "--steps", metavar="N|ddimN|walkN",
            help="Respacing: N or ddimN of all timesteps, or N from start to 0. "
            "[default: what the model recommends]",
        ),
        option(
            "--normalise", type=click.Choice(get_args(Normalise)), default="per-volume",
            help="Whether intensities and noise of a channel are measured once, or for each time point.",
        ),
        option(
            "--fuse", type=click.Choice(get_args(Fuse)),
            help="Average results with those beside them in time, along z, or both, where these show the "
            "same (docs/neighbours.md). [default: each plane by itself]",
        ),
        option(
            "--again", is_flag=True,
            help="With --fuse: denoise planes once more, averaged with those beside them: more is found, in "
            "about twice the time.",
        ),
        option(
            "--from", "results", metavar="RESULT",
            help="With --fuse: a finished OUTPUT of the same command without it, which is fused. [default: "
            "INPUT is denoised first]",
        ),
        option(
            "--share-noise", type=click.Choice(get_args(ShareNoise)), default="z",
            help="Axes along which samplers that draw get the same random numbers: planes flicker less so.",
        ),
        option("--seed", type=int, default=0, help="The same seed gives the same result."),
        option(
            "--draws", metavar="K", type=int,
            help="K outputs, NAME_draw1 and so on, of the seeds from --seed on, for samplers that draw "
            "(posterior). [default: one output]",
        ),
    ],
    "How to compute": [
        option(
            "--engine", default=AUTO, shell_complete=_completed(engine_names),
            help=f"The fastest that works here, or one of {', '.join(engine_names())} and no other in its "
            "place.",
        ),
        option(
            "--precision", type=click.Choice(PRECISIONS), default=AUTO_PRECISION,
            help="What the network computes in. auto takes the fastest that works here and loses at most "
            "0.02 dB for this model, by its record; fp32 for samplers of many evaluations (docs/engines.md).",
        ),
        option(
            "--tile", metavar="PX", type=int, default=DEFAULT_TILE,
            help="Largest side of the network's windows.",
        ),
        option(
            "--overlap", metavar="PX", type=int, default=DEFAULT_OVERLAP,
            help="Least overlap of the windows.",
        ),
        option(
            "--batch", metavar="N", type=int, default=1,
            help="Windows of the network in one call: of one plane, or of several that have fewer.",
        ),
        option(
            "--dask", metavar="WORKERS",
            help="Share the work out: local:N processes, tcp://HOST:PORT of a Dask scheduler, or FILE.toml "
            "for SLURM jobs (docs/cluster.md). [default: this process does it]",
        ),
        option(
            "--memory", metavar="SIZE",
            help="Most memory that a process takes, such as 1GB, 500MB or 25% of what is free (which the "
            "workers of --dask local:N share). Where the usual shards need more, they are made smaller, and "
            "large planes are cut into regions. [default: half of what is free]",
        ),
    ],
    "What to say": [
        option(
            "-q", "--quiet", is_flag=True,
            help="Say nothing but errors, and the paths of what was written.",
        ),
        option(
            "--log", type=click.Choice(LOGS), default=LOGS[0],
            help="What goes to stderr: text with bars in a terminal, or JSON lines for programs "
            "(docs/guarantees.md).",
        ),
    ],
}  # fmt: skip

click.rich_click.OPTION_GROUPS = {
    "baikal-run": [
        {"name": group, "options": [next(n for n in names if n.startswith("--")) for names, _ in options]}
        for group, options in GROUPS.items()
    ]
}


def run_options(command: Command) -> Command:
    """Give a function all options of the table."""
    for names, settings in reversed([one for options in GROUPS.values() for one in options]):
        command = click.option(*names, **settings)(command)
    return command
