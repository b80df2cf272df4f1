"""Files of --preview and --report: where they go, and what makes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.naming import stem_of
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.paths import attributes_file
from baikal_deploy.volumes.places import check_writable
from baikal_deploy.volumes.urls import Source

SUFFIXES = {"preview": ".png", "report": ".html"}
ENDS = {".png": b"IEND\xaeB`\x82", ".html": b"</html>"}
"""Last bytes of a file that was written to its end."""


@dataclass(frozen=True)
class Looks:
    """Pictures and pages to write beside an output; with a folder of images, folders for them.

    Attributes:
        preview, report: see the modules of ``baikal_deploy.report``; None: none.
    """

    preview: Path | None
    report: Path | None

    @property
    def _asked(self) -> dict[str, Path]:
        return {name: path for name in SUFFIXES if (path := getattr(self, name)) is not None}

    def check_files(self) -> None:
        """Check the paths as files, for one output.

        Raises:
            ConfigError: a name of another kind, or a folder.
            VolumeError: a file that cannot be written.
        """
        for name, path in self._asked.items():
            if path.suffix.lower() != SUFFIXES[name]:
                raise ConfigError(f"--{name} {path}: must end in {SUFFIXES[name]}")
            if os.path.isdir(path):
                raise ConfigError(f"--{name} {path}: is a folder; name a file")
            check_writable(path, f"--{name}")

    def check_folders(self) -> None:
        """Check the paths as folders, for several outputs.

        Raises:
            ConfigError: a file where a folder is needed.
            VolumeError: a folder that cannot be made.
        """
        for name, path in self._asked.items():
            if path.suffix.lower() == SUFFIXES[name] or os.path.isfile(path):
                raise ConfigError(
                    f"--{name} {path}: is one file; there are several images, so give a folder for theirs"
                )
            check_writable(path / "one.html" if os.path.isdir(path) else path, f"--{name}")

    def of(self, output: Path, together: Path) -> Looks:
        """Pictures and pages of one of several outputs, named as it is; A_1_0 of field A/1/0 of a plate.

        Args:
            output: of the image.
            together: what holds all outputs, if anything does.
        """
        place = output.relative_to(together) if output.is_relative_to(together) else Path(output.name)
        name = stem_of("_".join(place.parts))
        own = {key: path / f"{name}{SUFFIXES[key]}" for key, path in self._asked.items()}
        return Looks(own.get("preview"), own.get("report"))

    def write(self, run: Run, done: RunReport) -> Iterator[Path]:
        """Write them all; the run's output is complete. What an earlier run has made of it stays.

        Args:
            run: that was executed.
            done: its report.

        Yields:
            Path of each file, once it is there.

        Raises:
            VolumeError: one cannot be written.
            EngineError: the network failed.
        """
        for name, path in self._asked.items():
            if not (done.before and _is_made(path, done.output)):
                _make_folder(path.parent)
                self._write_one(name, path, run, done)
            yield path

    def _write_one(self, name: str, path: Path, run: Run, done: RunReport) -> None:
        if name == "preview":
            from baikal_deploy.report.preview import save_preview

            save_preview(path, run.work.readable, open_input(done.output))
        else:
            from baikal_deploy.report.html import save_report

            save_report(path, run, done, open_input(done.output))


def _is_made(path: Path, output: Source) -> bool:
    """True if a picture or page is whole, and was made after the output; one at a URL does not tell."""
    if not isinstance(output, Path):
        return False
    metadata = output if output.is_file() else attributes_file(output)
    assert isinstance(metadata, Path)
    try:
        newer = path.stat().st_mtime_ns >= metadata.stat().st_mtime_ns
        return newer and path.read_bytes().rstrip().endswith(ENDS[path.suffix.lower()])
    except OSError:
        return False


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise VolumeError(
            f"{path}: cannot be made ({error.strerror or error}); the output is complete"
        ) from error
