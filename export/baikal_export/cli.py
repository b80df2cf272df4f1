"""baikal-export: checkpoint -> ONNX model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import rich_click as click

from baikal_deploy import __version__
from baikal_deploy.cli.terminal import friendly
from baikal_deploy.errors import ConfigError
from baikal_deploy.manifest import ModelManifest
from baikal_deploy.samplers import make_sampler
from baikal_export.network import EpsNetwork
from baikal_export.onnx_file import export
from baikal_training.checkpoint import Checkpoint

CARD_TABLES = ("card", "recommended")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Model to write [default: beside the checkpoint]."
)
@click.option("--name", help="Name of the model [default: the output's].")
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="TOML file with tables [card] (data, licence, limits) and [recommended.SAMPLER] (options).",
)
@friendly
def main(checkpoint: Path, output: Path | None, name: str | None, card: Path | None) -> None:
    """Write a checkpoint's EMA network as one ONNX file that describes itself.

    The file is only kept if it agrees with the checkpoint to a relative error of 1e-5.
    """
    output = output or checkpoint.with_suffix(".onnx")
    if not output.parent.is_dir():
        raise ConfigError(f"{output.parent}: no such folder to write the model to")
    loaded = Checkpoint.load(checkpoint)
    manifest = ModelManifest(
        name=name or output.stem,
        schedule=loaded.schedule,
        variance=loaded.objective.variance,
        normalisation=loaded.normalisation,
        downsampling=loaded.unet.downsampling,
        training=loaded.training | {"exported_by": f"baikal-deploy {__version__}"},
        **({} if card is None else read_card(card)),
    )
    error = export(EpsNetwork(loaded), manifest, output)
    size = output.stat().st_size / 1e6
    click.echo(f"wrote {output} ({size:.1f} MB); it agrees with {checkpoint} to {error:.1e}")


def read_card(path: Path) -> dict[str, Any]:
    """The card and the recommended options of a model.

    Raises:
        ConfigError: no such file, not TOML, or tables and options that nothing knows.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a model card ({error})") from error
    for table in tables:
        if table not in CARD_TABLES:
            raise ConfigError(f"{path}: unknown table [{table}]; there are {', '.join(CARD_TABLES)}")
    card, recommended = tables.get("card", {}), tables.get("recommended", {})
    _check_table(path, "card", card, str, "text")
    _check_table(path, "recommended", recommended, dict, "a table of a sampler's options")
    for sampler, options in recommended.items():
        try:
            make_sampler(sampler, options, {})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    return tables


def _check_table(path: Path, name: str, table: Any, kind: type, needed: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name} = {table}: needed is a table [{name}]")
    for key, value in table.items():
        if not isinstance(value, kind):
            raise ConfigError(f"{path}: [{name}] {key} = {value}: needed is {needed}")
