"""What is in the places where a run is to write, and what of it the run continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.inputs import Input
from baikal_deploy.run.provenance import measurements_of
from baikal_deploy.run.recipes import Group
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.resume.session import check_session, finished_before
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.open import open_input


@dataclass(frozen=True)
class Standing:
    """State of the places where a run is to write.

    Attributes:
        earlier: the journal of the unfinished run that is continued; None if there is none.
        finished: whether an earlier run of the same kind has finished all outputs.
        refused: why it may not be executed, if it is only planned.
    """

    earlier: Journal | None = None
    finished: bool = False
    refused: VolumeError | None = None

    def measurements(self, config: RunConfig) -> Mapping[Group, Mapping[str, Any]]:
        """Measurements of the earlier run, as ``Recipes.add`` takes them.

        Args:
            config: the options of the run.
        """
        if self.finished:
            mark = Mark.at(config.result)
            return {} if mark is None else measurements_of(mark.provenance)
        return {} if self.earlier is None else self.earlier.measurements


def look(config: RunConfig, only_plan: bool) -> Standing:
    """Standing that can be known of the outputs before the run has a fingerprint.

    Args:
        config: the options of the run.
        only_plan: see ``Run``.

    Raises:
        VolumeError: an output is there that may not be replaced, if the run is not only planned.
    """
    try:
        check_session(config)
    except VolumeError as error:
        if not only_plan:
            raise
        return Standing(refused=error)
    return Standing()


def settle(
    config: RunConfig, source: Input, seen: Standing, told: Mapping[str, Any], only_plan: bool
) -> Standing:
    """Standing of a run with a fingerprint: it is continued, was finished before, or begins.

    Args:
        config: the options of the run.
        source: the input.
        seen: what ``look`` has found.
        told: the fingerprint.
        only_plan: see ``Run``.

    Raises:
        VolumeError: another run has begun these outputs, if the run is not only planned.
    """
    if seen.refused is not None:
        return seen
    if _is_finished(config, source, told):
        return Standing(finished=True)
    try:
        return Standing(check_session(config, told))
    except VolumeError as error:
        if not only_plan:
            raise
        return Standing(refused=error)


def _is_finished(config: RunConfig, source: Input, told: Mapping[str, Any]) -> bool:
    return finished_before(config, told) and source.holds_no_more_than(open_input(config.result).info)
