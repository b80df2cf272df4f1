"""Live denoising for acquisition software, next to the camera: frames in, denoised frames out.

>>> from baikal_deploy.live import LiveDenoiser
>>> with LiveDenoiser("nuclei") as live:
...     future = live.submit(frame)
"""

from __future__ import annotations

from baikal_deploy.live.denoiser import LiveDenoiser
from baikal_deploy.live.frame import LiveResult
from baikal_deploy.live.statistics import LiveStatistics
from baikal_deploy.live.waiting import FrameDropped, WhenFull

__all__ = ["FrameDropped", "LiveDenoiser", "LiveResult", "LiveStatistics", "WhenFull"]
