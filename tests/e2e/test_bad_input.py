"""Bad input ends in one line that says what to do, exit code 2, and no output."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import zarr

from baikal_deploy.models.manifest import find_model
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun, write_zarr


def refused(baikal_run: BaikalRun, *arguments: Any) -> str:
    """The message of a refused run; nothing may have been written."""
    folder = Path(arguments[0]).parent
    before = sorted(folder.iterdir()) if folder.is_dir() else []
    result = baikal_run(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert (sorted(folder.iterdir()) if folder.is_dir() else []) == before
    return lines[0]


REPAINT = ("--sampler", "repaint")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sampler", "magic"], ["unknown sampler 'magic'", "auto, forward-backward, matched, mixing"]),
        (["--engine", "abacus"], ["unknown engine 'abacus'", "onnx-cpu"]),
        (["--model", "zebra"], ["model 'zebra'", "nuclei"]),
        (["--model", "none.onnx"], ["none.onnx", "no such model file"]),
        ([*REPAINT, "-o", "strength=3"], ["no option 'strength'", "w_start"]),
        (["-o", "start"], ["write KEY=VALUE"]),
        ([*REPAINT, "-o", "start=early"], ["start=early", "integer"]),
        ([*REPAINT, "-o", "start=1000"], ["start 1000", "1 … 999"]),
        ([*REPAINT, "-o", "start=0"], ["start 0", "at least 1"]),
        ([*REPAINT, "-o", "start=100", "-o", "stop=200"], ["stop 200", "start 100"]),
        ([*REPAINT, "-o", "preset=mine"], ["no preset 'mine'", "paper"]),
        ([*REPAINT, "-o", "weights=square"], ["weights=square", "'linear'"]),
        ([*REPAINT, "-o", "variance=learned_range"], ["learned_range", "no variance output"]),
        ([*REPAINT, "-o", "w_start=1.5"], ["w_start 1.5", "0 … 1"]),
        ([*REPAINT, "--steps", "many"], ["steps 'many'", "walk10"]),
        ([*REPAINT, "--steps", "2000"], ["steps '2000'", "1000"]),
        ([*REPAINT, "--steps", "ddim999"], ["ddim999", "stride"]),
        (["-o", "start=100"], ["sampler auto: no option 'start'", "budget"]),
        (["-o", "preset=paper"], ["sampler auto: no preset 'paper'", "there is none"]),
        (["--budget", "0.5"], ["budget 0.5", "at least 1 network evaluation"]),
        (["--budget", "much"], ["budget much", "preview, balanced, best"]),
        (["--budget", "best", *REPAINT], ["sampler repaint: no option 'budget'"]),
        (["--sampler", "matched", "-o", "evaluations=9"], ["evaluations 9", "1 … 8"]),
        (["--sampler", "matched", "-o", "symmetries=3"], ["symmetries 3", "1, 2, 4 or 8"]),
        (["--sampler", "matched", "-o", "start=1000"], ["start 1000", "0 … 999"]),
        (["--tile", "8"], ["tile 8", "16"]),
        (["--overlap", "400"], ["overlap 400", "256"]),
        (["--batch", "0"], ["batch 0"]),
        (["--batch", "9" * 23], ["batch 999", "1 … 4096"]),
        (["--budget", "\udcff"], ["budget \\udcff: give preview"]),
        (["--model", "two\nlines"], ["model 'two\\nlines'"]),
        (["--model", "\x1b[31mred"], ["model '\\x1b[31mred'"]),
        (["--seed", "-1"], ["seed -1"]),
        (["--preview", "look.jpg"], ["look.jpg", ".png"]),
        (["--preview", "nowhere/look.png"], ["nowhere", "does not exist"]),
        (["--guide", "none.zarr"], ["none.zarr"]),
        (["--series", "1"], ["holds one image", "no series 1"]),
    ],
)
def test_options(baikal_run: BaikalRun, noisy_zarr: Path, arguments: list[str], words: list[str]) -> None:
    message = refused(baikal_run, noisy_zarr, *arguments)
    for word in words:
        assert word in message


def test_inputs(tmp_path: Path, baikal_run: BaikalRun) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "stack.tif").write_bytes(b"II*\0")
    (tmp_path / "stack.czi").write_bytes(b"ZISRAWFILE")
    (tmp_path / "stack.lif").write_bytes(b"p")
    zarr.create_group(tmp_path / "group.zarr")
    write_zarr(tmp_path / "complex.zarr", np.zeros((4, 4), dtype=complex))
    write_zarr(tmp_path / "bool.zarr", np.zeros((4, 4), dtype=bool))
    write_zarr(tmp_path / "line.zarr", np.zeros(4))
    write_zarr(tmp_path / "axes.zarr", np.zeros((4, 4, 4)), dimension_names=["x", "y", "z"])
    expected = {
        "missing.zarr": "does not exist",
        "folder": "not a Zarr",
        "stack.tif": "cannot be read as a TIFF file",
        "stack.czi": "cannot be read as a CZI file",
        "stack.lif": "bioformats2raw",
        "group.zarr": "not an image",
        "complex.zarr": "complex128",
        "bool.zarr": "bool",
        "line.zarr": "dimension",
        "axes.zarr": "x, y, z",
    }
    for name, word in expected.items():
        message = refused(baikal_run, tmp_path / name)
        assert str(tmp_path / name) in message
        assert word in message


def test_outputs(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    existing = write_zarr(tmp_path / "there.zarr", np.zeros((4, 4)))
    assert "--overwrite" in refused(baikal_run, noisy_zarr, existing)
    assert "is the input" in refused(baikal_run, noisy_zarr, noisy_zarr)
    assert "inside the input" in refused(baikal_run, noisy_zarr, noisy_zarr / "out.zarr")
    assert "folder does not exist" in refused(baikal_run, noisy_zarr, tmp_path / "no" / "out.zarr")
    (tmp_path / "precious.zarr").mkdir()
    assert "not a Zarr" in refused(baikal_run, noisy_zarr, tmp_path / "precious.zarr", "--overwrite")


def test_a_guide_of_another_shape(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    guide = write_zarr(tmp_path / "guide.zarr", np.zeros((1, 4, 4)))
    assert "guide of shape (1, 4, 4)" in refused(baikal_run, noisy_zarr, "--guide", guide)


def test_models(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    shipped = find_model("nuclei").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(shipped[:-1000])
    (tmp_path / "text.onnx").write_text("not a model")
    bare = onnx.load(find_model("nuclei"))
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    damaged = bytearray(shipped)
    damaged[200:2000] = bytes(1800)  # the graph, with the manifest still whole
    (tmp_path / "damaged.onnx").write_bytes(damaged)
    for name, word in {
        "cut.onnx": "damaged",
        "text.onnx": "not an ONNX file",
        "bare.onnx": "without a manifest",
        "damaged.onnx": "damaged.onnx",
    }.items():
        message = refused(baikal_run, noisy_zarr, "--model", tmp_path / name, "--engine", "onnx-cpu")
        assert word in message


def test_a_damaged_chunk_is_named(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    path = write_zarr(tmp_path / "bad.zarr", counts, chunks=(1, 96, 80))
    (path / "c" / "1" / "0" / "0").write_bytes(b"rubbish")
    message = refused(baikal_run, path)
    assert "plane 1 (z=1)" in message


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path, counts: np.ndarray) -> None:
    """A limit on the size of files stands for the full disk: the third channel's shard is too large."""
    nuclei = np.tile(counts[:1], (1, 2, 2))
    pixels = np.stack([np.full_like(nuclei, 7), np.full_like(nuclei, 7), nuclei])
    path = write_zarr(tmp_path / "in.zarr", pixels, dimension_names=["c", "z", "y", "x"])
    script = textwrap.dedent(f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from baikal_deploy.run.run import Run
        from baikal_deploy.cli.run import main
        original = Run.execute
        def limited(self, *arguments):
            resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))
            return original(self, *arguments)
        Run.execute = limited
        main(["{path}", "{tmp_path / "out.zarr"}", "--engine", "analytic", "--sampler", "repaint"])
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    message = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert str(tmp_path / "out.zarr") in message
    assert "c=2" in message
    finished = np.asarray(zarr.open_array(tmp_path / "out.zarr" / "0", mode="r")[:2])
    assert (finished == 7).all()


