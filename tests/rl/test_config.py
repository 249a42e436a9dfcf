"""Rules of the post-training settings, each with its arithmetic."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import GrpoConfig, SftConfig


@pytest.mark.parametrize(
    ("schema", "overrides", "message"),
    [
        (SftConfig, ["demonstrations=900"], "demonstrations=900 must lie between 1 and problems.train=400"),
        (SftConfig, ["batch.total=30"], r"batch.total must divide by batch.micro: 30 % 8"),
        (SftConfig, ["dtype=fp16"], "dtype='fp16' is unknown"),
        (GrpoConfig, ["samples=1"], "a group needs at least 2"),
        (GrpoConfig, ["temperature=0"], r"temperature=0.0 is not in \(0, 2\]"),
        (GrpoConfig, ["clip_low=1.5"], r"\[1 - clip_low, 1 \+ clip_high\] = \[-0.5, 1.28\]"),
        (GrpoConfig, ["max_correct=0.05"], "1 of samples=8 is 0.125"),
        (GrpoConfig, ["steps=0"], "steps=0 must be at least 1"),
        (GrpoConfig, ["sampels=4"], "unknown key sampels"),
    ],
)
def test_a_broken_rule_is_refused_with_its_arithmetic(schema, overrides, message):
    with pytest.raises(SeedbedError, match=message):
        load(schema, None, overrides)


def test_defaults_are_the_papers_where_it_gives_them():
    cfg = GrpoConfig()
    assert (cfg.temperature, cfg.clip_high, cfg.max_correct) == (0.6, 0.28, 0.875)
