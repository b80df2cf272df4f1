"""What a command imports before it does anything."""

from __future__ import annotations

import subprocess
import sys


def test_a_run_starts_without_what_takes_long_to_import() -> None:
    heavy = "{'scipy.signal', 'scipy.stats', 'torch', 'zarr', 'yaozarrs'}"
    code = f"import sys, baikal_deploy.cli.run; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
