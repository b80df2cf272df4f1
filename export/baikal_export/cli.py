"""baikal-export: checkpoint -> ONNX model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import rich_click as click

from baikal_deploy.cli.terminal import friendly
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.samplers import make_sampler
from baikal_export.foreign import layout, layout_names, recognised
from baikal_export.onnx_file import export
from baikal_export.trained import TrainedModel
from baikal_training.checkpoint import Checkpoint

CARD_TABLES = ("card", "recommended")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Model to write [default: beside the checkpoint]."
)
@click.option("--name", help="Name of the model [default: the output's].")
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="TOML file with tables [card] (data, licence, limits) and [recommended.SAMPLER] (options).",
)
@click.option(
    "--from",
    "source",
    type=click.Choice(layout_names()),
    help="MODEL is not a checkpoint of baikal-train, but another project's.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML or JSON file that states what another project's model does not tell.",
)
@friendly
def main(
    model: Path,
    output: Path | None,
    name: str | None,
    card: Path | None,
    source: str | None,
    config: Path | None,
) -> None:
    """Write a checkpoint's EMA network as one ONNX file that describes itself.

    The file is only kept if it agrees with the checkpoint to a relative error of 1e-5.
    """
    output = output or _beside(model)
    if not output.parent.is_dir():
        raise ConfigError(f"{output.parent}: no such folder to write the model to")
    described = {} if card is None else read_card(card)
    trained = _read(model, source, config)
    error = export(trained.network(), trained.manifest(name or output.stem, **described), output)
    size = output.stat().st_size / 1e6
    click.echo(f"wrote {output} ({size:.1f} MB); it agrees with {model} to {error:.1e}")


def _beside(model: Path) -> Path:
    """Where the ONNX file goes by default."""
    if not model.is_dir():
        return model.with_suffix(".onnx")
    folder = model.resolve()  # "." has no name
    return folder.with_name(folder.name + ".onnx")


def _read(model: Path, source: str | None, config: Path | None) -> TrainedModel:
    """Our own checkpoint, or with ``source`` a model of that layout."""
    if source is not None:
        return layout(source).read(model, config)
    if config is not None:
        raise ConfigError(f"--config {config}: a checkpoint of baikal-train needs none; it goes with --from")
    try:
        return TrainedModel.of_checkpoint(Checkpoint.load(model))
    except ModelError as error:
        if (name := recognised(model)) is None:
            raise
        raise ModelError(f"{error}; it looks like another project's: try --from {name}") from error


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
