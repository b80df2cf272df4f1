"""Denoise an acquisition of pymmcore-plus while it runs, and write the denoised stream beside the raw one.

pip install -e ".[cpu,mda]" mm-test-adapters     # in the clone; the demo camera, where no Micro-Manager is
python pymmcore_live.py denoised.ome.zarr
"""

from __future__ import annotations

import argparse
from pathlib import Path

import useq
from pymmcore_plus import CMMCorePlus

from baikal_deploy.live import LiveDenoiser
from baikal_deploy.live.pymmcore import attach


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--engine", default="auto")
    args = parser.parse_args()
    core = CMMCorePlus()
    core.loadSystemConfiguration()  # the demo one; give the path of yours
    sequence = useq.MDASequence(
        channels=["DAPI", "FITC"],
        z_plan={"range": 4, "step": 2},
        time_plan={"interval": 0.5, "loops": 3},
    )
    with LiveDenoiser(args.model, engine=args.engine) as live, attach(core, live, args.output) as attached:
        core.mda.run(sequence)
        attached.wait()
        found = live.statistics
    print(f"{found.submitted} frames, {found.done} of them denoised, {found.dropped} dropped")
    print(
        f"latency {found.latency_ms[0]:.0f} ms (median); written to {', '.join(map(str, attached.outputs))}"
    )
    for error in attached.errors:
        print(f"error: {error}")


if __name__ == "__main__":
    main()
