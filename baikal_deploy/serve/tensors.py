"""Pixels out of a request, and into an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.intensity import Raw
from baikal_deploy.live import LiveResult
from baikal_deploy.serve.protocol import OUTPUT, InferRequest, Input, Place
from baikal_deploy.serve.refusal import bad
from baikal_deploy.serve.shared import Regions

JSON_BYTES = 2**22
"""Of the JSON of a request: as objects of Python it takes many times as much."""
JSON_PIXELS = 2**20
"""That are sent back as JSON."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """The JSON of an answer, and what follows it.

    Attributes:
        parts: bytes of the frames, one after the other.
    """

    text: bytes
    parts: Sequence[memoryview]


def parse(body: Bytes, json_bytes: int) -> tuple[InferRequest, Bytes]:
    """The request at the beginning of a body, and the binary data that follows it.

    Raises:
        Refused: as it is none.
    """
    if json_bytes > len(body):
        raise bad(f"the JSON should have {json_bytes} bytes, and the whole request has {len(body)}")
    if json_bytes > JSON_BYTES:
        raise bad(
            f"{json_bytes} bytes of JSON: at most {JSON_BYTES}; send the pixels as binary data "
            "or in shared memory"
        )
    asked = InferRequest.parse(body[:json_bytes].tobytes())
    place = asked.place
    pixels = int(np.prod(asked.frames.shape, dtype=object))
    if not place.binary_data and place.shared_memory_region is None and pixels > JSON_PIXELS:
        raise bad(f"{pixels} pixels as JSON: at most {JSON_PIXELS}; ask for binary_data_output")
    return asked, body[json_bytes:]


def decode(asked: Input, binary: Bytes, regions: Regions) -> Raw:
    """The frames (N, H, W), from wherever they are.

    Raises:
        Refused: they are not of the size that they should have.
    """
    size, place = asked.parameters.binary_data_size or 0, asked.parameters
    given = (
        place.binary_data_size is not None,
        place.shared_memory_region is not None,
        asked.data is not None,
    )
    if sum(given) != 1:
        raise bad("frame: give either data, or binary_data_size, or shared_memory_region")
    if size != len(binary):
        raise bad(f"frame: {len(binary)} bytes follow the JSON, and binary_data_size says {size}")
    if asked.data is not None:
        return _from_json(asked)
    if place.shared_memory_region is not None:
        binary = regions.read(*_region(place, asked.size), asked.size)
    if len(binary) != asked.size:
        raise bad(
            f"frame: {asked.datatype} of shape {asked.shape} has {asked.size} bytes, "
            f"and there are {len(binary)}"
        )
    return binary.view(asked.dtype).reshape(asked.stack_shape)


def encode(asked: InferRequest, results: Sequence[LiveResult], model: str, regions: Regions) -> Answer:
    """The answer; writes to shared memory if the result is to go there.

    Raises:
        Refused: it does not fit where it is to go.
    """
    place, size = asked.place, asked.frames.size
    tensor: dict[str, Any] = {
        "name": OUTPUT, "datatype": asked.frames.datatype, "shape": asked.frames.shape
    }  # fmt: skip
    parts = [_bytes(result.image) for result in results]
    if place.shared_memory_region is not None:
        regions.write(*_region(place, size), parts)
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
        "model_version": "1",
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


def _region(place: Place, size: int) -> tuple[str, int]:
    """Its name, and the offset in it."""
    assert place.shared_memory_region is not None
    room = place.shared_memory_byte_size
    if room is not None and room < size:
        raise bad(f"shared_memory_byte_size {room}: the tensor has {size} bytes")
    return place.shared_memory_region, place.shared_memory_offset


def _from_json(asked: Input) -> Raw:
    try:
        values = np.asarray(asked.data)
    except ValueError:
        raise bad("frame: the data is ragged") from None
    if values.dtype.kind not in "uif":
        raise bad("frame: the data must be numbers")
    if values.size != np.prod(asked.shape, dtype=object):
        raise bad(f"frame: {values.size} numbers for shape {asked.shape}")
    with np.errstate(invalid="ignore", over="ignore"):
        pixels = values.astype(asked.dtype)
        same = np.isfinite(pixels) == np.isfinite(values) if asked.dtype.kind == "f" else pixels == values
    if not same.all():
        raise bad(f"frame: the data holds values that {asked.datatype} has not")
    return pixels.reshape(asked.stack_shape)
