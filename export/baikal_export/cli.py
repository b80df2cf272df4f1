"""baikal-export: checkpoint -> ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import rich_click as click
from click.core import ParameterSource

from baikal_deploy.cli.terminal import Command, friendly, tell
from baikal_deploy.engines._tensorrt.family import TENSORRT, TENSORRT_RTX
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.measurement.structure.classifier import structure_names
from baikal_deploy.models.manifest import Stored
from baikal_deploy.models.record import ModelRecord
from baikal_deploy.volumes.places import check_model_file, check_reachable
from baikal_export import engine_files, record
from baikal_export.card import read_card
from baikal_export.derived import Derived, exported, of_exported
from baikal_export.foreign import layout, layout_names, recognised
from baikal_export.onnx_file import MAX_LOSS_DB, export
from baikal_export.planes import Images
from baikal_export.report import report
from baikal_export.trained import TrainedModel
from baikal_training.checkpoint import Checkpoint

click.rich_click.OPTION_GROUPS = click.rich_click.OPTION_GROUPS | {
    "baikal-export": [
        {"name": "The model", "options": ["--output", "--name", "--card", "--from", "--config"]},
        {"name": "Its record", "options": ["--record", "--knows"]},
        {
            "name": "Its precision",
            "options": ["--precision", "--verify", "--calibrate", "--channel", "--max-loss"],
        },
        {
            "name": "What else to make of it",
            "options": [
                "--fused-sampler",
                "--bioimageio",
                "--tensorrt",
                "--tensorrt-rtx",
                "--sm",
                "--profile",
            ],
        },
    ]
}


@click.command("baikal-export", cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Model to write [default: beside the checkpoint, named after it and the precision].",
)  # fmt: skip
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
@click.option(
    "--record", "only_record", is_flag=True,
    help="MODEL is an exported .onnx file: measure its record again, and write nothing else.",
)  # fmt: skip
@click.option(
    "--knows", multiple=True, type=click.Choice(structure_names()),
    help="Kind of structure that the model has learnt, for its record; may be repeated.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(get_args(Stored)), default="fp32", show_default=True,
    help="What the network computes in.",
)  # fmt: skip
@click.option(
    "--verify", type=click.Path(path_type=Path), multiple=True,
    help="Clean images to measure the loss on [default: the checkpoint's validation volumes].",
)  # fmt: skip
@click.option(
    "--calibrate", type=click.Path(path_type=Path), multiple=True,
    help="Clean images to calibrate int8 with [default: the checkpoint's training volumes].",
)  # fmt: skip
@click.option("--channel", help="Number (from 0) or name of the channel of those images.")
@click.option(
    "--max-loss", type=click.FloatRange(min=0), default=MAX_LOSS_DB, show_default=True, metavar="DB",
    help="PSNR that denoised images may lose against torch.",
)  # fmt: skip
@click.option(
    "--fused-sampler", "fused", multiple=True, metavar="NAME,KEY=VALUE,…",
    help="Also write a whole sampler as one graph, for programs in C, C++, C# or Java; may be repeated.",
)  # fmt: skip
@click.option(
    "--bioimageio", "package", type=click.Path(path_type=Path), metavar="FILE.zip",
    help="Also write a package of bioimage.io, for Fiji and others; it measures the noise itself.",
)  # fmt: skip
@click.option(
    "--tensorrt", is_flag=True, help="Also build the engine file of TensorRT for this machine's GPU."
)
@click.option(
    "--tensorrt-rtx", is_flag=True, help="Also build the engine file of TensorRT for RTX; needs no GPU."
)
@click.option(
    "--sm", metavar="86,89,…",
    help="Compute capabilities that --tensorrt-rtx builds for [default: all that it can but 75].",
)  # fmt: skip
@click.option(
    "--profile", metavar="MIN,OPT,MAX",
    help="Shapes that engine files serve and are tuned for, each BATCHxHEIGHTxWIDTH, such as "
    "1x16x16,1x512x512,4x512x512 [default: what baikal-run asks for]. A run finds the file only if MIN is "
    "not above the model's downsampling.",
)  # fmt: skip
@friendly
def main(
    model: Path,
    output: Path | None,
    name: str | None,
    card: Path | None,
    source: str | None,
    config: Path | None,
    only_record: bool,
    knows: tuple[str, ...],
    precision: Stored,
    verify: tuple[Path, ...],
    calibrate: tuple[Path, ...],
    channel: str | None,
    max_loss: float,
    fused: tuple[str, ...],
    package: Path | None,
    tensorrt: bool,
    tensorrt_rtx: bool,
    sm: str | None,
    profile: str | None,
) -> None:
    """Write a checkpoint's EMA network as one ONNX file that describes itself.

    The file is compared with the checkpoint in torch. In fp32 it must agree to a relative error of 1e-5; in
    another precision, images that it denoises must not lose more than --max-loss. A record is written beside
    it (docs/export.md). Of a MODEL that is exported already, or shipped, --fused-sampler and --bioimageio are
    made without it.
    """
    if not only_record and (file := exported(model)) is not None:
        _check_alone({"model", "output", "fused", "package"})
        for line in of_exported(file, output, fused, package):
            tell(line)
        return
    check_reachable(model)
    if only_record:
        others = (
            output
            or name
            or card
            or source
            or config
            or calibrate
            or fused
            or package
            or tensorrt
            or tensorrt_rtx
        )
        if others or precision != "fp32":
            raise ConfigError("--record goes with --verify, --channel and --knows alone: no model is written")
        for line in record.of_file(model, Images(verify, (), channel), knows):
            tell(line)
        return
    output = output or _beside(model, precision)
    check_model_file(output, "-o", ".onnx")
    described = {} if card is None else read_card(card)
    ModelRecord.place(output)
    families = [family for family, wanted in ((TENSORRT, tensorrt), (TENSORRT_RTX, tensorrt_rtx)) if wanted]
    sms = () if sm is None else engine_files.parse_sm(sm)
    trained = _read(model, source, config)
    manifest = trained.manifest(name or output.stem, precision=precision, **described)
    engine_files.check(families, sms, profile, manifest)
    planes = Images(verify, calibrate, channel).planes(precision, trained)
    derived = Derived.of(fused, package, manifest, output)
    found = export(trained.network(), manifest, output, *planes, max_loss)
    for line in [
        *report(model, output, precision, found),
        *record.of_export(output, trained, planes[0], knows),
    ]:
        tell(line)
    for line in derived.write(output):
        tell(line)
    for line in engine_files.build_for(output, families, sms, profile):
        tell(line)


def _check_alone(allowed: set[str]) -> None:
    """Raise ConfigError for options that an exported model does not go with."""
    context = click.get_current_context()
    assert context is not None, "called by the command"
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") == ParameterSource.COMMANDLINE
        if given and parameter.name not in allowed:
            raise ConfigError(
                f"{parameter.opts[0]}: goes with a checkpoint; of a model that is exported already, "
                "--fused-sampler and --bioimageio are made"
            )


def _beside(model: Path, precision: Stored = "fp32") -> Path:
    """Default path of the ONNX file, beside the model."""
    folder = model.resolve() if model.is_dir() else None  # "." has no name
    stem = model.stem if folder is None else folder.name
    name = f"{stem}.onnx" if precision == "fp32" else f"{stem}-{precision}.onnx"
    return (folder or model).with_name(name)


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
