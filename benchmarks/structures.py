"""Fits the classifier that tells what a channel shows, and tries it on images that it was not fitted to.

    python benchmarks/structures.py fit CORPUS.toml -o classifier.json [--windows 24]
    python benchmarks/structures.py try FOLDER [--model nuclei]

fit  CORPUS.toml is as baikal-train takes it (docs/corpora has one; the images have to be collected). Windows
     of each source, simulated ones, and bright field made of these are seen as a run sees them
     (structure_windows.py). Prints a cross-validation over experiments, and writes what goes to
     baikal_deploy/measurement/structure/classifier.json.
try  FOLDER has a folder for each kind: nuclei, fibres, membranes, bright field, or any other. In these, a
     file is a channel, and so is a folder of files. Up to three windows of each are measured together, as a
     run does; prints what the model is said to know, and what the channels are called.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from structure_windows import BRIGHT_FIELD, Features, Windows, sources, windows
from torch import Tensor, nn

from baikal_deploy import Denoiser
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.structure.classifier import CLAMP, Classifier
from baikal_deploy.measurement.structure.features import SIDE
from baikal_deploy.measurement.structure.known import LIKELY, Finding
from baikal_deploy.measurement.structure.recognised import MOST_WINDOWS
from baikal_deploy.pixels.arrays import Raw
from baikal_training.data.readers import Planes, images, is_volume

MODELS = ("general", "nuclei", "tribolium")
"""Models that denoise some of the windows."""
KINDS = ("nuclei", "fibres", "membranes", BRIGHT_FIELD)
"""What the classifier tells apart."""
TAUGHT = {
    "nuclei": (1.0, 0.0, 0.0, 0.0),
    "fibres": (0.0, 1.0, 0.0, 0.0),
    "membranes": (0.0, 0.0, 1.0, 0.0),
    BRIGHT_FIELD: (0.0, 0.0, 0.0, 1.0),
    "cells": (0.4, 0.5, 0.1, 0.0),  # whole cells lie between the kinds, and should end as unknown
}
"""Probabilities of KINDS that windows of each kind of a source are taught."""
SHARES = {"nuclei": 0.40, "fibres": 0.27, "membranes": 0.16, BRIGHT_FIELD: 0.07, "cells": 0.10}
"""What each kind of a source counts for; within one, all sources count alike."""
EXPERIMENTS = (
    "jump", "pca", "nf1", "cp_fly", "cp_sbs", "cp_vitra", "bian_bpae", "bbbc022", "neubias_golgi",
    "neubias_membranes", "dsb2018",
)  # fmt: skip
"""Beginnings of the names of sources that are of one experiment: none of it is both learnt and tried."""
SAME = {"neubias_nuc_tub_n": "neubias_tubulin"}
"""Likewise, where the names do not tell."""
PARTS = 8
"""Parts of the cross-validation."""
NETWORKS, UNITS, EPOCHS, RATE, DECAY = 3, 24, 250, 5e-3, 0.2
JITTER, SMOOTHING = 0.6, 0.05
"""Noise on the scaled features, and how far from certain the lessons are: there are few sources."""
DIMENSIONS = 12
LIMITS = (0.3, 0.2, 0.1)
"""Probabilities of nuclei below which they might be called unseen."""
PLACES = 3
"""Places that a window is the best of, when it is tried."""

Vector = NDArray[np.float64]


class Network:
    """Two layers, fitted to windows; the mean of several is the classifier."""

    def __init__(self, taught: Windows, seed: int) -> None:
        torch.manual_seed(seed)
        self.mean, self.std = taught.features.mean(axis=0), taught.features.std(axis=0) + 1e-6
        self.hidden, self.output = nn.Linear(len(self.mean), UNITS), nn.Linear(UNITS, len(KINDS))
        self._fit(taught)

    def _fit(self, taught: Windows) -> None:
        net = nn.Sequential(self.hidden, nn.Tanh(), self.output)
        x, weight = self._scaled(taught.features), torch.tensor(weights(taught), dtype=torch.float32)
        lessons = torch.tensor([TAUGHT[kind] for kind in taught.kinds])
        optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
        loss = nn.CrossEntropyLoss(reduction="none", label_smoothing=SMOOTHING)
        for _ in range(EPOCHS):
            optimiser.zero_grad()
            losses = loss(net(x + JITTER * torch.randn_like(x)), lessons)
            ((losses * weight).sum() / weight.sum()).backward()
            optimiser.step()
            decay.step()

    def _scaled(self, vectors: Features) -> Tensor:
        return torch.tensor((vectors - self.mean) / self.std, dtype=torch.float32).clamp(-CLAMP, CLAMP)

    @torch.no_grad()
    def probabilities(self, vectors: Features) -> NDArray[np.float64]:
        """Probabilities of KINDS (N, kinds)."""
        odds = self.output(torch.tanh(self.hidden(self._scaled(vectors))))
        return np.asarray(odds.double().softmax(dim=1))


def weights(of: Windows) -> Vector:
    """What each window counts for; 1 in the mean."""
    pairs = list(zip(of.kinds, of.sources, strict=True))
    count, beside = Counter(pairs), Counter(kind for kind, _ in set(pairs))
    found = np.array([SHARES[kind] / beside[kind] / count[kind, name] for kind, name in pairs])
    return np.asarray(found / found.mean())


def experiment(source: str) -> str:
    return SAME.get(source) or next((name for name in EXPERIMENTS if source.startswith(name)), source)


def cross_validated(all_windows: Windows) -> NDArray[np.float64]:
    """Probabilities of KINDS (N, kinds), by networks that saw nothing of a window's experiment."""
    of = np.array([experiment(str(source)) for source in all_windows.sources])
    names = np.random.default_rng(0).permutation(np.unique(of))
    part_of = {name: number % PARTS for number, name in enumerate(names)}
    parts = np.array([part_of[name] for name in of])
    found = np.zeros((len(of), len(KINDS)))
    for part in sorted(set(parts)):
        found[parts == part] = Network(all_windows[parts != part], seed=0).probabilities(
            all_windows.features[parts == part]
        )
    return found


