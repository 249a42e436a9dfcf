"""What is not there for models with experts is refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.schema.experts import ExpertsConfig
from conf.schema.fp8 import Fp8Config
from conf.schema.layout import ModelConfig
from conf.schema.lora import LoraConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.training.step import build_from
from rl import grpo

MIXTRAL = ModelConfig(family="mixtral", experts=ExpertsConfig(number=4))


def test_grpo_takes_no_experts():
    with pytest.raises(SeedbedError, match="BASE is a mixtral model: GRPO cannot tell"):
        grpo._refuse_experts(MIXTRAL, Path("BASE"))
    grpo._refuse_experts(ModelConfig(), Path("BASE"))


def test_experts_get_no_adapters_and_no_fp8():
    with pytest.raises(SeedbedError, match="has experts: adapters cannot be had with them"):
        build_from(PretrainConfig(model=MIXTRAL), 384, LoraConfig(rank=2))
    fp8 = Fp8Config(format="hybrid", recipe="tensorwise", emulate=True)
    with pytest.raises(SeedbedError, match="has experts: fp8 cannot be had with them"):
        build_from(PretrainConfig(model=MIXTRAL, fp8=fp8, dtype="bf16"), 384)
