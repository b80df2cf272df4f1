"""CPU seconds of an evaluation of CAREamics' default Noise2Void network; for peers.py.

It is run by the Python of CAREamics' own environment.

    python peers_careamics.py WORKER.PY SIDE

Prints the seconds, on one thread, after one evaluation that does not count.
"""

from __future__ import annotations

import runpy
import sys
import time


def main(worker: str, side: str) -> None:
    parts = runpy.run_path(worker)
    _, torch = parts["import_careamics"]()
    from careamics.lightning.modules import create_module

    job = parts["Job"](method="n2v", inputs=[], targets=[], minutes=0, seed=0, output="")
    network = create_module(parts["configuration"](job, int(side)).algorithm_config).eval()
    x = torch.zeros(1, 1, int(side), int(side))
    with torch.inference_mode():
        network(x)
        started = time.process_time()
        network(x)
    print(time.process_time() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
