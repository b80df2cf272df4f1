"""baikal-train from its options to its checkpoint, and how it ends when something is wrong."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner, Result
from PIL import Image

from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.sample import sample_windows
from baikal_training.checkpoint import Checkpoint
from baikal_training.cli import main
from baikal_training.data import open_clean, validation_crops
from baikal_training.losses import Diffusion
from baikal_training.unet import UNet
from baikal_training.validation import Validation
from tests.capabilities import require
from tests.clean import soft_plane, write_clean

# Crops this small lose more to threads waiting for each other than they gain.
torch.set_num_threads(1)

SMALL = "channels = [8, 16]\nblocks = [1, 1]\n"
SHAPE = ["--batch", "2", "--crop", "32", "--no-bf16"]
QUICK = ["--iterations", "20", *SHAPE]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clean(tmp_path_factory.mktemp("data") / "clean")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a tiny network."""
    path = tmp_path_factory.mktemp("unet") / "small.toml"
    path.write_text(SMALL)
    return ["--unet", str(path)]


def train(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeeds(result: Result) -> None:
    assert result.exit_code == 0, result.stderr


def loss_of(net: UNet, checkpoint: Checkpoint, folder: Path) -> float:
    crops = validation_crops(open_clean([folder], checkpoint.normalisation).volumes, 32, 32)
    schedule = checkpoint.schedule.build()
    return Validation(Diffusion(schedule, checkpoint.objective), schedule, crops).loss(net)


def test_short_training_leaves_a_model_that_has_learned_and_a_folder_that_tells(
    clean: Path, small: list[str], tmp_path: Path
) -> None:
    output, run = tmp_path / "net.pt", tmp_path / "net_run"
    result = train(
        clean, "-o", output, *QUICK, *small, "--iterations", "240", "--learning-rate", "0.005",
        "--warm-up", "5", "--report-every", "80", "--save-every", "120", "--batch", "4", "--seed", "3",
    )  # fmt: skip
    succeeds(result)
    assert "3 planes of 3 volumes for training, 1 planes of 1 volumes for validation" in result.stderr
    assert "one-evaluation PSNR on test volumes" in result.stderr
    assert "0.06 million parameters" in result.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.pt", "net_run"]

    checkpoint = Checkpoint.load(output)
    torch.manual_seed(3)
    assert loss_of(checkpoint.network(), checkpoint, clean) < 0.9 * loss_of(
        UNet(checkpoint.unet), checkpoint, clean
    )
    assert checkpoint.normalisation == Normalisation()
    assert checkpoint.state is None
    record = checkpoint.training
    assert record["planes"] == {"training": 3, "validation": 1, "test": 2}
    assert record["config"]["learning_rate"] == 0.005
    assert np.isfinite(list(record["test_psnr_db"].values())).all()

    with (run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["80", "120", "160", "240"]
    assert [bool(row["psnr_0.5"]) for row in rows] == [False, True, False, True]
    assert json.loads((run / "split.json").read_text()) == checkpoint.split
    assert json.loads((run / "config.json").read_text())["unet"]["channels"] == [8, 16]
    assert sorted(path.name for path in (run / "panels").iterdir()) == ["0000120.png", "0000240.png"]
    with Image.open(run / "curves.png") as curves:
        assert np.asarray(curves.convert("L")).std() > 5
    assert _tensorboard_scalars(run) >= {"loss", "learning_rate", "psnr_0.5", "validation_loss"}
    state = Checkpoint.load(run / "last.pt").state
    assert state is not None
    assert state["iteration"] == 240


def _tensorboard_scalars(run: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert events.Tags()["images"] == ["panel"]
    return set(events.Tags()["scalars"])


def test_any_mix_of_inputs(clean: Path, small: list[str], tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", np.stack([soft_plane(10), soft_plane(11)]))
    stack = np.stack([soft_plane(i) for i in (12, 13, 14)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    output = tmp_path / "net.pt"
    inputs = [clean, tmp_path / "stack.npy", tmp_path / "stack.tif"]
    succeeds(train(*inputs, "-o", output, *QUICK, *small, "--iterations", "2"))
    volumes = [volume for part in Checkpoint.load(output).split.values() for volume in part]
    assert sorted(volume["planes"] for volume in volumes) == [1] * 6 + [2, 3]


def test_training_without_validation(small: list[str], tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", soft_plane(0))
    output = tmp_path / "net.pt"
    succeeds(train(tmp_path / "one.npy", "-o", output, *QUICK, *small, "--split", "100:0:0"))
    assert "test_psnr_db" not in Checkpoint.load(output).training


def test_bad_files_are_counted_when_they_are_skipped(clean: Path, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(tmp_path / "dark.png")
    output = tmp_path / "net.pt"
    result = train(clean, tmp_path, clean / "1.png", "-o", output, *QUICK, *small, "--skip-bad")
    succeeds(result)
    assert "left out 1 that cannot be read, the first: " in result.stderr
    assert "left out 1 that hold one value everywhere" in result.stderr
    assert "dark.png" in result.stderr
    assert len([v for part in Checkpoint.load(output).split.values() for v in part]) == 6


def test_existing_run_is_not_overwritten(clean: Path, small: list[str], tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    succeeds(train(clean, "-o", output, *QUICK, *small))
    before = output.read_bytes()
    result = train(clean, "-o", output, *QUICK, *small)
    assert result.exit_code == 2
    assert "net_run: there is a run already; continue it with --resume, or remove the folder" in result.stderr
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--learning-rate", "0.1"], "started with other config (learning_rate 0.0005, now 0.1)"),
        (["--unet", "light"], "started with other unet (channels [8, 16], now [48, 64, 96, 112])"),
        (["--split", "100:0:0"], "split.json: the run was started with other"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    options: list[str], match: str, clean: Path, small: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "net.pt"
    succeeds(train(clean, "-o", output, *QUICK, *small))
    result = train(clean, "-o", output, *QUICK, *small, "--resume", *options)
    assert result.exit_code == 2
    assert match in result.stderr


def test_resuming_without_the_log_is_refused(clean: Path, small: list[str], tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    succeeds(train(clean, "-o", output, *QUICK, *small, "--iterations", "2"))
    (tmp_path / "net_run" / "log.csv").unlink()
    (tmp_path / "net_run" / "log.csv").mkdir()
    result = train(clean, "-o", output, *QUICK, *small, "--iterations", "2", "--resume")
    fails(result, tmp_path / "other.pt", "net_run: its log.csv cannot be read and written (Is a directory)")


def test_resuming_nothing_is_refused(clean: Path, small: list[str], tmp_path: Path) -> None:
    result = train(clean, "-o", tmp_path / "net.pt", *QUICK, *small, "--resume")
    fails(result, tmp_path / "net.pt", "there is no run to resume")


def test_init_starts_from_a_checkpoint_and_records_it(clean: Path, small: list[str], tmp_path: Path) -> None:
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    succeeds(train(clean, "-o", first, *QUICK, *small, "--seed", "1"))
    still = ["--iterations", "1", "--learning-rate", "1e-9", "--warm-up", "1", "--seed", "2"]
    succeeds(train(clean, "--init", first, "-o", second, *SHAPE, *still))  # the network is that of --init
    before, after = Checkpoint.load(first), Checkpoint.load(second)
    for name, weights in before.ema.items():
        torch.testing.assert_close(after.ema[name], weights, rtol=0, atol=1e-7)
    assert after.training["before"]["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert after.training["before"]["iterations"] == 20
    assert after.training["before"]["model"] == "first.pt"
    assert after.training["unet"] == before.training["unet"] == before.unet.as_dict()
    assert before.training["before"] is None
    result = train(clean, "-o", second, *SHAPE, *small, *still, "--resume")
    assert "the run was started with other " in result.stderr


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--unet", "light"], "--unet light: the model of --init {first} has another"),
        (["--prediction", "eps"], "--prediction eps: the model of --init {first} has another"),
        (["--schedule", "cosine"], "--schedule cosine: the model of --init {first} has another"),
        (
            ["--variance", "learned_range"],
            "--variance learned_range: the model of --init {first} has another",
        ),
        (["--init", "none.pt"], "--init none.pt: no such checkpoint or .onnx file, and no shipped model"),
        (["--init", "{small}"], "small.toml: not a readable checkpoint"),
    ],
)
def test_init_refuses_other_networks(
    options: list[str], match: str, clean: Path, small: list[str], tmp_path: Path
) -> None:
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    succeeds(train(clean, "-o", first, *SHAPE, *small, "--iterations", "1"))
    filled = [option.format(first=first, small=small[1]) for option in options]
    fails(train(clean, "-o", second, *QUICK, "--init", first, *filled), second, match.format(first=first))


def fails(result: Result, output: Path, match: str) -> None:
    """Exit code 2, one line that says what is wrong, and no model."""
    assert result.exit_code == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert match in errors[0]
    assert errors[0] == result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert not output.exists()
    assert not list(output.parent.glob("*.partial"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--crop", "33"], "--crop 33: must be a multiple of 16"),
        (["--crop", "0"], "at least 1"),
        (["--iterations", "0"], "at least 1"),
        (["--batch", "-2"], "at least 1"),
        (["--minutes", "1"], "give either iterations or minutes"),
        (["--split", "80:20"], "--split 80:20: give three shares"),
        (["--unet", "heavy"], "unet 'heavy': no such file; the presets are"),
        (["--save-every", "0"], "save_every 0: must be at least 1"),
    ],
    ids=str,
)
def test_bad_options_fail_before_anything_is_read(options: list[str], match: str, tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    result = train(tmp_path / "not looked at", "-o", output, *QUICK, *options)
    fails(result, output, match)
    assert len(result.stderr.splitlines()) == 1


def test_nothing_to_train_on_fails(tmp_path: Path) -> None:
    output = tmp_path / "net.pt"
    fails(train(tmp_path / "gone", "-o", output, *QUICK), output, "gone")
    (tmp_path / "empty").mkdir()
    fails(train(tmp_path / "empty", "-o", output, *QUICK), output, "empty")
    for i in range(3):
        Image.fromarray(np.full((32, 32), i, np.uint8)).save(tmp_path / "empty" / f"{i}.png")
    fails(train(tmp_path / "empty", "-o", output, *QUICK), output, "empty")


def test_missing_output_folder_fails(clean: Path, tmp_path: Path) -> None:
    output = tmp_path / "gone" / "net.pt"
    fails(train(clean, "-o", output, *QUICK), output, "its folder does not exist")


def test_an_image_is_not_written_over(tmp_path: Path) -> None:
    """The one that is trained on, or any other."""
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, soft_plane(0))
    before = path.read_bytes()
    result = train(path, "-o", path, "--split", "100:0:0", *QUICK)
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"error: -o {path}: is there already, and by its name no .pt file; name another file\n"
    )
    assert path.read_bytes() == before


def test_the_model_to_start_from_is_not_written_over(clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"mine")
    result = train(clean, "-o", path, "--init", path, *QUICK)
    assert result.exit_code == 2
    assert "that is the model of --init, which would be lost" in result.stderr
    assert path.read_bytes() == b"mine"


def test_names_that_the_system_cannot_follow(clean: Path, tmp_path: Path) -> None:
    require("links")
    (tmp_path / "loop.pt").symlink_to("loop.pt")
    output = tmp_path / "loop.pt"
    fails(train(clean, "-o", output, *QUICK), output, "nothing can be written there")
    output = tmp_path / "net.pt"
    fails(train(clean, "-o", output, *QUICK, "--unet", "a" * 300), output, "a" * 300)


def test_corrupt_image_fails_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    fails(train(tmp_path, "-o", tmp_path / "net.pt", *QUICK), tmp_path / "net.pt", "broken.png")


def test_too_few_volumes_fail(tmp_path: Path) -> None:
    clean = write_clean(tmp_path / "few", 2)
    fails(
        train(clean, "-o", tmp_path / "net.pt", *QUICK),
        tmp_path / "net.pt",
        "there are only 2 clean volumes for 3 parts",
    )


def test_diverging_training_keeps_the_last_good_checkpoint(
    clean: Path, small: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "net.pt"
    result = train(
        clean, "-o", output, *QUICK, *small, "--prediction", "eps", "--save-every", "1",
        "--learning-rate", "1e30", "--warm-up", "1",
    )  # fmt: skip
    fails(result, output, "lower --learning-rate")
    last = Checkpoint.load(tmp_path / "net_run" / "last.pt")
    assert last.state is not None
    assert f"iteration {last.state['iteration'] + 1}" in result.stderr
    assert f"{tmp_path / 'net_run' / 'last.pt'} is from before that" in result.stderr
    assert all(value.isfinite().all() for value in last.ema.values())


def test_divergence_before_the_first_checkpoint_promises_none(
    clean: Path, small: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "net.pt"
    options = ["--prediction", "eps", "--learning-rate", "1e30", "--warm-up", "1"]
    fails(train(clean, "-o", output, *QUICK, *small, *options), output, "no checkpoint was due before that")
    assert not (tmp_path / "net_run" / "last.pt").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_pixels_that_spoil_the_training_are_named_in_one_line(
    workers: str, small: list[str], tmp_path: Path
) -> None:
    """Outside of the sample that is looked at when the volume is opened, everything is NaN."""
    stack = np.full((5, 1024, 1024), np.nan, np.float32)
    for plane, rows, columns in sample_windows(5, (1024, 1024)):
        stack[plane, rows, columns] = soft_plane(plane, 256)
    np.save(tmp_path / "stack.npy", stack)
    output = tmp_path / "net.pt"
    options = ["--split", "100:0:0", "--memory", "0", "--workers", workers]
    result = train(tmp_path / "stack.npy", "-o", output, *QUICK, *small, *options)
    fails(result, output, "holds NaN or infinite pixels")
    assert result.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'stack.npy'}, plane ")


@pytest.mark.parametrize(
    "options", [[], ["--prediction", "x0"], ["--schedule", "square"], ["--iterations", "many"]], ids=str
)
def test_usage_errors_have_exit_code_2(options: list[str], tmp_path: Path) -> None:
    output = [] if not options else ["-o", str(tmp_path / "net.pt")]
    result = train(tmp_path, *output, *options)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (tmp_path / "net.pt").exists()


def test_corpus_is_trained_on_and_recorded(clean: Path, small: list[str], tmp_path: Path) -> None:
    (clean.parent / "corpus.toml").write_text(
        'name = "mine"\n'
        '[[source]]\nname = "a"\nstructure = "nuclei"\nfiles = ["clean/[0-3].png"]\nlicence = "CC0 1.0"\n'
        '[[source]]\nname = "b"\nstructure = "actin"\nfiles = ["clean/[45].png"]\nweight = 3\n'
    )
    output = tmp_path / "net.pt"
    corpus = clean.parent / "corpus.toml"
    succeeds(train(corpus, "-o", output, *QUICK, *small, "--iterations", "2", "--split", "100:0:0"))
    found = Checkpoint.load(output)
    record = found.training["corpus"]
    assert record["name"] == "mine"
    told = [(s["name"], s.get("licence"), s["share"], s["planes"]) for s in record["sources"]]
    assert told == [("a", "CC0 1.0", 0.5, 4), ("b", None, 0.5, 2)]
    split = json.loads((tmp_path / "net_run" / "split.json").read_text())
    assert split["corpus"] == json.loads(json.dumps(record))
    assert [volume["source"] for volume in split["training"]] == ["a"] * 4 + ["b"] * 2
    fails(train(corpus, clean, "-o", tmp_path / "x.pt", *QUICK), tmp_path / "x.pt", "is trained on alone")


def test_resuming_with_other_shares_is_refused(clean: Path, small: list[str], tmp_path: Path) -> None:
    corpus, output = clean.parent / "shares.toml", tmp_path / "net.pt"
    source = '[[source]]\nstructure = "{}"\nfiles = ["clean/[{}].png"]\n'
    text = source.format("nuclei", "0-3") + source.format("actin", "45")
    corpus.write_text(text)
    options = [corpus, "-o", output, *QUICK, *small, "--iterations", "2", "--split", "100:0:0"]
    succeeds(train(*options))
    corpus.write_text(f"[structures]\nactin = 2\n{text}")
    result = train(*options, "--resume")
    assert result.exit_code == 2
    assert "split.json: the run was started with other corpus (structures " in result.stderr


def test_images_that_show_a_test_image_are_left_out(small: list[str], tmp_path: Path) -> None:
    """A noisy copy of one of them, twice as large."""
    for seed in range(3):
        np.save(tmp_path / f"{seed}.npy", soft_plane(seed, 160))
    (tmp_path / "tests").mkdir()
    large = np.kron(soft_plane(2, 160), np.ones((2, 2)))
    large += np.random.default_rng(0).normal(0, 8, large.shape)
    np.save(tmp_path / "tests" / "test.npy", large.astype(np.float32))
    clean, exclude = [tmp_path / f"{seed}.npy" for seed in range(3)], ["--exclude", tmp_path / "tests"]
    output = tmp_path / "net.pt"
    options = [*QUICK, *small, "--iterations", "2", "--split", "100:0:0"]
    result = train(*clean, "-o", output, *options, *exclude)
    succeeds(result)
    assert "left out 1 that show what test images show:" in result.stderr
    test = tmp_path / "tests" / "test.npy"
    assert f"left out {clean[2]} (shows what {test} shows)" in result.stderr
    assert [v["name"] for v in Checkpoint.load(output).split["training"]] == [str(c) for c in clean[:2]]
    fails(
        train(*clean, "-o", tmp_path / "x.pt", *QUICK, "--exclude", "gone"),
        tmp_path / "x.pt",
        "gone: no such",
    )
