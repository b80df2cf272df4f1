"""The record of a model: what is known of it beside what its file says, in a small JSON file of its own.

It lies beside the .onnx file, NAME.json beside NAME.onnx, so that what is found out later (what a precision
loses on some machine, which structures the model knows) changes no byte of the model. It holds the SHA-256
of the file that it is of, and one that is of another is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from baikal_deploy.errors import ModelError
from baikal_deploy.host.durable import whole_file
from baikal_deploy.measurement.structure.known import Known
from baikal_deploy.models.losses import Loss
from baikal_deploy.models.manifest import Precision, shipped_models
from baikal_deploy.untrusted.nesting import require_shallow
from baikal_deploy.untrusted.text import visible

KIND, SCHEMA = "baikal model record", 1
MOST_BYTES = 2**20
"""Most bytes of a record; those of the shipped models have some thousand."""
MOST_LOSSES = 256


@dataclass(frozen=True)
class ModelRecord:
    """What is known of a model beside what its file says.

    Attributes:
        sha256: of the model's file.
        known: the structures that it knows.
        losses: what each precision loses on each engine.
    """

    sha256: str
    known: Known = field(default_factory=Known)
    losses: tuple[Loss, ...] = ()

    SUFFIX: ClassVar[str] = ".json"

    def loss(self, precision: Precision) -> float | None:
        """PSNR that a precision loses, in dB, on the engine where it loses most; None: it was not measured.

        Args:
            precision: what the network computes in.
        """
        return max((one.largest for one in self.losses if one.precision == precision), default=None)

    @classmethod
    def beside(cls, model: Path, sha256: str) -> Self:
        """The record beside a model's file; an empty one where there is none.

        Args:
            model: the .onnx file.
            sha256: of that file.

        Raises:
            ModelError: it is damaged, of a newer version, or of another file.
        """
        path = model.with_suffix(cls.SUFFIX)
        record = _read(path)
        if record is None:
            return cls(sha256)
        found = cls._parsed(path, record)
        if found.sha256 != sha256:
            raise ModelError(
                f"{path}: is the record of another file than {model.name} (its SHA-256 differs); remove it, "
                f"or make it again: baikal-export {model} --record"
            )
        return found

    @classmethod
    def _parsed(cls, path: Path, record: Mapping[str, Any]) -> Self:
        try:
            if record["schema"] > SCHEMA:
                raise ModelError(
                    f"{path}: has schema {record['schema']:.9g}; update baikal-deploy to read it"
                )
            sha256, losses = record["sha256"], record["losses"]
            if not isinstance(sha256, str) or not isinstance(losses, list) or len(losses) > MOST_LOSSES:
                raise ValueError("sha256 or losses: not a text, not a list, or too long a one")
            found = tuple(map(Loss.from_record, losses))
            return cls(sha256, Known.from_record(record["knows"]), found)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _damaged(path, error) from error

    @classmethod
    def place(cls, model: Path) -> Path:
        """Where the record of a model's file is written, which may have one already.

        Raises:
            ModelError: a file of another kind is there.
        """
        path = model.with_suffix(cls.SUFFIX)
        try:
            other = path.exists() and _read(path) is None
        except ModelError:
            other = False  # a damaged one is replaced
        if other:
            raise ModelError(f"{path}: is not the record of a model, and is not replaced; rename it")
        return path

    def save(self, model: Path) -> Path:
        """Write it beside a model's file.

        Returns:
            The file that was written.

        Raises:
            ModelError: it cannot be written, or a file of another kind is there.
        """
        path = self.place(model)
        data = {"kind": KIND, "schema": SCHEMA, "sha256": self.sha256, "knows": self.known.record()}
        text = json.dumps(data | {"losses": [asdict(loss) for loss in self.losses]}, indent=1)
        try:
            with whole_file(path) as partial:
                partial.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise ModelError(f"{path}: cannot be written ({error.strerror})") from error
        return path


def shipped_that_know(structure: str) -> tuple[str, ...]:
    """Names of the shipped models that know a structure.

    Raises:
        ModelError: the package is damaged.
    """
    names = []
    for name, model in shipped_models().items():
        path = model.with_suffix(ModelRecord.SUFFIX)
        record = _read(path)
        if record is not None and structure in ModelRecord._parsed(path, record).known.structures:
            names.append(name)
    return tuple(names)


def _read(path: Path) -> dict[str, Any] | None:
    """The object in a record's file; None: there is no file, or one of another kind."""
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > MOST_BYTES:
            return None  # whatever it is
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refused)
        require_shallow(record)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return record if isinstance(record, dict) and record.get("kind") == KIND else None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _damaged(path: Path, error: Exception) -> ModelError:
    reason = visible(" ".join(str(error)[:200].split()))
    return ModelError(
        f"{path}: the record beside the model is damaged ({reason}); remove it, or make it again with "
        "baikal-export MODEL.onnx --record"
    )
