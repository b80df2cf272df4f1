"""Pixels out of a request, and into an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.live import LiveResult
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.serve.protocol import OUTPUT, VERSION, InferRequest, Input, Place
from baikal_deploy.serve.refusal import Refused, bad
from baikal_deploy.serve.shared import Segments

JSON_LENGTH = "Inference-Header-Content-Length"
JSON_BYTES = 2**22
"""Most bytes of the JSON of a request: as objects of Python it takes many times as much."""
JSON_PIXELS = 2**20
"""Most pixels that are sent back as JSON."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """The JSON of an answer, and what follows it.

    Attributes:
        parts: bytes of the frames, one after the other.
    """

    text: bytes
    parts: Sequence[memoryview]


def parse(body: Bytes, announced: int | None) -> tuple[InferRequest, Bytes]:
    """The request in a body, and the bytes of its pixels; none if they are in shared memory.

    Args:
        body: all bytes of the body.
        announced: bytes of the JSON at its beginning; None: it is all JSON.

    Raises:
        Refused: the body is not such a request, or its pixels are missing, given twice, or of another size.
    """
    json_bytes = len(body) if announced is None else announced
    if json_bytes > len(body):
        raise bad(f"the JSON should have {json_bytes} bytes, and the whole request has {len(body)}")
    if json_bytes > JSON_BYTES:
        raise bad(
            f"{json_bytes} bytes of JSON: at most {JSON_BYTES}; send the pixels as binary data, with "
            f"{JSON_LENGTH}, or in shared memory"
        )
    try:
        asked, binary = InferRequest.parse(body[:json_bytes].tobytes()), body[json_bytes:]
    except Refused as error:
        if announced is not None:
            raise
        raise bad(f"{error}; if pixels follow the JSON, say with {JSON_LENGTH} how long it is") from None
    _check_json_pixels(asked)
    _check_given(asked.frames, binary)
    if asked.frames.data is not None:
        return asked.without_data(), _from_json(asked.frames)
    return asked, binary


def _check_json_pixels(asked: InferRequest) -> None:
    place, pixels = asked.place, asked.frames.pixels
    if not place.binary_data and place.shared_memory_region is None and pixels > JSON_PIXELS:
        raise bad(f"{pixels} pixels as JSON: at most {JSON_PIXELS}; ask for binary_data_output")


def _check_given(asked: Input, binary: Bytes) -> None:
    place = asked.parameters
    given = (asked.data, place.binary_data_size, place.shared_memory_region)
    if sum(one is not None for one in given) != 1:
        raise bad("frame: give either data, or binary_data_size, or shared_memory_region")
    size = place.binary_data_size or 0
    if size != len(binary):
        raise bad(f"frame: {len(binary)} bytes follow the JSON, and binary_data_size says {size}")


def decode(asked: Input, binary: Bytes, segments: Segments) -> Raw:
    """The frames (N, H, W), from the bytes of a request or from shared memory.

    Raises:
        Refused: they are not of the size that they should have.
    """
    place = asked.parameters
    if place.shared_memory_region is not None:
        binary = segments.read(*_segment(place, asked.nbytes), asked.nbytes)
    if len(binary) != asked.nbytes:
        raise bad(
            f"frame: {asked.datatype} of shape {asked.shape} has {asked.nbytes} bytes, "
            f"and there are {len(binary)}"
        )
    return binary.view(asked.dtype).reshape(asked.stack_shape)


def encode(asked: InferRequest, results: Sequence[LiveResult], model: str, segments: Segments) -> Answer:
    """The answer; writes to shared memory if the result is to go there.

    Raises:
        Refused: it does not fit where it is to go.
    """
    place, size = asked.place, asked.frames.nbytes
    tensor: dict[str, Any] = {
        "name": OUTPUT, "datatype": asked.frames.datatype, "shape": asked.frames.shape
    }  # fmt: skip
    parts = [_bytes(result.image) for result in results]
    if place.shared_memory_region is not None:
        segments.write(*_segment(place, size), parts)
        tensor["parameters"] = place.model_dump(include=set(Place.model_fields)) | {
            "shared_memory_byte_size": size
        }
        parts = []
    elif place.binary_data:
        tensor["parameters"] = {"binary_data_size": size}
    else:
        tensor["data"] = np.concatenate([result.image.ravel() for result in results]).tolist()
        parts = []
    return Answer(_text(asked, results, model, tensor), parts)


def _bytes(image: Raw) -> memoryview:
    return np.ascontiguousarray(image).reshape(-1).view(np.uint8).data


def _text(asked: InferRequest, results: Sequence[LiveResult], model: str, tensor: dict[str, Any]) -> bytes:
    answer = {
        "model_name": model,
        "model_version": VERSION,
        "id": asked.id,
        "parameters": {
            "evaluations": results[-1].evaluations,
            "latency_ms": max(result.latency_ms for result in results),
        },
        "outputs": [tensor],
    }
    try:
        return json.dumps(answer, allow_nan=False).encode()
    except ValueError:
        raise bad(
            "the frame holds pixels that are not finite, which JSON has not: send binary data"
        ) from None


def _segment(place: Place, size: int) -> tuple[str, int]:
    """Name of a segment, and the offset in it."""
    assert place.shared_memory_region is not None
    room = place.shared_memory_byte_size
    if room is not None and room < size:
        raise bad(f"shared_memory_byte_size {room}: the tensor has {size} bytes")
    return place.shared_memory_region, place.shared_memory_offset


def _from_json(asked: Input) -> Bytes:
    numbers = asked.data or []
    if any(type(one) is list for one in numbers):
        numbers = _flat(numbers, asked.shape)
    # Before NumPy sees them: of strings it makes an array that may be thousands of times as large.
    if not {type(one) for one in numbers} <= {int, float}:
        raise bad("frame: the data must be numbers")
    if len(numbers) != asked.pixels:
        raise bad(f"frame: {len(numbers)} numbers for shape {asked.shape}")
    pixels = _as_pixels(numbers, asked.dtype)
    if pixels is None:
        raise bad(f"frame: the data holds values that {asked.datatype} has not")
    return pixels.view(np.uint8)


def _as_pixels(numbers: list[Any], dtype: np.dtype[Any]) -> Raw | None:
    """The values as pixels; None if some of them cannot be."""
    real = dtype.kind == "f"
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            values = np.asarray(numbers, np.float64 if real else None)
            pixels = values.astype(dtype)
    except OverflowError:
        return None
    same = np.isfinite(pixels) == np.isfinite(values) if real else pixels == values
    return pixels if same.all() else None


def _flat(nested: list[Any], shape: Sequence[int]) -> list[Any]:
    """The values of lists in lists, one level for each axis, as one list."""
    for size in shape[1:]:
        if not all(type(one) is list and len(one) == size for one in nested):
            raise bad(f"frame: the data must be one list, or lists as shape {list(shape)} has them")
        nested = list(chain.from_iterable(nested))
    return nested
