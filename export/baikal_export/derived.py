"""What is derived from an exported model: fused samplers, and a package of bioimage.io."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import ModelManifest, find_model, is_shipped, read_manifest, shipped_models
from baikal_deploy.volumes.places import check_writable
from baikal_export.bioimageio.package import check, write_package
from baikal_export.fused import FusedSampler, parse, write


@dataclass(frozen=True)
class Derived:
    """What is asked for beside a model.

    Attributes:
        samplers: fused samplers, by file.
        package: ZIP file of bioimage.io; None: none.
    """

    samplers: dict[Path, FusedSampler]
    package: Path | None

    @classmethod
    def of(cls, texts: tuple[str, ...], package: Path | None, manifest: ModelManifest, beside: Path) -> Self:
        """What the options ask for, checked and compiled before anything is written.

        Args:
            texts: of --fused-sampler.
            package: of --bioimageio.
            manifest: of the model.
            beside: the model's file, or one that fused samplers are named after and lie beside.

        Raises:
            ConfigError: what cannot be made.
        """
        samplers: dict[Path, FusedSampler] = {}
        for text in texts:
            sampler = parse(text, manifest)
            path = sampler.path(beside)
            if path in samplers:
                raise ConfigError(
                    f"--fused-sampler {text}: {path} is asked for twice; give each sampler once"
                )
            samplers[path] = sampler
        if package is not None:
            check_writable(package, "--bioimageio")
            check(package, manifest)
        return cls(samplers, package)

    def write(self, model: Path) -> Iterator[str]:
        """Write all of it.

        Args:
            model: .onnx file of the model.

        Returns:
            Lines for people.

        Raises:
            ModelError: a file that cannot be written, or differs from the runtime.
        """
        for path, sampler in self.samplers.items():
            difference = write(sampler, model, path)
            yield f"wrote {path}; it agrees with the NumPy sampler to {difference:.1e}"
        if self.package is not None:
            found = write_package(model, self.package)
            yield (
                f"wrote {self.package} for bioimage.io; it agrees with the NumPy sampler to "
                f"{found.difference:.1e}; test image "
                f"{found.noisy_db:.1f} dB, denoised {found.denoised_db:.1f} dB"
            )


def exported(model: Path) -> Path | None:
    """The .onnx file of a model that is exported already, such as a shipped one; None for a checkpoint.

    Args:
        model: a path, or the name of a shipped model.

    Raises:
        ModelError: an .onnx file that is not there.
    """
    shipped = is_shipped(str(model)) and not model.exists()
    return find_model(str(model)) if shipped or model.suffix == ".onnx" else None


def of_exported(
    model: Path, output: Path | None, texts: tuple[str, ...], package: Path | None
) -> Iterator[str]:
    """Make something of a model that is exported already.

    Args:
        model: its .onnx file.
        output: file that fused samplers lie beside and are named after; None: the model, in the current
            folder where it is a shipped one.
        texts, package: see ``Derived.of``.

    Returns:
        Lines for people.
    """
    if not texts and package is None:
        raise ConfigError(f"{model}: is exported already; ask for --fused-sampler, --bioimageio or --record")
    shipped = model in shipped_models().values()
    beside = output or (Path(model.name) if shipped else model)
    check_writable(beside, "-o")
    yield from Derived.of(texts, package, read_manifest(model), beside).write(model)
