"""Every number of every config has a range, and no config outside of it reaches a program."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import pkgutil
from typing import Annotated, get_args, get_origin

import pytest

import conf.schema
from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import PretrainConfig
from conf.schema.ranges import MOST, Range, check_number, in_range, number_fields, range_of
from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig
from tests.fuzz.configs import SCHEMAS


def schemas() -> list[type]:
    """Every dataclass under conf/schema, the sections included."""
    found = set()
    for module in pkgutil.walk_packages(conf.schema.__path__, "conf.schema."):
        loaded = importlib.import_module(module.name)
        members = inspect.getmembers(loaded, dataclasses.is_dataclass)
        found |= {one for _, one in members if one.__module__ == module.name and one is not Range}
    return sorted(found, key=lambda one: one.__qualname__)


@pytest.mark.parametrize("schema", schemas(), ids=lambda one: one.__qualname__)
def test_every_number_has_a_range_beside_it(schema):
    """A new field takes a type of conf/schema/ranges.py, such as Count or Share."""
    for name, hint in number_fields(schema):
        inner = hint
        while get_origin(inner) in (list, dict):
            inner = get_args(inner)[-1]
        assert range_of(inner) is not None, f"{schema.__qualname__}.{name} has no range"


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda one: one.__name__)
def test_the_defaults_are_within_their_ranges(schema):
    in_range(schema())


@pytest.mark.parametrize(
    ("value", "hint", "problem"),
    [
        (0, Annotated[int, Range(1)], "x=0 must be at least 1"),
        (True, Annotated[int, Range(1)], "x=True is no whole number"),
        (1.5, Annotated[int, Range(1)], "x=1.5 is no whole number"),
        (None, Annotated[float, Range(0)], "x=None is no number"),
        (math.inf, Annotated[float, Range(0)], "x=inf is not a finite number"),
        (math.nan, Annotated[float, Range(0, 1)], "x=nan is not a finite number"),
        (0.0, Annotated[float, Range(0, open=True)], "x=0.0 must be above 0"),
        (1.25, Annotated[float, Range(0, 1)], "x=1.25 is not a share between 0 and 1"),
        (0, Annotated[float, Range(0, 1, open=True)], "x=0 is not in (0, 1]"),
        (11, Annotated[int, Range(0, 10)], "x=11 is not in [0, 10]"),
        (10**400, Annotated[int, Range(1)], f"must be at most {MOST}"),
    ],
)
def test_a_number_outside_is_refused_with_its_value_and_the_rule(value, hint, problem):
    with pytest.raises(SeedbedError) as refused:
        check_number("x", hint, value)
    assert problem in refused.value.problem
    assert "set x to" in refused.value.fix


def test_the_limits_themselves_are_allowed():
    check_number("x", Annotated[int, Range(1, 7)], 7)
    check_number("x", Annotated[float, Range(0, 1, open=True)], 1)
    check_number("x", Annotated[float, Range(0, 1)], 0)


# What was seen: a ZeroDivisionError, or a run with such a number.
@pytest.mark.parametrize(
    ("schema", "override"),
    [
        (PretrainConfig, "model.heads=0"),
        (PretrainConfig, "model.layers=-32"),
        (PretrainConfig, "schedule.steps=-5"),
        (PretrainConfig, "optim.lr=.inf"),
        (PretrainConfig, "optim.eps=0"),
        (PretrainConfig, "optim.beta2=1"),
        (PretrainConfig, "data.blend=[{name: a, tokens: t, weight: .inf}]"),
        (PretrainConfig, "data.blend=[{name: a, tokens: t, weight: -1}]"),
        (PretrainConfig, "parallel.tp=-2"),
        (PretrainConfig, "seed=-1"),
        (CurateConfig, "select.min_quality_of={Python: .nan}"),
        (GrpoConfig, "earlier_stages=[{steps: 3, samples: 1, max_response: 9}]"),
        (SftConfig, "lora.alpha=-.inf"),
        (DpoConfig, "batch.micro=0"),
    ],
)
def test_what_computed_with_nonsense_is_refused_by_name(schema, override):
    key = override.partition("=")[0]
    with pytest.raises(SeedbedError) as refused:
        load(schema, None, [override])
    assert key in refused.value.problem


def test_a_whole_number_may_be_written_with_an_exponent(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: {rope_base: 1e6}\nbatch: {total: 1.6e1}\nseed: 3.0\n")
    cfg = load(PretrainConfig, path, ["schedule.steps=1e3"])
    assert (cfg.model.rope_base, cfg.batch.total, cfg.seed) == (1_000_000, 16, 3)
    assert type(cfg.batch.total) is int
    for wrong in ("batch.total=1.5", "batch.total=1e-3", "batch.total=.inf"):
        with pytest.raises(SeedbedError, match=r"Integer|whole"):
            load(PretrainConfig, None, [wrong])


def test_sections_that_are_built_in_code_are_checked_as_well():
    with pytest.raises(SeedbedError, match=r"model\.heads=0 must be at least 1"):
        ModelConfig(heads=0).check()
