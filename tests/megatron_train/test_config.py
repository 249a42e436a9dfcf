"""Rules that fail before anything is built, each with its arithmetic."""

from __future__ import annotations

import dataclasses

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.layout import BatchConfig, ParallelConfig
from conf.schema.pretrain import PretrainConfig, check_world

MIXTRAL = ("model.family=mixtral", "model.experts.number=4")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.hidden=100"], "100 % 6 = 4"),
        (["model.hidden=90", "model.heads=6"], "hidden / heads = 15"),
        (["model.kv_heads=4"], "6 % 4 = 2"),
        (["model.family=gemma"], "model.family='gemma' is unknown"),
        (["model.head_dim=15"], "model.head_dim = 15"),
        (["model.head_dim=-2"], "model.head_dim=-2"),
        (["model.layer_pattern=fx"], "made of the letters f, w and n"),
        (["model.layer_pattern="], "made of the letters f, w and n"),
        (["model.layer_pattern=ffn"], "4 % 3 = 1"),
        (["model.layer_pattern=w"], "model.window=0 and model.layer_pattern=w do not fit"),
        (["model.window=7"], "model.window=7 and model.layer_pattern=f do not fit"),
        (["model.rope.scaling=yarn", "model.rope.factor=4"], "model.rope.original_length=0"),
        (["model.layers=5", "parallel.pp=2"], "model.layers must divide by parallel.pp: 5 % 2 = 1"),
        (["parallel.tp=4"], "model.heads must divide by parallel.tp: 6 % 4 = 2"),
        (["parallel.tp=3"], "model.kv_heads must divide by parallel.tp: 2 % 3 = 2"),
        (
            ["parallel.tp=4", "model.heads=8", "model.kv_heads=2", "model.family=olmo2"],
            "each process needs its own: model.kv_heads=2 < parallel.tp=4",
        ),
        (
            ["parallel.pp=3", "parallel.first_layers=1"],
            "model.layers - parallel.first_layers must divide by the other stages: 3 % 2 = 1",
        ),
        (["parallel.first_layers=1"], "are of a pipeline without interleaving: parallel.pp=1"),
        (
            ["parallel.pp=2", "parallel.vpp=2", "parallel.first_layers=1"],
            "without interleaving: parallel.pp=2, parallel.vpp=2",
        ),
        (
            ["parallel.pp=2", "parallel.first_layers=1", "parallel.last_layers=2"],
            "leave 1 of model.layers=4 to 0 other stages",
        ),
        (
            ["parallel.pp=3", "parallel.first_layers=2", "parallel.last_layers=2"],
            "leave 0 of model.layers=4 to 1 other stages",
        ),
        (["parallel.sequence_parallel=true"], "parallel.tp=1"),
        (["parallel.cp=3"], "model.seq_length must divide by 2 * parallel.cp: 256 % 6 = 4"),
        (
            [
                "parallel.cp=2",
                "parallel.tp=2",
                "parallel.sequence_parallel=true",
                "model.seq_length=252",
            ],
            "model.seq_length must divide by 2 * parallel.cp * parallel.tp: 252 % 8 = 4",
        ),
        (["parallel.vpp=2"], "parallel.pp=1 has none"),
        (
            ["parallel.vpp=4", "parallel.pp=2"],
            "model.layers must divide by parallel.pp * parallel.vpp: 4 % 8 = 4",
        ),
        (["parallel.recompute=some"], "'some'"),
        (["parallel.ep=2"], "model.family=llama has none"),
        (["model.experts.number=4"], "model.experts.number=4 does not fit model.family=llama"),
        (["model.family=mixtral"], "model.experts.number=0 does not fit model.family=mixtral"),
        ([*MIXTRAL, "model.experts.top_k=5"], "top_k=5 is above model.experts.number=4"),
        ([*MIXTRAL, "model.experts.top_k=1"], "the router learns nothing"),
        ([*MIXTRAL, "model.experts.normalize=false"], "not what a Mixtral computes"),
        ([*MIXTRAL, "parallel.ep=3"], "must divide by parallel.ep: 4 % 3 = 1"),
        ([*MIXTRAL, "parallel.tp=2"], "without parallel.sequence_parallel"),
        (["data.blend=[{name: a, tokens: x}, {name: a, tokens: y}]"], "['a', 'a']"),
        (["data.blend=[{name: a, tokens: x, weight: 0}]"], "blend[0].weight=0.0 must be above 0"),
        (["parallel.pp=0"], "pp=0"),
        (["batch.total=18"], "18 % 4"),
        (["optim.min_lr=1"], "optim.min_lr=1.0"),
        (["schedule.steps=50"], "20 + 60 = 80 > 50"),
        (["schedule.shape=cosine"], "'cosine'"),
        (["dtype=fp16"], "'fp16'"),
        (["fp8.format=bogus"], "'bogus'"),
        (["fp8.format=hybrid"], "dtype=fp32"),
        (["keep=0"], "keep=0"),
        (["model.hiden=64"], "unknown key model.hiden"),
    ],
)
def test_a_config_that_cannot_work_is_refused_with_its_arithmetic(overrides, words):
    with pytest.raises(SeedbedError) as raised:
        load(PretrainConfig, None, overrides)
    assert words in raised.value.problem


def test_experts_are_spread_over_the_processes_of_a_stage():
    # tp and ep share processes: an expert is on one of the two of a stage.
    layout = ParallelConfig(tp=2, pp=2, ep=2, sequence_parallel=True)
    assert check_world(layout, None, 4) == 1
    with pytest.raises(SeedbedError, match=r"4 / 2 = 2, 2 % 4 = 2"):
        check_world(dataclasses.replace(layout, ep=4), None, 4)


def test_the_number_of_processes_must_divide_by_the_layout():
    with pytest.raises(SeedbedError, match=r"tp \* pp \* cp = 2 \* 2 \* 1 = 4: 6 % 4 = 2"):
        check_world(ParallelConfig(tp=2, pp=2), None, 6)
    with pytest.raises(SeedbedError, match=r"16 % \(4 \* 3\) = 4, where dp = 3"):
        check_world(ParallelConfig(), BatchConfig(micro=4, total=16), 3)
    assert check_world(ParallelConfig(tp=2, pp=2), BatchConfig(), 8) == 2


def test_an_interleaved_pipeline_needs_micro_batches_in_groups_of_its_stages():
    layout = ParallelConfig(pp=4, vpp=2)
    with pytest.raises(
        SeedbedError, match=r"batch.total / \(batch.micro \* dp\) = 12 / \(2 \* 1\) = 6, 6 % 4 = 2"
    ):
        check_world(layout, BatchConfig(micro=2, total=12), 4)
    assert check_world(layout, BatchConfig(micro=2, total=16), 4) == 1
