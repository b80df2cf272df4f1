"""A machine whose CPU computes in bf16, for tests on any: its engines are exact answers for Gaussian data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.engines import engine_class, engine_names
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import EngineUnavailable
from baikal_deploy.models.manifest import ModelManifest, Precision


def bf16_everywhere(monkeypatch: pytest.MonkeyPatch, *, has_bf16: bool = True) -> list[str]:
    """Let ``onnx-cpu`` in fp32 and ``openvino`` in fp32 and bf16 work here, and nothing else.

    Args:
        has_bf16: whether the CPU computes in bf16.

    Returns:
        Engines and precisions that are opened, such as "openvino bf16", in order.
    """
    opened: list[str] = []

    def made(name: str) -> tuple[Any, Any]:
        def check(cls: Any, precision: Precision = "fp32") -> None:
            if name not in ("onnx-cpu", "openvino"):
                raise EngineUnavailable(f"engine {name}: not here", "buy one")
            if precision == "bf16" and not has_bf16:
                raise EngineUnavailable(f"engine {name}: this CPU cannot compute in bf16", "buy another")

        def open_(cls: Any, path: Path, manifest: ModelManifest, options: EngineOptions) -> Analytic:
            check(cls, options.precision)
            opened.append(f"{name} {options.precision}")
            kind = type("MadeUp", (Analytic,), {"precision": options.precision})
            kind.name = name
            return kind(manifest)

        return classmethod(check), classmethod(open_)

    for name in engine_names():
        if name == "analytic":
            continue
        check, open_ = made(name)
        monkeypatch.setattr(engine_class(name), "check", check)
        monkeypatch.setattr(engine_class(name), "open", open_)
    return opened