def test_overwriting_keeps_the_old_output_if_the_run_fails(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    path = write_zarr(tmp_path / "in.zarr", counts, chunks=(1, 96, 80))
    output = tmp_path / "in_denoised.ome.zarr"
    assert baikal_run(path).exit_code == 0
    before = {file: file.read_bytes() for file in output.rglob("*") if file.is_file()}
    (path / "c" / "2" / "0" / "0").write_bytes(b"rubbish")
    assert baikal_run(path, "--overwrite").exit_code == 2
    assert {file: file.read_bytes() for file in output.rglob("*") if file.is_file()} == before


def test_the_installed_command_has_no_traceback(tmp_path: Path) -> None:
    command = shutil.which("baikal-run", path=str(Path(sys.executable).parent))
    assert command is not None
    done = subprocess.run([command, str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_an_interrupted_run_says_that_the_output_is_incomplete(tmp_path: Path, counts: np.ndarray) -> None:
    require("signals")
    path = write_zarr(tmp_path / "in.zarr", np.tile(counts, (1, 6, 6)))
    command = [sys.executable, "-c", "from baikal_deploy.cli.run import main; main()", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "in_denoised.ome.zarr" / "0").exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1)  # well into the denoising; while zarr creates the store, it may swallow an interrupt
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    told = r"in_denoised\.ome\.zarr: not complete yet; \d of 6 network evaluations are kept, and the same"
    assert re.search(told, stderr)
    assert "Traceback" not in stderr
