"""That the settings of the config reach megatron-core's optimizer."""

from __future__ import annotations

import pytest

from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import OptimConfig
from megatron_train.training import optimizer


class Stop(Exception):
    """The optimizer was asked for."""


@pytest.mark.parametrize(("dtype", "distributed"), [("bf16", True), ("fp32", False)])
def test_every_setting_reaches_the_optimizer(monkeypatch, dtype, distributed):
    asked = []

    def record(config, chunks, overrides):
        asked.append(config)
        raise Stop

    monkeypatch.setattr(optimizer, "get_megatron_optimizer", record)
    settings = OptimConfig(weight_decay=0.037, beta1=0.83, beta2=0.917, eps=3e-7, clip_grad=0.61)
    layout = ParallelConfig(distributed_optimizer=distributed, overlap=True)
    with pytest.raises(Stop):
        optimizer.build_optimizer([], settings, layout, dtype)
    (config,) = asked
    assert config.optimizer == "adam"
    assert config.weight_decay == settings.weight_decay
    assert (config.adam_beta1, config.adam_beta2, config.adam_eps) == (0.83, 0.917, 3e-7)
    assert config.clip_grad == settings.clip_grad
    assert config.bf16 == (dtype == "bf16")
    assert config.use_distributed_optimizer == distributed
    assert config.overlap_param_gather == distributed


def test_the_rates_of_a_step_spare_the_norms_from_decay():
    class Groups:
        param_groups = (
            {"wd_mult": 1.0, "max_lr": 1.0},
            {"wd_mult": 0.0, "max_lr": 1.0},
            {"wd_mult": 1.0, "max_lr": 0.25},
        )

    optimizer.set_rates(Groups, 0.02, 0.3)
    assert [(g["lr"], g["weight_decay"]) for g in Groups.param_groups] == [
        (0.02, 0.3),
        (0.02, 0.0),
        # What a step takes of a weight does not depend on muP's factor.
        (0.005, 1.2),
    ]
