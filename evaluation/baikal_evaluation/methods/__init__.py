"""Denoising methods: each module is one, named after its file; samplers of the runtime are methods too.

A method is asked for as ``NAME[@GUIDE][,KEY=VALUE…]``: ``bm3d``, ``repaint,preset=paper``, or
``repaint@n2v``, a sampler that another method's prediction guides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from baikal_deploy.diffusion.samplers import sampler_names
from baikal_deploy.errors import ConfigError
from baikal_deploy.plugins import load_plugin, plugin_names
from baikal_evaluation.methods._model import Model
from baikal_evaluation.methods._sampled import Sampled
from baikal_evaluation.methods.base import Method

__all__ = ["Method", "Model", "Spec", "method_names"]


def method_names() -> list[str]:
    """Names that ``NAME`` may be: methods and samplers."""
    return plugin_names(__name__) + sampler_names()


@dataclass(frozen=True)
class Spec:
    """A method as it was asked for.

    Attributes:
        text: the whole of it; names the method in every output.
        name: of the method.
        guide: the method whose prediction guides it.
        options: of a sampler.
    """

    text: str
    name: str
    guide: str | None
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a method as it was asked for.

        Args:
            text: ``NAME[@GUIDE][,KEY=VALUE…]``.

        Raises:
            ConfigError: an unknown method, or options or a guide where there are none.
        """
        head, *pairs = text.split(",")
        name, at, guide = head.partition("@")
        known = method_names()
        for one in (name, guide) if at else (name,):
            if one not in known:
                raise ConfigError(f"unknown method '{one}'; choose one of {', '.join(known)}")
        options = dict(pair.partition("=")[::2] for pair in pairs)
        if not all(options) or not all("=" in pair for pair in pairs):
            raise ConfigError(f"method {text}: write NAME,KEY=VALUE,…, such as repaint,preset=paper")
        spec = cls(text, name, guide or None, options)
        if not spec.is_sampler and (options or at):
            raise ConfigError(
                f"method {text}: only samplers ({', '.join(sampler_names())}) take options or a guide"
            )
        return spec

    @property
    def is_sampler(self) -> bool:
        """True if it is a sampler of the runtime."""
        return self.name in sampler_names()

    def make(self, model: Model) -> Method:
        """Method, not yet fitted.

        Args:
            model: of the samplers, and of methods that measure noise like the runtime does.

        Raises:
            ConfigError: an unknown option of a sampler, or one that does not fit the model.
            ModelError: the model is not there, or cannot be read.
            EngineError: the engine cannot be had here.
        """
        if self.is_sampler:
            return Sampled(model, self.name, self.options)
        return load_plugin(__name__, self.name, Method).with_model(model)  # type: ignore[type-abstract]
