"""The manifest: everything a model needs beside its weights; travels inside the .onnx file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.errors import BaikalError, ConfigError, ModelError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.noise_model import Kernel
from baikal_deploy.measurement.spectrum import check_kernel
from baikal_deploy.models.onnx_file import CHECKSUM_KEY, NotProtobuf, _metadata_props, checksum
from baikal_deploy.untrusted.nesting import require_shallow

SHIPPED = Path(__file__).parent
DEFAULT_MODEL = "general"
AUTO_MODEL = "auto"
"""Stands for the shipped model that suits a channel best, where a channel is there to look at."""
ALIASES = {"flywing": "membranes"}
"""Former names of shipped models, and what they are called now."""
METADATA_KEY = "baikal_manifest"
FUSED_KEY = "baikal_fused"
"""Metadata key of files that hold a whole sampler (docs/fused.md), which are not models."""
SCHEMA = 3
"""Version of the manifest. 2 added ``precision`` and ``verification``; files of schema 1 are fp32. 3 added
``noise_correlation``; before, all models knew white noise.
"""

MOST_BYTES = 2**31
"""Most bytes of an .onnx file: protobuf holds no more."""
MOST_DOWNSAMPLING = 1024
"""Largest downsampling, as planes are padded to its multiples."""

Stored = Literal["fp32", "bf16", "fp16", "int8"]
"""Numbers that a model's file holds."""
Precision = Literal["fp32", "tf32", "bf16", "fp16", "int8"]
"""Arithmetic of a network's convolutions and matrix products; int8 with fp32 around them. tf32 is that of
NVIDIA's GPUs: numbers of fp32, multiplied with 10 bits of their 23."""


@dataclass(frozen=True)
class ModelManifest:
    """Everything about a model that its graph does not say.

    The graph maps ``x_t`` (N, 1, H, W) and ``timesteps`` (N,), both float32, to ``eps``
    (N, 1, H, W), and with learned-range variance also to ``v`` of the same shape. Timesteps are the
    original 0 … T−1 and may be fractional.

    Attributes:
        name: for messages and provenance.
        schedule: the noise schedule it was trained with.
        variance: how the reverse variance is set by default; "learned_range" if the graph returns v.
        normalisation: percentiles that map to −1 and 1.
        downsampling: H and W must be multiples of it.
        precision: of the graph. Its inputs and outputs are float32 whatever it is.
        verification: how the file was compared with the checkpoint, and what was measured
            (docs/export.md).
        noise_correlation: autocorrelation of the noise that the network knows, where that is not white.
        recommended: options that measured best, by sampler name.
        card: data, licence and limits, in words.
        training: provenance.
    """

    name: str
    schedule: ScheduleSpec
    variance: Variance
    normalisation: Normalisation
    downsampling: int
    precision: Stored = "fp32"
    verification: dict[str, Any] = field(default_factory=dict)
    noise_correlation: Kernel | None = None
    recommended: dict[str, dict[str, Any]] = field(default_factory=dict)
    card: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not 1 <= self.downsampling <= MOST_DOWNSAMPLING:
            raise ConfigError(
                f"model {self.name}: downsampling {self.downsampling}: must be 1 to {MOST_DOWNSAMPLING}"
            )
        self.schedule.build()
        if self.noise_correlation is not None:
            check_kernel(self.noise_correlation)

    def to_json(self) -> str:
        data = asdict(self) | {"schema": SCHEMA, "schedule": self.schedule.as_dict()}
        return json.dumps(data, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelManifest:
        """The manifest in a text that ``to_json`` gave.

        Raises:
            ModelError: the text is not a manifest, or is one of a newer schema.
        """
        from pydantic import TypeAdapter  # here, since importing it takes a while

        try:
            data = json.loads(text)
            require_shallow(data)
            schema = data.pop("schema")
            if schema > SCHEMA:
                raise ModelError(f"the manifest has schema {schema}; update baikal-deploy to read it")
            ScheduleSpec.from_dict(data["schedule"])  # its defaults must not stand in for what is missing
            # As JSON, since strict mode then takes lists for tuples, and text for nothing but text.
            return TypeAdapter(cls).validate_json(json.dumps(data), strict=True)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"the manifest is damaged ({' '.join(str(error)[:500].split())})") from error


def shipped_models() -> dict[str, Path]:
    """The files of the models that come with the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.onnx"))}


def is_shipped(model: str | Path) -> bool:
    """True for the name of a shipped model, former ones too.

    Args:
        model: any text.
    """
    return name_now(model) in shipped_models()


def find_model(model: str | Path) -> Path:
    """The file of a shipped model's name, or of a path to an .onnx file.

    Args:
        model: the name, also a former one, or the path.

    Raises:
        ModelError: neither.
    """
    shipped, name = shipped_models(), name_now(model)
    if name in shipped:
        return shipped[name]
    path = Path(model)
    if os.path.isfile(path):  # unlike Path.is_file, false for a name that is too long
        return path
    if "=" in str(model) or str(model) == AUTO_MODEL:
        raise ModelError(
            f"model '{model}': one model is needed here; only baikal-run takes one for each channel, or "
            f"chooses it. Choose {', '.join(shipped)}, or give an .onnx file"
        )
    if path.suffix == ".onnx":
        raise ModelError(f"{path}: no such model file")
    raise ModelError(f"model '{model}': not shipped; choose {', '.join(shipped)}, or give an .onnx file")


def remark_on(model: str | Path) -> str | None:
    """What to know of a former name of a shipped model, in a sentence; None for any other text.

    Args:
        model: any text.
    """
    if str(model) not in ALIASES:
        return None
    now = name_now(model)
    return f"model {model} is not shipped any more; {now} is taken in its place, whose results differ"


def name_now(model: str | Path) -> str:
    """What a model is called now: another name where it is a former one, and any other text as it is.

    Args:
        model: any text.
    """
    return ALIASES.get(str(model), str(model))


def read_manifest(path: Path) -> ModelManifest:
    """The manifest inside an .onnx file, read without any back end.

    Raises:
        ModelError: not an ONNX file, one without a manifest, or not as it was exported.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path}: is larger than any ONNX file; get or export it again")
        data = path.read_bytes()
        metadata = dict(_metadata_props(data))
        intact = CHECKSUM_KEY not in metadata or metadata[CHECKSUM_KEY] == checksum(data)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (IndexError, UnicodeDecodeError, NotProtobuf) as error:
        raise ModelError(f"{path}: not an ONNX file, or a damaged one; get or export it again") from error
    if FUSED_KEY in metadata:
        raise ModelError(
            f"{path}: a whole sampler for programs that call ONNX Runtime themselves (docs/fused.md), not a "
            "network; give the model that it was made of"
        )
    if METADATA_KEY not in metadata:
        raise ModelError(f"{path}: an ONNX file without a manifest; export it with baikal-export")
    if not intact:
        raise ModelError(
            f"{path}: damaged, or changed after it was exported (its SHA-256 is another one); "
            "get or export it again"
        )
    try:
        return ModelManifest.from_json(metadata[METADATA_KEY])
    except BaikalError as error:
        raise ModelError(f"{path}: {error}") from error
