"""What --model auto takes on pairs, and what that loses against the best model and wins against the default.

    python benchmarks/which_model.py PAIRS [--data-range 255] [--default MODEL]

PAIRS are as baikal-eval takes them; the first plane of each is used.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from baikal_deploy import Denoiser
from baikal_deploy.denoising.suiting import best_suited
from baikal_deploy.models.manifest import DEFAULT_MODEL, shipped_models
from baikal_evaluation.metrics import Definition, score
from baikal_evaluation.pairs import find_pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--data-range", type=float, default=255.0)
    parser.add_argument("--default", default=DEFAULT_MODEL, help="the model that is taken in doubt")
    options = parser.parse_args()
    definition, found = Definition(normalisation=None, psnr_range=options.data_range), []
    with ExitStack() as stack:
        denoisers = {
            name: stack.enter_context(Denoiser.load(path)) for name, path in shipped_models().items()
        }
        for pair in find_pairs(options.pairs):
            noisy, clean = pair.read()
            if clean is None:
                continue
            psnr = {
                name: score(
                    one.denoise(noisy[:1], dtype=np.float32), clean[:1], definition, is_volume=False
                ).psnr
                for name, one in denoisers.items()
            }
            suited = best_suited([noisy[0]], denoisers, options.default)
            found.append((psnr[suited.name], max(psnr.values()), psnr[options.default]))
            told = ", ".join(
                f"{name} {psnr[name]:.2f} dB ({suited.errors.get(name, 0):+.4f})" for name in psnr
            )
            print(f"{pair.name}: takes {suited.name}; {told}", flush=True)
    taken, best, usual = np.array(found).T
    print(
        f"{len(found)} pairs: the best is taken on {np.sum(taken == best)}; {np.mean(taken - best):+.3f} dB "
        f"against the best, {np.mean(taken - usual):+.3f} dB against {options.default}, "
        f"{np.min(taken - usual):+.2f} dB at worst"
    )


if __name__ == "__main__":
    main()
