"""Thousands of drawn configs: each is refused with one error, or programs can compute with it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.pretrain import PretrainConfig, check_world
from conf.schema.ranges import MOST, hints, in_range, range_of
from conf.schema.rl import GrpoConfig
from megatron_train import plan
from megatron_train.parallel import speed
from megatron_train.training.schedule import learning_rate
from tests.fuzz.configs import SCHEMAS


def numbers(schema: type, prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, annotated type) of all numbers that a command line can set."""
    out = []
    for name, hint in hints(schema).items():
        if dataclasses.is_dataclass(hint):
            out += numbers(hint, f"{prefix}{name}.")
        elif range_of(hint) is not None:
            out.append((prefix + name, hint))
    return out


def test_the_flags_of_plan_have_ranges_too():
    told = ["--vocab", "384", "--gpus", "8"]
    for flag, value in (("gpus", "0"), ("gpus", "-8"), ("vocab", "0"), ("price", "-1"),
                        ("price", "nan"), ("rank", "-1")):  # fmt: skip
        with pytest.raises(SeedbedError, match=f"--{flag}={value}"):
            plan.main([*told, f"--{flag}={value}"])


def _values(hint: Any) -> st.SearchStrategy[str]:
    """Texts of numbers inside, at and outside of a range, and of what is no number."""
    allowed = range_of(hint)
    low, high = allowed.low, allowed.high
    inside = [low, low + 1, low + 2, 3, 4, 8, 64, min(high, 1000), high]
    if get_args(hint)[0] is float:
        inside += [1e-9, 0.5, 0.999, 1e-3]
    odd = ["-1", "0", "1.5", ".nan", ".inf", "-.inf", "true", "x", "1e400", str(2 * MOST), "[]"]
    return st.sampled_from([f"{one:g}" if isinstance(one, float) else str(one) for one in inside]
                           + odd)  # fmt: skip


@st.composite
def configs(draw: st.DrawFn) -> tuple[type, list[str]]:
    schema = draw(st.sampled_from([s for s in SCHEMAS if numbers(s)]))
    keys = draw(st.lists(st.sampled_from(numbers(schema)), max_size=5, unique_by=lambda k: k[0]))
    return schema, [f"{key}={draw(_values(hint))}" for key, hint in keys]


def _derive(cfg: Any, gpus: int) -> None:
    """What programs compute from a config before they start."""
    if isinstance(cfg, PretrainConfig):
        for step in (0, cfg.schedule.warmup_steps, cfg.schedule.steps - 1):
            rate = learning_rate(step, cfg.optim, cfg.schedule)
            assert 0 <= rate <= cfg.optim.lr * (1 + 1e-12)
        check_world(cfg.parallel, cfg.batch, gpus)
        assert "steps:" in plan.report(cfg, gpus, 384, "h100", speed.GPUS["h100"])
    if isinstance(cfg, GrpoConfig):
        assert cfg.max_length > cfg.max_prompt
        assert cfg.stage(cfg.steps).samples >= 2


@pytest.mark.slow
@settings(
    max_examples=3000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(configs(), st.sampled_from([1, 2, 8, 512]))
def test_any_config_is_refused_with_one_error_or_can_be_computed_with(drawn, gpus):
    schema, overrides = drawn
    with contextlib.suppress(SeedbedError):
        cfg = load(schema, None, [*overrides, *_needed(schema)])
        in_range(cfg)
        _derive(cfg, gpus)


def _needed(schema: type) -> list[str]:
    return ["stages=[{name: a, tokens: 5}]"] if schema.__name__ == "StagesConfig" else []
