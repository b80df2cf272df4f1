"""What the tests share that speak with the server through the client of the Open Inference Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from baikal_deploy.serve.protocol import DATATYPES

SHARED = Path("/dev/shm")
needs_shared_memory = pytest.mark.skipif(
    not SHARED.is_dir(), reason="POSIX shared memory is not a folder here"
)


def tensor(frame: np.ndarray, **how: Any) -> Any:
    datatype = {dtype: name for name, dtype in DATATYPES.items()}["<" + frame.dtype.str[1:]]
    made = triton.InferInput("frame", list(frame.shape), datatype)
    made.set_data_from_numpy(frame, **how)
    return made


def looks_denoised(result: np.ndarray, frame: np.ndarray) -> bool:
    """The same picture, type and shape, with less noise."""
    assert (result.dtype, result.shape) == (frame.dtype, frame.shape)
    fine = [np.abs(np.diff(image.astype(float), axis=-1)).mean() for image in (result, frame)]
    near = np.isclose(result.mean(), frame.mean(), rtol=0.2)
    return bool(near and fine[0] < 0.8 * fine[1])
