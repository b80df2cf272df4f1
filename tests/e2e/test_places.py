"""Outputs that cannot be where they are to be, or are of no known format: said before all work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from baikal_deploy.cli.noise import main as noise
from baikal_deploy.errors import ConfigError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.run import Run
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_bad_input import refused

NOT_ASKED = ("out", "out.png", "out.jpg", "out.h5", "out.txt", "out.zarr.zip", "exp.1")
NOWHERE = ["--model", "none.onnx"]
"""What would be complained of if a model were loaded."""


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """A link that leads to itself."""
    require("links")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("a.zarr", "a.tif", "a.png", "a.html", "a.onnx"):
        (tmp_path / name).symlink_to(tmp_path / "a")
    return tmp_path / "a"


@pytest.mark.parametrize("name", ["a", "a.zarr", "a.tif", "a/out.zarr", "a/out.tif"])
def test_a_loop_of_links_as_output(baikal_run: BaikalRun, noisy_zarr: Path, loop: Path, name: str) -> None:
    message = refused(baikal_run, noisy_zarr, loop.parent / name, *NOWHERE)
    assert f"{loop.parent / name}: nothing can be written there" in message
    assert message.endswith("name another OUTPUT")


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--preview", "a.png"),
        ("--preview", "a/look.png"),
        ("--report", "a.html"),
        ("--report", "a/look.html"),
        ("--uncertainty", "a.zarr"),
        ("--uncertainty", "a/std.tif"),
        ("--mask", "a.tif"),
    ],
)
def test_a_loop_of_links_beside_the_output(
    baikal_run: BaikalRun, noisy_zarr: Path, loop: Path, option: str, name: str
) -> None:
    message = refused(baikal_run, noisy_zarr, option, loop.parent / name, *NOWHERE)
    assert f"{option} {loop.parent / name}: nothing can be written there" in message


@pytest.mark.parametrize("name", ["a", "a.zarr", "a.tif", "a/in.zarr"])
def test_a_loop_of_links_as_input(baikal_run: BaikalRun, loop: Path, name: str) -> None:
    message = refused(baikal_run, loop.parent / name, loop.parent / "out.zarr")
    assert f"{loop.parent / name}: cannot be found (" in message
    assert CliRunner().invoke(noise, [str(loop.parent / name)]).exit_code == 2


def test_an_input_with_a_name_that_is_too_long(tmp_path: Path) -> None:
    result = CliRunner().invoke(noise, [str(tmp_path / ("a" * 300))])
    assert result.exit_code == 2
    assert "cannot be found (File name too long); check the path" in result.stderr


@pytest.mark.parametrize("options", [["--model", "a.onnx"], ["--guide", "a.zarr"], ["--dask", "a/x.toml"]])
def test_a_loop_of_links_as_an_option(
    baikal_run: BaikalRun, noisy_zarr: Path, loop: Path, options: list[str]
) -> None:
    assert options[1] in refused(baikal_run, noisy_zarr, options[0], loop.parent / options[1])


def test_a_loop_of_links_in_a_folder_of_images(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    """The other images are denoised."""
    require("links")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.tif").symlink_to("a.tif")
    write_zarr(folder / "good.zarr", counts[:1])
    result = baikal_run(folder, tmp_path / "out")
    assert result.exit_code == 1, result.stderr
    assert "1 of 2 images denoised" in result.stderr
    assert f"failed: {folder / 'a.tif'}" in result.stderr


@pytest.mark.parametrize("name", ["a" * 300 + ".zarr", "a" * 245 + ".zarr"])
def test_a_name_that_is_too_long_for_what_lies_beside(
    baikal_run: BaikalRun, noisy_zarr: Path, name: str
) -> None:
    assert "too long" in refused(baikal_run, noisy_zarr, noisy_zarr.with_name(name), *NOWHERE)


@pytest.mark.parametrize("name", NOT_ASKED)
def test_a_name_of_no_format(baikal_run: BaikalRun, noisy_zarr: Path, name: str) -> None:
    for arguments in ([noisy_zarr.with_name(name)], ["--mask", noisy_zarr.with_name(name)]):
        message = refused(baikal_run, noisy_zarr, *arguments, *NOWHERE)
        for word in (f"{noisy_zarr.with_name(name)}: ", ".ome.zarr", ".zarr", ".ome.tif", ".tiff"):
            assert word in message


def test_a_name_of_no_format_in_python(noisy_zarr: Path) -> None:
    with pytest.raises(ConfigError, match=r"out\.ome\.zarr"):
        Run(RunConfig(noisy_zarr, noisy_zarr.with_name("out.h5"), engine="analytic"))


def test_stores_with_names_of_no_format_are_found_again(
    baikal_run: BaikalRun, noisy_zarr: Path, tmp_path: Path
) -> None:
    """Those of earlier versions may be overwritten, and images be put into a store."""
    write_zarr(tmp_path / "old", np.zeros((1, 4, 4)))
    assert baikal_run(noisy_zarr, tmp_path / "old", "--overwrite").exit_code == 0
    zarr.create_group(tmp_path / "all.zarr")
    assert baikal_run(noisy_zarr, tmp_path / "all.zarr" / "0").exit_code == 0


def test_a_folder_of_images_goes_to_no_image(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_zarr(folder / "one.zarr", counts[:1])
    for name in ("out.tif", "out.ome.zarr"):
        result = baikal_run(folder, tmp_path / name)
        assert result.exit_code == 2
        assert f"{tmp_path / name}: " in result.stderr
        assert not (tmp_path / name).exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a place that even root cannot write to")
@pytest.mark.parametrize(
    "arguments",
    [
        ["/proc/out.zarr"],
        ["/proc/out.tif"],
        ["--uncertainty", "/proc/std.zarr"],
        ["--mask", "/proc/mask.tif"],
        ["--preview", "/proc/look.png"],
        ["--report", "/proc/look.html"],
    ],
)
def test_a_place_that_nobody_can_write_to(
    baikal_run: BaikalRun, noisy_zarr: Path, arguments: list[str]
) -> None:
    message = refused(baikal_run, noisy_zarr, *arguments, *NOWHERE)
    assert f"{' '.join(arguments)}: nothing can be written there" in message
    assert ("name another OUTPUT" in message) == (len(arguments) == 1)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that others may look into, but not write to, with an input."""
    path = Path(tempfile.mkdtemp(prefix="baikal-tests-"))
    write_zarr(path / "in.zarr", np.zeros((1, 32, 32), "u2"))
    (path / "images").mkdir()
    write_zarr(path / "images" / "in.zarr", np.zeros((1, 32, 32), "u2"))
    (path / "out").mkdir()
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("words", [["in.zarr"], ["in.zarr", "--dry-run"], ["images", "out"]])
def test_a_folder_without_permission_to_write(shared_folder: Path, words: list[str]) -> None:
    """Also for the output beside the input that is the default, and for the folder of many outputs."""
    for folder in (shared_folder, *(path for path in shared_folder.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    script = (
        "import os, sys; from baikal_deploy.cli.run import main; import zarr, yaozarrs.v05\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "main([*sys.argv[1:], '--model', 'none.onnx'])"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, cwd=shared_folder, capture_output=True, text=True, check=False)
    for folder in (shared_folder, *(path for path in shared_folder.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "nothing can be written there (Permission denied); name another OUTPUT" in done.stderr
