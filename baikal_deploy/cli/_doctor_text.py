"""Findings of baikal-doctor, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from baikal_deploy._version import __version__
from baikal_deploy.doctor.examine import Default, EngineExamination, Examination, Support
from baikal_deploy.doctor.smoke.findings import Run
from baikal_deploy.host.machine import Gpu

WIDEST = 100
"""Columns that text is wrapped to in a wider terminal."""
NAME, STATE = 16, 5
"""Columns of an engine's name, and of the word that says whether it works."""
NOT_NVIDIA = ("CPU", "Intel GPU", "unknown")
"""Devices of engines that need no GPU of NVIDIA's."""
MARGIN = " " * (2 + NAME + STATE)


def describe(report: Examination, width: int) -> Iterator[str]:
    """Examination of a machine, line by line.

    Text is wrapped to the width; commands, which are there to be copied, are not.

    Args:
        report: the examination.
        width: columns of the terminal.
    """
    width, model = max(1, min(width, WIDEST)), report.model
    yield from wrap(_verdict(report), width)
    yield from wrap(_gpu_needed(report), width)
    yield from ("", "Engines, in the order in which baikal-run tries them in fp32")
    for engine in report.engines:
        yield from _describe_engine(engine, report, width)
    yield from ("", f"What baikal-run takes for model {model.name}, which is stored in {model.precision}")
    yield from _hanging("  --precision auto  ", _describe_default(report.default), width)
    for precision, choice in report.auto.items():
        yield from _hanging(f"  --precision {precision:<6}", choice.engine or f"none: {choice.reason}", width)
    yield from ("", "This machine")
    for name, text in _machine(report):
        yield from _hanging(f"  {name:<10}", text, width)


def _describe_default(default: Default) -> str:
    if default.engine is None:
        return f"none: {default.reason}"
    return f"{default.engine} in {default.precision}" + (f": {default.reason}" if default.reason else "")


def describe_run(key: str, run: Run) -> Iterator[str]:
    """Smoke run of one engine, line by line: whether it is right, how fast it is, and what is wrong with it.

    Args:
        key: name of the run.
        run: its findings.
    """
    yield f"{key}: {'has problems' if run['problems'] else 'does all that it should'}"
    for problem in run["problems"]:
        yield f"  {problem}"
    for row in run["steps"].get("timing", {}).get("table", []):
        shape = "x".join(map(str, row["shape"]))
        mine, reference = 1e3 * row["seconds"], 1e3 * row["reference_seconds"]
        yield f"  {shape}: {mine:.1f} ms, on the CPU {reference:.1f} ms"
    for row in run["steps"].get("large", {}).get("table", []):
        shape = "x".join(map(str, row["shape"]))
        yield f"  {shape}: {1e3 * row['seconds_on_device']:.1f} ms, {row['megapixels_a_second']:.0f} MP/s"
    if (found := run["steps"].get("frames", {}).get("frames_a_second")) is not None:
        yield f"  frames of 2048x2048 through matched, end to end: {found:.1f} a second"


def _verdict(report: Examination) -> str:
    model = report.model
    choice = report.auto[model.precision]
    named = [
        one.name
        for one in report.engines
        if one.automatic and one.works_for(model.precision, model.precision)
    ]
    if choice.engine is not None:
        option = "" if model.precision == "fp32" else f" with --precision {model.precision}"
        return f"Denoising works here: baikal-run{option} takes engine {choice.engine}."
    if named:
        return f"Denoising works here with --engine {named[0]}. By itself baikal-run fails: {choice.reason}."
    if report.works:
        return f"Denoising works here, but not with model {model.name}: {choice.reason}."
    return "Denoising does not work here yet. Run the command beside one of the engines, and try again."


def _gpu_needed(report: Examination) -> str:
    """A line for machines without a GPU, so that nobody tries to mend what needs one; else nothing."""
    engines = [engine for engine in report.engines if engine.device not in NOT_NVIDIA]
    if report.gpus or any(engine.support.works for engine in engines):
        return ""
    names = ", ".join(engine.name for engine in engines)
    return f"No NVIDIA GPU with its driver was found. Before anything else, these need one: {names}."


def _describe_engine(engine: EngineExamination, report: Examination, width: int) -> Iterator[str]:
    works = engine.support.works
    lead = f"  {engine.name:<{NAME}}{'yes' if works else 'no':<{STATE}}"
    if not works:
        yield from _refusal(lead, engine.name, engine.support, width)
        return
    yield from _hanging(lead, f"{engine.version}, on {engine.device}: {_computes(engine, report)}", width)
    for precision, support in engine.precisions.items():
        if not support.works:
            yield from _refusal(f"{MARGIN}not {precision}: ", engine.name, support, width)
        elif support.caution:
            yield from _hanging(f"{MARGIN}{precision}: ", support.caution, width)
    if not engine.automatic:
        yield f"{MARGIN}baikal-run takes it only when it is named"


def _computes(engine: EngineExamination, report: Examination) -> str:
    """Precisions for the model at hand, and then for others."""
    works = [precision for precision, support in engine.precisions.items() if support.works]
    here = [one for one in works if engine.works_for(one, report.model.precision)]
    others = [one for one in works if one not in here]
    exported = f"with models exported so also {', '.join(others)}"
    return "; ".join([*([", ".join(here)] if here else []), *([exported] if others else [])])


def _refusal(lead: str, name: str, support: Support, width: int) -> Iterator[str]:
    yield from _hanging(lead, support.reason.removeprefix(f"engine {name}: "), width, MARGIN)
    if support.fix:
        yield f"{MARGIN}> {support.fix}"


def _machine(report: Examination) -> Iterator[tuple[str, str]]:
    yield "software", f"baikal-deploy {__version__}, Python {report.python}, {report.system}"
    features = report.cpu.features
    known = "" if features is None else "; " + ", ".join(
        f"{name}: {'yes' if has else 'no'}" for name, has in features.items()
    )  # fmt: skip
    yield "CPU", f"{report.cpu.model or 'unknown'}{known}"
    yield "threads", f"{report.threads} of {report.cpu.cores or 'unknown'} cores are used{_quota(report)}"
    memory = report.memory
    yield "memory", f"{_gib(memory.total)}, of which {_gib(memory.available)} are free"
    for gpu in report.gpus:
        yield "GPU", _describe_gpu(gpu)
    if report.gpu_problem:
        yield "GPU", report.gpu_problem
    yield "cache", f"{report.cache_folder}, {report.cache_bytes / 2**20:.1f} MiB"
    yield "models", ", ".join(f"{name} ({what})" for name, what in report.models.items())
    yield "packages", ", ".join(f"{name}=={version}" for name, version in report.packages.items())
    if report.licences:
        found = ", ".join(f"{name} ({words})" for name, words in report.licences.items())
        yield "licences", f"installed extras that ask more than to be named: {found}; docs/licences.md"


def _quota(report: Examination) -> str:
    """The limit of CPU time, if that is why there are no more threads."""
    quota = report.cpu_quota
    if quota is None or quota > report.threads:
        return ""
    return f"; a quota gives this container or job the time of {quota:.3g}"


def _describe_gpu(gpu: Gpu) -> str:
    memory = "" if gpu.memory is None else f", {gpu.memory} MiB"
    return f"{gpu.name}{memory}, driver {gpu.driver}"


def _gib(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**30:.1f} GiB"


def _hanging(lead: str, text: str, width: int, margin: str | None = None) -> list[str]:
    """Wrapped text behind a lead, and below it behind a margin."""
    return wrap(
        lead + text,
        width,
        subsequent_indent=" " * len(lead) if margin is None else margin,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )
