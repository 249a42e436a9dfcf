"""FP8 behind one object: nothing to do in bf16, and what a checkpoint must keep for a recipe."""

from __future__ import annotations

import re

import pytest

from conf.errors import SeedbedError
from conf.schema.fp8 import Fp8Config
from megatron_train.fp8.policy import EmulatedFp8, NoFp8, policy_of
from tests.megatron_train import tiny


def emulated(recipe: str, history: int = 4) -> EmulatedFp8:
    cfg = Fp8Config(format="hybrid", recipe=recipe, emulate=True, history=history)
    found = policy_of(cfg)
    assert isinstance(found, EmulatedFp8)
    return found


def test_the_trainer_imports_the_policy_and_no_other_part_of_fp8():
    """The loop of pretrain alone also asks the guard."""
    root = tiny.ROOT / "megatron_train"
    for path in sorted(root.rglob("*.py")):
        if path.is_relative_to(root / "fp8"):
            continue
        found = set(re.findall(r"megatron_train\.fp8(?:\.| import )(\w+)", path.read_text()))
        allowed = {"policy", "guard"} if path.name == "pretrain.py" else {"policy"}
        assert found <= allowed, f"{path}: {found}"


def test_without_fp8_nothing_is_asked_of_megatron_core_and_nothing_is_kept():
    policy = policy_of(Fp8Config())
    assert type(policy) is NoFp8
    assert policy.megatron_fields() == policy.save() == {}
    assert policy.expect("4 steps, emulated", "step_7") == {}
    policy.begin_step()
    policy.end_step()


def test_only_a_delayed_recipe_keeps_scales_and_its_words_say_of_what():
    assert emulated("delayed").kept == "4 steps, emulated"
    assert emulated("tensorwise").kept == emulated("mxfp8").kept == ""
    assert emulated("tensorwise").save() == {}


def test_an_emulation_asks_megatron_core_for_its_own_layers_and_for_no_fp8():
    policy = emulated("delayed")
    assert policy.megatron_fields() == {}
    assert not policy.transformer_engine


def test_scales_of_another_history_are_refused_and_a_checkpoint_without_any_is_taken():
    with pytest.raises(SeedbedError, match="keeps the FP8 scales of 8 steps, emulated; this run"):
        emulated("delayed").expect("8 steps, emulated", "step_7")
    assert emulated("delayed").expect("", "step_7") == {}


def test_pickled_state_of_transformer_engine_is_known_by_its_name():
    policy = policy_of(Fp8Config())
    assert policy.is_pickled("decoder.layers.0.mlp.linear_fc1._extra_state")
    assert not policy.is_pickled("decoder.layers.0.mlp.linear_fc1.weight")
