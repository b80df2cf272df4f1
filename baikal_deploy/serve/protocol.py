"""The infer request of the Open Inference Protocol (KServe v2).

With its extensions for binary tensor data and system shared memory. One tensor goes in, frame [H, W] or
[N, H, W]; one comes back, denoised, of the same shape and type.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from baikal_deploy.serve.refusal import bad

INPUT, OUTPUT = "frame", "denoised"
VERSION = "1"
"""Version of the model, as the protocol counts."""
DATATYPES = {
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
Datatype = Literal[
    "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"
]
NAME = 100
"""Characters of a name, at most."""
Name = Annotated[str, Field(min_length=1, max_length=NAME)]
Natural = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]


class Part(BaseModel):
    """A part of a request. What is not known is skipped, as newer clients may say more."""

    model_config = ConfigDict(strict=True, frozen=True)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """The part in a JSON text.

        Raises:
            Refused: it is not JSON, or not such a part.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise bad(f"{where or 'request'}: {_told(first)}") from None


def _told(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "is not known"
    if error["loc"][-1:] == ("shape",):
        return "must be [H, W] or [N, H, W]"
    return error["msg"]


class Parameters(Part):
    """Parameters of a part. Whoever misspells one must hear of it."""

    model_config = ConfigDict(extra="forbid")


class Place(Parameters):
    """Place of a tensor's data in shared memory, if it lies there.

    Attributes:
        shared_memory_region: as it was registered.
        shared_memory_offset, shared_memory_byte_size: in bytes.
    """

    shared_memory_region: Name | None = None
    shared_memory_offset: Natural = 0
    shared_memory_byte_size: Natural | None = None


class InputPlace(Place):
    """Place of the input's data.

    Attributes:
        binary_data_size: bytes behind the JSON.
    """

    binary_data_size: Natural | None = None


class OutputPlace(Place):
    """Place that the output is to go to.

    Attributes:
        binary_data: behind the JSON.
    """

    binary_data: bool | None = None


class Input(Part):
    """The frames; ``data`` is there if they are in the JSON."""

    name: Literal["frame"]
    datatype: Datatype
    shape: Annotated[list[Positive], Field(min_length=2, max_length=3)]
    parameters: InputPlace = InputPlace()
    data: list[object] | None = None

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(DATATYPES[self.datatype])

    @property
    def stack_shape(self) -> tuple[int, int, int]:
        """Shape (N, H, W) of the frames."""
        *count, height, width = self.shape
        return (*count, height, width) if count else (1, height, width)  # type: ignore[return-value]

    @property
    def pixels(self) -> int:
        """Number of pixels of all frames."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.pixels * self.dtype.itemsize


class Output(Part):
    name: Literal["denoised"]
    parameters: OutputPlace = OutputPlace()


class RequestParameters(Parameters):
    """Parameters of the whole request.

    Attributes:
        channel: frames of one channel share their mapping of intensities.
        timeout: microseconds after which the result is of no use any more; 0: never.
        binary_data_output: the output behind the JSON, unless ``outputs`` says otherwise.
    """

    channel: Name | Natural | None = None
    timeout: Natural | None = None
    binary_data_output: bool = False


class InferRequest(Part):
    """A request to denoise frames, with the place that the result is to go to."""

    id: Annotated[str, Field(max_length=NAME)] = ""
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[Input], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[Output], Field(max_length=1)] = []

    @property
    def frames(self) -> Input:
        return self.inputs[0]

    @property
    def shares_memory(self) -> bool:
        places = self.frames.parameters, self.place
        return any(place.shared_memory_region is not None for place in places)

    def without_data(self) -> InferRequest:
        """The request without the pixels of its JSON: as objects of Python they take many times as much."""
        return self.model_copy(update={"inputs": [self.frames.model_copy(update={"data": None})]})

    @property
    def place(self) -> OutputPlace:
        """Place that the result is to go to."""
        place = self.outputs[0].parameters if self.outputs else OutputPlace()
        if place.binary_data is not None:
            return place
        return place.model_copy(update={"binary_data": self.parameters.binary_data_output})

    @property
    def channel(self) -> str | None:
        return None if self.parameters.channel is None else str(self.parameters.channel)


class SegmentRequest(Part):
    """A request to register a segment of shared memory, which the protocol calls a region.

    Attributes:
        key: name of the file or POSIX shared memory object.
        offset, byte_size: of the segment in it.
    """

    key: Name
    offset: Natural = 0
    byte_size: Annotated[int, Field(ge=1, lt=2**63)]
