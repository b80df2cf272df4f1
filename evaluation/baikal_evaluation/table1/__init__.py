"""The paper's Table 1: every method on three kinds of specimen, learning included.

``datasets`` has the images, ``prior`` learns the diffusion model, ``columns`` does the work in processes, and
``table`` writes it down.
"""

from baikal_evaluation.table1.table import SIMULATED, Table1

__all__ = ["SIMULATED", "Table1"]
