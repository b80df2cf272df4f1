"""Back ends that evaluate the network: one file each, named after its engine."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.engines.base import Engine
from baikal_deploy.manifest import ModelManifest
from baikal_deploy.plugins import load_plugin, plugin_names

DEFAULT_ENGINE = "onnx-cpu"


def engine_names() -> list[str]:
    return plugin_names(__name__)


def open_engine(name: str, path: Path, manifest: ModelManifest, threads: int | None = None) -> Engine:
    """The engine of that name, with the model loaded; never another one in its place.

    Raises:
        ConfigError: unknown engine.
        EngineUnavailable, ModelError: as ``Engine.open``.
    """
    return load_plugin(__name__, name, Engine).open(path, manifest, threads)  # type: ignore[type-abstract]