def report_validation(of: Windows, found: NDArray[np.float64]) -> None:
    weight, called = weights(of), np.array(KINDS)[found.argmax(axis=1)]

    def share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> str:
        total = weight[among].sum()
        return f"{weight[what & among].sum() / total:.1%}" if total else "-"

    print("\n| source | kind | windows | called so |" + "".join(f" {kind} |" for kind in KINDS))
    print("|---|---|---|---|" + "---|" * len(KINDS))
    for kind, name in sorted(set(zip(of.kinds, of.sources, strict=True))):
        one = (of.kinds == kind) & (of.sources == name)
        means = "".join(f" {mean:.2f} |" for mean in found[one].mean(axis=0))
        print(f"| {name} | {kind} | {one.sum()} | {share(called == kind, one)} |{means}")
    print("\ncalled so:", ", ".join(f"{kind} {share(called == kind, of.kinds == kind)}" for kind in KINDS))
    nuclei, likely = of.kinds == KINDS[0], found[:, 0]
    others = ~nuclei & (of.kinds != "cells")
    for limit in LIMITS:
        unseen = likely < limit
        print(f"unseen below {limit}: nuclei {share(unseen, nuclei)}, others {share(unseen, others)}")
    known = likely >= LIKELY
    print(f"known from {LIKELY} on: nuclei {share(known, nuclei)}, others {share(known, others)}")


def record(of: Windows) -> dict[str, Any]:
    """The classifier as its file holds it: the mean of several networks, and principal axes."""
    networks = [Network(of, seed) for seed in range(NETWORKS)]
    mean, std = networks[0].mean, networks[0].std
    hidden = np.concatenate([net.hidden.weight.detach().numpy().T for net in networks], axis=1)
    hidden_bias = np.concatenate([net.hidden.bias.detach().numpy() for net in networks])
    output = np.concatenate([net.output.weight.detach().numpy().T for net in networks]) / NETWORKS
    output_bias = np.mean([net.output.bias.detach().numpy() for net in networks], axis=0)
    parts = {
        "mean": (mean, 5), "std": (std, 6), "hidden": (hidden, 3), "hidden_bias": (hidden_bias, 3),
        "output": (output, 4), "output_bias": (output_bias, 4), "axes": (axes(of, mean, std), 4),
    }  # fmt: skip
    rounded = {name: np.round(np.float64(part), digits).tolist() for name, (part, digits) in parts.items()}
    return {"names": list(KINDS), **rounded}


def axes(of: Windows, mean: Vector, std: Vector) -> NDArray[np.float64]:
    """Directions in which windows differ most (features, DIMENSIONS), scaled to standard deviation 1."""
    scaled = np.clip((of.features - mean) / std, -CLAMP, CLAMP)
    values, vectors = np.linalg.eigh(np.cov(scaled, rowvar=False, aweights=weights(of), ddof=0))
    first = np.argsort(values)[::-1][:DIMENSIONS]
    print(f"{DIMENSIONS} dimensions hold {values[first].sum() / values.sum():.0%} of the variance")
    found = vectors[:, first] / np.sqrt(values[first])
    signs = np.sign(found[np.abs(found).argmax(axis=0), range(DIMENSIONS)])
    return np.asarray(found * signs)


