"""The engine and the precision that a model is computed with, where they are left to choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from baikal_deploy.engines import AUTO, engine_class, fastest_engine, fastest_pairs
from baikal_deploy.errors import EngineUnavailable
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.models.record import ModelRecord

AUTO_PRECISION: Literal["auto"] = "auto"
AskedPrecision = Precision | Literal["auto"]
PRECISIONS: tuple[AskedPrecision, ...] = (AUTO_PRECISION, *get_args(Precision))
"""All that may be asked for."""
MOST_LOSS = 0.02
"""Most PSNR, in dB, that a precision may lose for a model to be taken without being asked for."""
SAFE: Precision = "fp32"
"""Precision that loses nothing."""


@dataclass(frozen=True)
class Taken:
    """An engine and a precision, and why they were taken.

    Attributes:
        engine: name of the back end.
        precision: what it computes in.
        passed_over: why no faster engine was taken, by name; for engine "auto".
        reason: why this precision, in words; empty where it was asked for.
    """

    engine: str
    precision: Precision
    passed_over: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def take(
    manifest: ModelManifest, record: ModelRecord, engine: str, precision: AskedPrecision, *, few: bool = True
) -> Taken:
    """The engine and the precision for a model, as they are asked for or left to choose.

    Precision "auto" is the fastest that works here and loses at most ``MOST_LOSS`` by the model's record.

    Args:
        manifest: of the model.
        record: of the model, with what each precision loses.
        engine: name of a back end, or "auto".
        precision: by name, or "auto".
        few: whether the sampler takes so few evaluations that the record holds for it.

    Raises:
        ConfigError: no engine computes this model in this precision anywhere.
        EngineUnavailable: engine "auto", and none works here.
    """
    if precision != AUTO_PRECISION:
        return _with_engine(manifest, engine, precision)
    if not few:
        return _with_engine(manifest, engine, SAFE, "the sampler evaluates the network many times")
    if not record.losses:
        return _with_engine(manifest, engine, SAFE, "there is no record of what others lose for this model")
    return _fastest(manifest, record, engine)


def _with_engine(manifest: ModelManifest, engine: str, precision: Precision, reason: str = "") -> Taken:
    found, passed_over = fastest_engine(manifest, precision) if engine == AUTO else (engine, {})
    return Taken(found, precision, passed_over, reason)


def _fastest(manifest: ModelManifest, record: ModelRecord, engine: str) -> Taken:
    """The first pair of engine and precision that works here and loses little enough."""
    passed_over: dict[str, str] = {}
    why_not: dict[Precision, str] = {}
    pairs = list(fastest_pairs(manifest, engine))
    for place, (name, precision) in enumerate(pairs):
        lost = _lost(record, precision)
        try:
            engine_class(name).check(precision)
        except EngineUnavailable as error:
            passed_over[name] = str(error)
            if not lost:
                why_not.setdefault(precision, error.reason.removeprefix(f"engine {name}: "))
            continue
        if lost:
            why_not[precision] = lost
            continue
        slower = {other for other, _ in pairs[place:]}
        faster = {other: why for other, why in passed_over.items() if engine == AUTO and other not in slower}
        return Taken(name, precision, faster, _reason(record, precision, why_not))
    return _with_engine(manifest, engine, SAFE)  # which says why it does not work


def _lost(record: ModelRecord, precision: Precision) -> str:
    """What a precision loses, in words, if that is too much; else nothing."""
    if precision == SAFE:
        return ""
    loss = record.loss(precision)
    if loss is None:
        return f"what {precision} loses is not in the model's record"
    return f"{precision} loses {loss:.3f} dB for this model" if loss > MOST_LOSS else ""


def _reason(record: ModelRecord, precision: Precision, why_not: Mapping[Precision, str]) -> str:
    loss = record.loss(precision)
    if precision != SAFE and loss is not None:
        return f"loses at most {max(0.0, loss):.3f} dB for this model"
    return "; ".join(why for other, why in why_not.items() if other != SAFE)
