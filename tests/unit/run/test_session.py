"""What stands where a run is to write: planning is told the same as the run that opens its outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from baikal_deploy import RunConfig
from baikal_deploy.errors import VolumeError
from baikal_deploy.run.resume.session import check_session, open_session
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.layout import Layout
from tests.conftest import MakeInfo

LAYOUT = Layout(1)


def told(seed: int) -> dict[str, Any]:
    """A fingerprint."""
    return {"seed": seed}


@pytest.fixture
def info(make_info: MakeInfo) -> VolumeInfo:
    return make_info("zyx", (2, 20, 30))


def config(folder: Path, name: str, **options: Any) -> RunConfig:
    return RunConfig(folder / "in.zarr", folder / name, **options)


def refusals(run: RunConfig, info: VolumeInfo, seed: int) -> set[str]:
    """What planning says, and what opening does; one if they agree."""
    with pytest.raises(VolumeError) as planned:
        check_session(run, told(seed))
    with pytest.raises(VolumeError) as opened, open_session(run, info, told(seed), LAYOUT):
        pass
    return {str(planned.value), str(opened.value)}


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.ome.tif"])
def test_an_unfinished_run(tmp_path: Path, info: VolumeInfo, name: str) -> None:
    run = config(tmp_path, name)
    assert check_session(run) is None
    with open_session(run, info, told(0), LAYOUT) as session:
        journal = session.journal
        with pytest.raises(VolumeError, match="another run is writing it now"):
            check_session(run, told(0))
        with pytest.raises(VolumeError, match="another run is writing it now"):
            check_session(run)
    assert check_session(run) is None  # whose it is is not known yet
    assert (found := check_session(run, told(0))) is not None
    assert found.run == journal.run
    (message,) = refusals(run, info, seed=1)
    assert "an unfinished run is there, and this one is another: seed 0 is now 1" in message
    again = config(tmp_path, name, overwrite=True)
    assert check_session(again, told(1)) is None
    with open_session(again, info, told(1), LAYOUT) as session:
        assert session.journal.run != journal.run


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.ome.tif"])
def test_an_output_that_is_there(tmp_path: Path, info: VolumeInfo, name: str) -> None:
    run = config(tmp_path, name)
    with open_session(run, info, told(0), LAYOUT) as session:
        session.finish({"fingerprint": None})
    with pytest.raises(VolumeError, match="exists already"):
        check_session(run)
    (message,) = refusals(run, info, seed=0)
    assert "exists already; choose another output" in message
    assert check_session(config(tmp_path, name, overwrite=True), told(0)) is None