def fit(corpus: Path, output: Path, count: int) -> None:
    with ExitStack() as stack:
        denoisers = [stack.enter_context(Denoiser.load(name)) for name in MODELS]
        found = windows(list(sources(corpus)), count, denoisers)
    counts = ", ".join(f"{number} {kind}" for kind, number in Counter(found.kinds.tolist()).most_common())
    print(f"{len(found.kinds)} windows of {len(set(found.sources))} sources: {counts}")
    report_validation(found, cross_validated(found))
    written = record(found)
    Classifier.from_record(written)  # raises, rather than write what a run would refuse
    output.write_text(json.dumps(written) + "\n", encoding="utf-8")
    print(f"wrote {output}")


def channels(folder: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Each channel: the kind that its folder says, its name, and its files."""
    for kind in _entries(folder):
        if not kind.is_dir() or is_volume(kind):
            raise ConfigError(f"{kind}: is not in the folder of a kind; put it into one, such as nuclei")
        for entry in _entries(kind):
            several = entry.is_dir() and not is_volume(entry)
            yield kind.name, f"{kind.name}/{entry.name}", _entries(entry) if several else [entry]


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def tried_windows(files: Sequence[Path], seed: int) -> list[Raw]:
    """Up to MOST_WINDOWS windows (h, w) of a channel, evenly spaced in it, each where there is contrast."""
    rng = np.random.default_rng(seed)
    opened: list[Planes] = [image.planes(None) for file in files for image in images(file)]
    planes = [(pixels, number) for pixels in opened for number in range(pixels.shape[0])]
    if not planes:
        raise ConfigError("a channel's folder holds no image; take it away, or put its images into it")
    places = np.linspace(0, len(planes) - 1, MOST_WINDOWS).round().astype(int)
    found: dict[tuple[int, int, int], Raw] = {}
    for place in places:
        pixels, number = planes[place]
        plane = pixels.read(number, slice(0, pixels.shape[1]), slice(0, pixels.shape[2]))
        at = [tuple(int(rng.integers(max(1, n - SIDE + 1))) for n in plane.shape) for _ in range(PLACES)]
        y, x = max(at, key=lambda corner: plane[corner[0] :, corner[1] :][:SIDE, :SIDE].std())
        found[place, y, x] = plane[y : y + SIDE, x : x + SIDE]
    return list(found.values())


def finding(denoiser: Denoiser, found: Sequence[Raw]) -> Finding:
    told = denoiser.measure(found, make_sampler("auto", {}, {})).structure
    assert told is not None  # a denoiser always asks
    return told


def try_folder(folder: Path, model: str) -> None:
    verdicts: Counter[tuple[str, str]] = Counter()
    names: Counter[tuple[str, str]] = Counter()
    with Denoiser.load(model) as denoiser:
        for number, (kind, name, files) in enumerate(channels(folder)):
            told = finding(denoiser, tried_windows(files, number))
            verdicts[kind, told.verdict] += 1
            names[kind, told.seen.structure or "no name"] += 1
            odds = ", ".join(f"{key} {value:.2f}" for key, value in told.seen.probabilities.items())
            print(f"{name}: {told.verdict} ({odds or told.seen.reason})", flush=True)
    report_tried(verdicts, names)


def report_tried(found: Counter[tuple[str, str]], names: Counter[tuple[str, str]]) -> None:
    kinds = sorted({kind for kind, _ in found})
    verdicts = {"known": "known", "unseen": "unseen", "unknown": "cannot be told"}
    called = (*KINDS, "no name")
    print(f"\n| channel shows | {' | '.join(verdicts.values())} |\n|---|---|---|---|")
    for kind in kinds:
        counts = [found[kind, verdict] for verdict in verdicts]
        print(f"| {kind} ({sum(counts)}) | {' | '.join(map(str, counts))} |")
    print(f"\n| channel shows | {' | '.join(called)} |\n|---|" + "---|" * len(called))
    for kind in kinds:
        print(f"| {kind} | {' | '.join(str(names[kind, name]) for name in called)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fitting = commands.add_parser("fit", help="make the classifier")
    fitting.add_argument("corpus", type=Path)
    fitting.add_argument("-o", "--output", type=Path, required=True)
    fitting.add_argument("--windows", type=int, default=24, help="of each source")
    trying = commands.add_parser("try", help="count how often it is right")
    trying.add_argument("folder", type=Path)
    trying.add_argument("--model", default="nuclei")
    options = parser.parse_args()
    if options.command == "fit":
        fit(options.corpus, options.output, options.windows)
    else:
        try_folder(options.folder, options.model)


if __name__ == "__main__":
    main()
