"""The structure of a network, as the names and shapes of its state dict tell it.

Layout: Dhariwal & Nichol 2021, whose UNetModel keeps its blocks in three stacks, each block a short
sequence of parts: input_blocks, middle_block, output_blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from baikal_deploy.errors import ModelError
from baikal_export.foreign.guided_diffusion.parts import Part, Tensors, columns, rows, stack
from baikal_training.unet_config import Resample


@dataclass(frozen=True)
class Level:
    """One resolution of the encoder or the decoder.

    Attributes:
        blocks: the parts of each block: a residual block, and maybe self-attention.
        resample: what leads to the next level, if any.
    """

    blocks: list[list[Part]]
    resample: Part | None


@dataclass(frozen=True)
class Structure:
    """Everything that the weights tell; fields as in UNetConfig.

    Attributes:
        encoder, decoder: levels, finest first.
        middle_parts: the parts below the coarsest level.
    """

    encoder: list[Level]
    decoder: list[Level]
    middle_parts: list[Part]
    channels: tuple[int, ...]
    attention: tuple[int, ...]
    middle: tuple[bool, ...]
    resample: Resample
    sinusoids: int
    embedding: int
    in_channels: int
    out_channels: int

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(len(level.blocks) for level in self.encoder)

    @property
    def attended(self) -> list[int]:
        """Widths of all feature maps that self-attention sees."""
        return [self.channels[i] for i in self.attention] + ([self.channels[-1]] if any(self.middle) else [])


def structure_of(tensors: Tensors) -> Structure:
    """The structure of the network in a state dict.

    Raises:
        ModelError: it is not a UNetModel that UNet can be; without the file's name.
    """
    if "label_emb.weight" in tensors:
        raise ModelError("label_emb.weight: the network is class-conditional, which is not supported")
    decoder = _decoder_levels(stack(tensors, "output_blocks"))
    encoder = _encoder_levels(stack(tensors, "input_blocks")[1:], [len(d.blocks) - 1 for d in decoder])
    middle = [part for block in stack(tensors, "middle_block") for part in block]
    _check_modulation(tensors, encoder)
    return Structure(
        encoder,
        decoder,
        middle,
        channels=tuple(rows(tensors, level.blocks[0][0].name + ".in_layers.2.weight") for level in encoder),
        attention=tuple(_attended_levels(encoder, decoder)),
        middle=_middle(middle),
        resample=_resample([level.resample for level in encoder + decoder if level.resample]),
        sinusoids=columns(tensors, "time_embed.0.weight"),
        embedding=rows(tensors, "time_embed.0.weight"),
        in_channels=columns(tensors, "input_blocks.0.0.weight"),
        out_channels=rows(tensors, "out.2.weight"),
    )


def _decoder_levels(stacked: list[list[Part]]) -> list[Level]:
    """The decoder's blocks in levels.

    Each level but the finest ends with a block whose last part doubles the resolution.
    """
    levels: list[Level] = []
    blocks: list[list[Part]] = []
    for parts in stacked:
        doubles = parts[-1].kind == "up" or [part.kind for part in parts].count("res") == 2
        blocks.append(_block(parts[:-1] if doubles else parts))
        if doubles:
            levels.append(Level(blocks, parts[-1]))
            blocks = []
    levels.append(Level(blocks, None))
    for level in levels:
        if len(level.blocks) < 2:
            raise ModelError(f"output_blocks: a level has {len(level.blocks)} blocks, fewer than 2")
    return levels[::-1]


def _encoder_levels(stacked: list[list[Part]], counts: list[int]) -> list[Level]:
    """The encoder's blocks in levels of ``counts`` blocks each, which the decoder tells.

    Residual blocks that halve the resolution look like any other.
    """
    if len(stacked) != sum(counts) + len(counts) - 1:
        raise ModelError(
            f"input_blocks: there are {len(stacked) + 1} blocks, not {sum(counts) + len(counts)}; "
            f"the levels of output_blocks have {', '.join(str(count + 1) for count in counts[::-1])}"
        )
    levels, rest = [], iter(stacked)
    for index, count in enumerate(counts):
        blocks = [_block(next(rest)) for _ in range(count)]
        levels.append(Level(blocks, None if index == len(counts) - 1 else _down(next(rest))))
    return levels


def _block(parts: Sequence[Part]) -> list[Part]:
    if [part.kind for part in parts] not in (["res"], ["res", "attention"]):
        raise _unexpected(parts, "a residual block, maybe with attention")
    return list(parts)


def _down(parts: Sequence[Part]) -> Part:
    if [part.kind for part in parts] not in (["res"], ["down"]):
        raise _unexpected(parts, "a downsampling")
    return parts[0]


def _unexpected(parts: Sequence[Part], expected: str) -> ModelError:
    found = ", ".join(f"{part.name} ({part.kind})" for part in parts) or "nothing"
    return ModelError(f"found is {found}; expected is {expected}")


def _attended_levels(encoder: list[Level], decoder: list[Level]) -> Iterator[int]:
    for index, (down, up) in enumerate(zip(encoder, decoder, strict=True)):
        attended = {len(parts) == 2 for parts in down.blocks + up.blocks}
        if len(attended) > 1:
            raise ModelError(f"level {index} has attention after some blocks only, which is not supported")
        if attended == {True}:
            yield index


def _middle(parts: list[Part]) -> tuple[bool, ...]:
    attended: list[bool] = []
    for part in parts:
        if part.kind == "res":
            attended.append(False)
        elif part.kind == "attention" and attended and not attended[-1]:
            attended[-1] = True
        else:
            raise _unexpected([part], "a residual block, maybe with attention")
    return tuple(attended)


def _resample(parts: list[Part]) -> Resample:
    kinds = {part.kind for part in parts}
    if kinds == {"res"}:
        return "block"
    if "res" in kinds:
        raise ModelError("some resamplings are convolutions and some residual blocks, which is not supported")
    return "conv"


def _check_modulation(tensors: Tensors, encoder: list[Level]) -> None:
    name = encoder[0].blocks[0][0].name
    width = rows(tensors, name + ".in_layers.2.weight")
    if rows(tensors, name + ".emb_layers.1.weight") == width:
        raise ModelError(
            f"{name}.emb_layers.1.weight has {width} rows for {width} channels: the network was made with "
            "use_scale_shift_norm=False; only True is supported"
        )
