"""Results as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from baikal_deploy.host.durable import write_file
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.results import Results, Row
from baikal_evaluation.statistics import Interval

COLUMNS = [field.name for field in fields(Row)] + ["definition"]


def write_csv(path: Path, results: Results) -> None:
    """Write a line of each image and method, with every digit; what is not known is left empty.

    Args:
        path: the file.
        results: to write.

    Raises:
        EvaluationError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    # As a column: a comment line above the header would break most readers.
    writer.writerows(asdict(row) | {"definition": results.definition} for row in results.rows)
    write_text(path, text.getvalue())


def write_json(path: Path, results: Results) -> None:
    """Write everything: rows, means, and differences to each reference, by its name.

    JSON has no infinity: such numbers are the texts "inf", "-inf" and "nan".

    Args:
        path: the file.
        results: to write.

    Raises:
        EvaluationError: the file cannot be written.
    """
    data = {
        "definition": results.definition,
        "command": results.command,
        "machine": results.machine,
        "versions": results.versions,
        "oracles": [method for method in results.methods if method in results.oracles],
        "summary": results.summary(),
        "differences": {reference: results.differences(reference) for reference in results.references},
        "rows": results.rows,
    }
    text = json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file at once, so that a crash leaves the last whole one.

    Args:
        path: the file.
        text: its new contents.

    Raises:
        EvaluationError: it cannot be written.
    """
    try:
        # Names of files that are not UTF-8 hold surrogates, which cannot be encoded.
        write_file(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be written ({error.strerror}); free space, or choose another output"
        ) from error


def _plain(value: Any) -> Any:
    """Value as JSON can hold it."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Interval):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(float(value)) if isinstance(value, float) and not math.isfinite(value) else value
