"""TensorRT's timing cache: measured times of kernels, which make the next build of a like model quick.

TensorRT for RTX measures nothing ahead of time and has none.
"""

from __future__ import annotations

import logging
from typing import Any

from baikal_deploy.engines import _kept_files as files
from baikal_deploy.engines._tensorrt import family as compat

_log = logging.getLogger(__name__)


class TimingCache:
    """The timing cache of one TensorRT version, beside the engine files; used while their cache is locked."""

    def __init__(self, family: compat.Family, trt: Any) -> None:
        version = compat.version(trt)
        self._key = {"family": family.name, "version": version, "cuda": compat.cuda_major(family)}
        self._path = files.engine_folder() / f"{family.name}-{version}-cu{self._key['cuda']}.timing"

    def give(self, config: Any) -> None:
        """Let a build use what is kept, unless that was measured on another GPU."""
        if not config.set_timing_cache(config.create_timing_cache(self._kept()), False):
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def keep(self, config: Any) -> None:
        """Keep what a build has measured."""
        files.write(self._path, bytes(config.get_timing_cache().serialize()), self._key)

    def _kept(self) -> bytes:
        files.check_folder()
        if not self._path.exists():
            return b""
        try:
            return files.read(self._path, self._key)
        except files.Refused as error:
            _log.warning("timing cache %s %s; beginning a new one", self._path, error)
            return b""
