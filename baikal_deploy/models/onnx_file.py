"""Fields, metadata and hashes of an .onnx file, without any back end.

The wire format of protobuf is read as far as that takes: these lines save the runtime from needing the onnx
package (decision 3). Format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from baikal_deploy.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Field numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto on the way to a tensor's data.
_GRAPH = 7
_INSIDE: dict[str, dict[int, str]] = {
    "model": {_GRAPH: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}


class NotProtobuf(Exception):
    """Bytes that are not a message."""


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of each field of a message.

    Raises:
        NotProtobuf: the bytes are not a message.
        IndexError: the message is cut short.
    """
    view, position = memoryview(data), 0
    while position < len(view):
        tag, position = _varint(view, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise NotProtobuf
        if wire == _VARINT:
            value, position = _varint(view, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(view, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise NotProtobuf
        if position + length > len(view):
            raise NotProtobuf
        yield number, view[position : position + length]
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise NotProtobuf


def model_sha256(path: Path) -> str:
    """SHA-256 of an .onnx file followed by the files that hold weights for it.

    Raises:
        ModelError: not an ONNX file, or one of them cannot be read.
    """
    try:
        data = path.read_bytes()
        if not any(number == _GRAPH for number, _ in fields(data)):
            raise NotProtobuf
        hashes = hashlib.sha256(data)
        for name in sorted(set(_locations(data, "model"))):
            hashes.update((path.parent / name).read_bytes())
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except (IndexError, ValueError, NotProtobuf) as error:
        raise ModelError(f"{path}: not an ONNX file, or a damaged one; get or export it again") from error
    return hashes.hexdigest()


def _locations(data: bytes | memoryview, kind: str) -> Iterator[str]:
    """Names of the files that hold the data of tensors, beside the .onnx file."""
    for number, value in fields(data):
        inside = _INSIDE[kind].get(number)
        if inside is None or not isinstance(value, memoryview):
            continue
        if inside != "external":
            yield from _locations(value, inside)
            continue
        entry = {key: bytes(text).decode() for key, text in fields(value) if isinstance(text, memoryview)}
        if entry.get(1) == "location":
            yield entry.get(2, "")


CHECKSUM_KEY = "baikal_sha256"
"""Metadata key of the ``checksum`` of the file; files of earlier versions have none."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checksum(data: bytes) -> str:
    """SHA-256 of an .onnx file without the entry that holds it.

    Raises:
        NotProtobuf: the bytes are not an ONNX file.
        IndexError: the file is cut short.
        UnicodeDecodeError: a key of its metadata is not text.
    """
    hashes = hashlib.sha256()
    for number, value in fields(data):
        content = value if isinstance(value, memoryview) else str(value).encode()
        if number != _METADATA_PROPS or _entry(content)[0] != CHECKSUM_KEY:
            hashes.update(f"{number} {len(content)} ".encode())
            hashes.update(content)
    return hashes.hexdigest()


_METADATA_PROPS = 14
"""Number of the field of ModelProto that holds metadata."""


def _metadata_props(data: bytes) -> Iterator[tuple[str, str]]:
    for number, value in fields(data):
        if number == _METADATA_PROPS and isinstance(value, memoryview):
            yield _entry(value)


def _entry(data: bytes | memoryview) -> tuple[str, str]:
    """Key and value of an entry of the metadata."""
    texts = {number: bytes(text).decode() for number, text in fields(data) if isinstance(text, memoryview)}
    return texts.get(1, ""), texts.get(2, "")
