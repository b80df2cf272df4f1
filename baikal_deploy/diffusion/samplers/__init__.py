"""Conditional samplers: one file each, named after its sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.errors import ConfigError
from baikal_deploy.plugins import load_plugin, plugin_names

DEFAULT_SAMPLER = "auto"


def sampler_names() -> list[str]:
    """Names of all samplers, as users give them."""
    return plugin_names(__name__)


def sampler_class(name: str) -> type[Sampler]:
    """Class of a sampler.

    Args:
        name: as users give it.

    Raises:
        ConfigError: there is no such sampler; the message lists those there are.
    """
    return load_plugin(__name__, name, Sampler)  # type: ignore[type-abstract]


def make_sampler(name: str, options: Mapping[str, Any], recommended: Mapping[str, Any]) -> Sampler:
    """A sampler from its name and options.

    Args:
        name: as users give it.
        options: by name; text is converted to the option's type. "preset" names one of the sampler's presets,
            which then takes the place of ``recommended``.
        recommended: the model's own options, which ``options`` override.

    Raises:
        ConfigError: unknown sampler, preset or option, or a value that does not fit.
    """
    from pydantic import TypeAdapter, ValidationError

    kind = sampler_class(name)
    given = dict(options)
    preset = given.pop("preset", None)
    if preset is not None and preset not in kind.PRESETS:
        raise ConfigError(
            f"sampler {name}: no preset '{preset}'; there is {', '.join(kind.PRESETS) or 'none'}"
        )
    values = {**(recommended if preset is None else kind.PRESETS[preset]), **given}
    for key in {"steps", "budget"} & values.keys():
        # A plain number is a respacing or a budget too. Bytes that are not text have no place in JSON.
        values[key] = str(values[key]).encode(errors="backslashreplace").decode()
    known = [field.name for field in fields(kind)]
    for key in values:
        if key not in known:
            raise ConfigError(f"sampler {name}: no option '{key}'; there are preset, {', '.join(known)}")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        if isinstance(cause := problem.get("ctx", {}).get("error"), ConfigError):
            raise ConfigError(f"sampler {name}: {cause}") from error
        where = f"option {problem['loc'][0]}={problem['input']}" if problem["loc"] else "options"
        raise ConfigError(f"sampler {name}: {where}: {problem['msg']}") from error
