"""--preview and --report: where they go, and what makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.pipeline import Run
from baikal_deploy.volumes.inputs import open_input

SUFFIXES = {"preview": ".png"}


@dataclass(frozen=True)
class Looks:
    """Pictures and pages to write beside an output; with a folder of images, folders for them.

    Attributes:
        preview: see ``look.preview``; None: none.
    """

    preview: Path | None = None

    @property
    def _asked(self) -> dict[str, Path]:
        return {name: path for name in SUFFIXES if (path := getattr(self, name)) is not None}

    def check_files(self) -> None:
        """Raises ConfigError: files that cannot be written, or of another kind."""
        for name, path in self._asked.items():
            if path.suffix.lower() != SUFFIXES[name]:
                raise ConfigError(f"--{name} {path}: must end in {SUFFIXES[name]}")
            if not path.absolute().parent.is_dir():
                raise ConfigError(f"--{name} {path}: its folder does not exist")

    def check_folders(self) -> None:
        """Raises ConfigError: a file where a folder is needed."""
        for name, path in self._asked.items():
            if path.suffix.lower() == SUFFIXES[name] or path.is_file():
                raise ConfigError(
                    f"--{name} {path}: is one file; there are several images, so give a folder for theirs"
                )

    def of(self, output: Path) -> Looks:
        """Those of one image of a folder, named as its output is."""
        name = output.name.removesuffix(".ome.zarr")
        return Looks(**{key: path / f"{name}{SUFFIXES[key]}" for key, path in self._asked.items()})

    def write(self, run: Run) -> Iterator[Path]:
        """Write them all; the run's output is complete.

        Yields:
            What is written.

        Raises:
            VolumeError: one cannot be written.
        """
        for path in self._asked.values():
            _make_folder(path.parent)
        if self.preview is not None:
            from baikal_deploy.look.preview import save_preview

            save_preview(self.preview, run.volume, open_input(run.config.target))
            yield self.preview


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise VolumeError(
            f"{path}: cannot be made ({error.strerror or error}); the output is complete"
        ) from error
