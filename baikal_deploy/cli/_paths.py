"""The paths of baikal-run's command line: inputs, and the output behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baikal_deploy.errors import ConfigError
from baikal_deploy.volumes.create import is_image_name, provenance_at
from baikal_deploy.volumes.urls import Source, looks_like_url, source_of


def split_paths(paths: Sequence[str], *, overwrite: bool) -> tuple[list[Source], str | None]:
    """Inputs and output of a command line: the last path is the output, if there are two or more.

    Args:
        paths: as they were given; at least one.
        overwrite: whether an output may be replaced.

    Raises:
        ConfigError: the last of many is not a folder; the second of two may be another input that a shell has
            spelled out.
    """
    first, *others = paths
    if not others:
        return [source_of(first)], None
    last = others.pop()
    if looks_like_url(Path(last)):
        return [source_of(path) for path in (first, *others)], last
    output = Path(last)
    if others and (is_image_name(output) or output.is_file()):
        raise ConfigError(
            f"{output}: the outputs of {len(paths) - 1} inputs go to a folder; give one as the last path"
        )
    beside = output != Path(first) and Path(first).parent == output.parent
    alike = beside and Path(first).suffix == output.suffix
    if overwrite and not others and alike and output.is_file() and provenance_at(output) is None:
        raise ConfigError(
            f"{output}: would be replaced as OUTPUT, and is not an output of this program; if it is another "
            f"input, give an output folder as the last path"
        )
    return [source_of(path) for path in (first, *others)], last
