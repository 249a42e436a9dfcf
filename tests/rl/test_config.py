"""Rules of the post-training settings, each with its arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig

MEND = ["environment.name=mend", "environment.max_turns=2"]


@pytest.mark.parametrize(
    ("schema", "overrides", "message"),
    [
        (
            SftConfig,
            ["demonstrations=900"],
            "demonstrations=900 must lie between 1 and problems.train=400",
        ),
        (SftConfig, ["batch.total=30"], r"batch.total must divide by batch.micro: 30 % 8"),
        (SftConfig, ["dtype=fp16"], "dtype='fp16' is unknown"),
        (SftConfig, ["pack_length=100"], "pack_length=100 is below max_length=128"),
        (SftConfig, ["favour_harder=-1"], r"favour_harder=-1.0 is not in \[0, 100\]"),
        (SftConfig, ["train_problems=a.jsonl"], "train_problems='a.jsonl' but heldout_problems=''"),
        (GrpoConfig, ["samples=1"], "samples=1 must be at least 2"),
        (GrpoConfig, ["temperature=0"], r"temperature=0.0 is not in \(0, 2\]"),
        (GrpoConfig, ["clip_low=1.5"], r"\[1 - clip_low, 1 \+ clip_high\] = \[-0.5, 1.28\]"),
        (GrpoConfig, ["max_correct=0.05"], "1 of samples=8 is 0.125"),
        (GrpoConfig, ["steps=0"], "steps=0 must be at least 1"),
        (GrpoConfig, ["sampels=4"], "unknown key sampels"),
        (GrpoConfig, ["rollout_lag=2"], "rollout_lag=2: rollouts are on policy"),
        (GrpoConfig, ["max_importance=0.5"], "max_importance=0.5 must be at least 1"),
        (
            GrpoConfig,
            [
                "steps=5",
                "earlier_stages=[{steps: 2, samples: 4, max_response: 8}, "
                "{steps: 3, samples: 4, max_response: 8}]",
            ],
            r"earlier_stages take 2 \+ 3 = 5 of steps=5",
        ),
        (
            GrpoConfig,
            ["earlier_stages=[{steps: 2, samples: 1, max_response: 8}]"],
            r"earlier_stages\[0\].samples=1 must be at least 2",
        ),
        (GrpoConfig, ["environment.name=mended"], "environment.name='mended' is unknown"),
        (GrpoConfig, ["environment.max_turns=2"], "with environment.name=single, which asks once"),
        (
            GrpoConfig,
            [*MEND, "environment.max_context=128"],
            r"no room for a second answer: .* max_prompt \+ max_response = 128 tokens",
        ),
        (
            GrpoConfig,
            ["environment.max_context=500"],
            "environment.max_context=500 with environment.max_turns=1",
        ),
        (
            GrpoConfig,
            [*MEND, "environment.max_context=300", "environment.visible_tests=0"],
            "environment.visible_tests=0: mend runs at least one",
        ),
        (DpoConfig, ["samples=1"], "samples=1 must be at least 2"),
        (DpoConfig, ["parallel.cp=2"], "parallel.cp=2: a preference compares whole sequences"),
        (DpoConfig, ["beta=0"], "beta=0.0 must be above 0"),
        (DpoConfig, ["batch.total=30"], r"30 % 8"),
    ],
)
def test_a_broken_rule_is_refused_with_its_arithmetic(schema, overrides, message):
    with pytest.raises(SeedbedError, match=message):
        load(schema, None, overrides)


def test_defaults_are_the_papers_where_it_gives_them():
    cfg = GrpoConfig()
    assert (cfg.temperature, cfg.clip_high, cfg.max_correct) == (0.6, 0.28, 0.875)


def test_the_papers_plan_is_ninety_steps_at_16k_and_then_the_rest_at_32k():
    cfg = load(GrpoConfig, Path(__file__).parents[2] / "conf/rl/seed_coder_grpo.yaml")
    lengths = [(s.steps, s.samples, cfg.max_prompt + s.max_response) for s in cfg.plan]
    assert lengths == [(90, 16, 16384), (160, 32, 32768)]
    assert [cfg.stage(step).samples for step in (0, 89, 90, 249, 250)] == [16, 16, 32, 32, 32]
    assert cfg.max_length == 32768


def test_an_episode_of_several_turns_is_as_long_as_its_context():
    cfg = load(GrpoConfig, None, [*MEND, "environment.max_context=700", "max_prompt=200"])
    assert (cfg.first_turn, cfg.max_length) == (232, 700)
    own = ["environment.name=my.own", "environment.visible_tests=0", "environment.max_turns=4"]
    assert load(GrpoConfig, None, [*own, "environment.max_context=900"]).environment.is_own
