"""Parameters of the samplers: what is automatic, what is refused, what the command line may say."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from baikal_deploy.diffusion.samplers import make_sampler, sampler_class, sampler_names
from baikal_deploy.diffusion.samplers._walk import ResolvedWalk
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.diffusion.samplers.forward_backward import ForwardBackward
from baikal_deploy.diffusion.samplers.mixing import Mixing
from baikal_deploy.diffusion.samplers.repaint import Repaint
from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError

FULL = ScheduleSpec("linear", 1000).build()
PRESETS = [(name, preset) for name in sampler_names() for preset in sampler_class(name).PRESETS]


def resolved(sampler: Sampler, t_star: float = 100.0) -> ResolvedWalk:
    ready = sampler.resolved(t_star, 1000, "learned_range")
    assert isinstance(ready, ResolvedWalk)
    return ready


@pytest.mark.parametrize(
    ("scale", "t_star", "start"), [(1.0, 100.4, 100), (1.5, 100.0, 150), (0.1, 0.0, 1), (2.0, 900.0, 999)]
)
def test_automatic_start(scale: float, t_star: float, start: int) -> None:
    assert resolved(ForwardBackward(start_scale=scale), t_star).start == start


@pytest.mark.parametrize(
    ("scale", "t_star", "stop"), [(0.5, 100.0, 50), (0.0, 100.0, 0), (0.25, 99.0, 25), (3.0, 100.0, 145)]
)
def test_automatic_stop(scale: float, t_star: float, stop: int) -> None:
    """Never above start, which is 1.45 times t* here."""
    sampler = resolved(Mixing(stop_scale=scale, start_scale=1.45), t_star)
    assert sampler.stop == stop


def test_given_start_and_stop_stay() -> None:
    sampler = resolved(Mixing(start=70, stop=30))
    assert (sampler.start, sampler.stop) == (70, 30)


def test_automatic_variance_is_the_models() -> None:
    assert resolved(ForwardBackward()).variance == "learned_range"
    assert resolved(ForwardBackward(variance="fixed_small")).variance == "fixed_small"


@pytest.mark.parametrize("name", ["forward-backward", "mixing", "posterior", "repaint"])
def test_start_out_of_range(name: str) -> None:
    assert resolved(make_sampler(name, {"start": 999}, {})).start == 999
    with pytest.raises(ConfigError, match=r"start 1000: out of range; the model allows 1 … 999"):
        resolved(make_sampler(name, {"start": 1000}, {}))


@pytest.mark.parametrize("name", ["mixing", "repaint"])
def test_stop_above_start(name: str) -> None:
    resolved(make_sampler(name, {"start": 50, "stop": 50}, {}))
    with pytest.raises(ConfigError, match="stop 51: out of range; it must not lie above start 50"):
        resolved(make_sampler(name, {"start": 50, "stop": 51}, {}))
    with pytest.raises(ConfigError, match="stop 200: out of range"):
        resolved(make_sampler(name, {"stop": 200}, {}))


def test_start_above_the_last_kept_timestep() -> None:
    sampler = resolved(ForwardBackward(start=985, steps="ddim50"))
    with pytest.raises(ConfigError, match="start 985: out of range; steps 'ddim50' end at 980"):
        sampler.respace(FULL)


@pytest.mark.parametrize(
    ("steps", "count"), [("1000", 100), ("ddim50", 5), ("50", 5), ("walk10", 10), ("walk1", 1)]
)
def test_evaluations_follow_the_respacing(steps: str, count: int) -> None:
    for sampler in (ForwardBackward(start=100, steps=steps), Mixing(start=100, steps=steps)):
        ready = resolved(sampler)
        assert ready.nfe(ready.respace(FULL)) == count
    ready = resolved(Repaint(start=100, stop=0, steps=steps, repeats=4, interval=3, runs=2))
    assert ready.nfe(ready.respace(FULL)) == 8 * count


def test_mixing_weights_under_respacing() -> None:
    """Kept are 0, 20, 40, …: mixing goes on at 40 … 80 for start 100 and stop 30."""
    sampler = Mixing(start=100, stop=30, steps="ddim50", w_start=0.5, w_end=0.1)
    schedule = resolved(sampler).respace(FULL)
    weights = sampler.mixing_weights(schedule.index_of(100), schedule.index_of(30))
    np.testing.assert_allclose(weights, [0, 0, 0.1, 0.3, 0.5])


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_presets_are_valid(name: str, preset: str) -> None:
    sampler = resolved(make_sampler(name, {"preset": preset}, {}))
    assert sampler.nfe(sampler.respace(FULL)) > 0
    for key, value in sampler_class(name).PRESETS[preset].items():
        assert sampler.options[key] == value


def test_every_sampler_has_the_papers_preset() -> None:
    assert {name for name, preset in PRESETS if preset == "paper"} >= {
        "forward-backward",
        "mixing",
        "repaint",
    }


@pytest.mark.parametrize("name", sampler_names())
def test_defaults_are_valid(name: str) -> None:
    sampler = make_sampler(name, {}, {}).resolved(100.0, 1000, "learned_range")
    assert sampler.nfe(sampler.respace(FULL)) > 0


@pytest.mark.parametrize("name", sampler_names())
def test_what_is_ready_has_every_option_and_nothing_automatic(name: str) -> None:
    request = make_sampler(name, {}, {})
    ready = request.resolved(100.0, 1000, "learned_range")
    assert [*ready.options] == [field.name for field in fields(ready.request)]
    given = type(ready.request)(**ready.options)
    assert given.resolved(700.0, 1000, "fixed_small").options == ready.options
    assert not hasattr(request, "sample"), "a sampler is resolved before it can be used"


def test_options_override_what_is_recommended() -> None:
    sampler = make_sampler("mixing", {"start": 30}, {"start": 80, "w_start": 0.9})
    assert sampler == Mixing(start=30, w_start=0.9)


def test_a_preset_takes_the_place_of_what_is_recommended() -> None:
    sampler = make_sampler("mixing", {"preset": "paper", "stop": 5}, {"runs": 7, "stop": 3})
    assert sampler == Mixing(**{**Mixing.PRESETS["paper"], "stop": 5})


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("start", "3", 3),
        ("interval", "7", 7),
        ("renoise", "true", True),
        ("renoise", "false", False),
        ("w_start", "0.1", 0.1),
        ("w_end", "0", 0.0),
        ("steps", "50", "50"),
        ("weights", "cosine", "cosine"),
        ("final_repeats", "2", 2),
    ],
)
def test_text_is_converted(option: str, text: str, value: object) -> None:
    converted = getattr(make_sampler("repaint", {option: text}, {}), option)
    assert (converted, type(converted)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "inpaint",
            {},
            "unknown sampler 'inpaint'; choose one of auto, forward-backward, matched, mixing, posterior, "
            "repaint",
        ),
        ("mixing", {"interval": 3}, "sampler mixing: no option 'interval'; there are preset, noise, start"),
        ("mixing", {"preset": "best"}, "sampler mixing: no preset 'best'; there is paper"),
        ("mixing", {"start": "soon"}, "sampler mixing: option start=soon: "),
        ("mixing", {"start": "3.5"}, "sampler mixing: option start=3.5: "),
        ("repaint", {"renoise": "maybe"}, "sampler repaint: option renoise=maybe: "),
        ("mixing", {"weights": "square"}, "option weights=square: .*'exponential'"),
        ("mixing", {"clip": ""}, "option clip=: "),
        ("mixing", {"start": "0"}, "sampler mixing: start 0: must be at least 1"),
        ("mixing", {"start_scale": 0.0}, "start_scale 0.0: must be .*greater than 0"),
        ("mixing", {"runs": 0}, "runs 0: must be at least 1"),
        ("mixing", {"stop": -1}, "stop -1: must be at least 0"),
        ("mixing", {"stop_scale": -0.5}, "stop_scale -0.5: must be .*at least 0"),
        ("mixing", {"w_start": 1.5}, r"w_start 1.5: must lie within 0 … 1"),
        ("mixing", {"w_end": -0.1}, r"w_end -0.1: must lie within 0 … 1"),
        ("mixing", {"w_end": float("nan")}, "w_end nan: must lie within"),
        ("repaint", {"interval": 0}, "interval 0: must be at least 1"),
        ("repaint", {"repeats": 0}, "repeats 0: must be at least 1"),
        ("repaint", {"final_repeats": 0}, "final_repeats 0: must be at least 1"),
    ],
)
def test_refused_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sampler(name, options, {})


@pytest.mark.parametrize("scale", ["nan", "inf"])
@pytest.mark.parametrize("option", ["start_scale", "stop_scale"])
def test_scales_that_are_no_number(option: str, scale: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} {scale}"):
        resolved(make_sampler("mixing", {option: scale}, {}))


def test_refused_recommendation() -> None:
    with pytest.raises(ConfigError, match="no option 'speed'"):
        make_sampler("mixing", {}, {"speed": 3})
