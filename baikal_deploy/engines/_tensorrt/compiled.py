"""Kernels that TensorRT for RTX has compiled for this GPU, kept so that the next start need not do it."""

from __future__ import annotations

import logging
from typing import Any

from baikal_deploy.engines import _kept_files as files
from baikal_deploy.engines._cuda.runtime import Gpu
from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.errors import EngineError

_log = logging.getLogger(__name__)


class CompiledKernels:
    """The runtime cache of one version of TensorRT for RTX and one GPU, beside the engine files.

    What does not fit the driver any more is refused by the vendor, who then compiles anew.

    Arguments:
        family, trt: whose it is, and the vendor's module.
        config: runtime settings that are given the cache.
        gpu: that computes.
    """

    def __init__(self, family: compat.Family, trt: Any, config: Any, gpu: Gpu) -> None:
        version = compat.version(trt)
        self._key = {"family": family.name, "version": version, "gpu": str(gpu)}
        self._path = files.engine_folder() / f"{family.name}-{version}-sm{gpu.compute_capability}.kernels"
        self._cache, self._known = config.create_runtime_cache(), self._kept()
        if self._known and not self._cache.deserialize(self._known):
            self._known = b""
        config.set_runtime_cache(self._cache)

    def keep(self) -> None:
        """Keep what was compiled since it was made."""
        data = bytes(self._cache.serialize())
        if data == self._known:
            return
        try:
            files.write(self._path, data, self._key)
        except EngineError as error:  # it serves all the same, and is compiled again next time
            _log.warning("%s", error)

    def _kept(self) -> bytes:
        try:
            files.check_folder()
            return files.read(self._path, self._key) if self._path.exists() else b""
        except (files.Refused, EngineError) as error:
            _log.warning("compiled kernels %s %s; they are compiled again", self._path, error)
            return b""
