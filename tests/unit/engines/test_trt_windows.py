"""What is said of TensorRT for RTX on Windows, for whose PCs it is made."""

from __future__ import annotations

from typing import Any

import pytest

from baikal_deploy.engines._tensorrt import family
from baikal_deploy.errors import EngineUnavailable


@pytest.mark.parametrize("windows", [True, False])
def test_it_is_named_on_windows(monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    def missing(of: family.Family) -> Any:
        raise ModuleNotFoundError(name=of.module)

    monkeypatch.setattr(family, "_import", missing)
    monkeypatch.setattr(family, "WINDOWS", windows)
    for one, named in ((family.TENSORRT_RTX, windows), (family.TENSORRT, False)):
        with pytest.raises(EngineUnavailable, match="is not installed") as caught:
            family.load(one)
        assert ("which NVIDIA makes for PCs with Windows" in caught.value.reason) == named
        assert one.extra in caught.value.fix
