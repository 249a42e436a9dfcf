"""The arithmetic of a layout, by hand: 4 layers of 12 with 6 heads and 3 keys, 8 positions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conf.schema.layout import BatchConfig, ModelConfig, ParallelConfig
from megatron_train.parallel.costs import (
    Workload,
    bubble,
    flops_per_token,
    layer_activations,
    memory,
    stage_parameters,
    traffic,
)

MODEL = ModelConfig(
    layers=4, hidden=12, ffn=20, heads=6, kv_heads=3, seq_length=8, tie_embeddings=False
)
TIED = replace(MODEL, tie_embeddings=True)
VOCAB = 100
# 16 GPUs: two replicas of eight, each of which takes four micro-batches of three sequences.
LAYOUT = ParallelConfig(tp=2, pp=2, cp=2)
WORK = Workload(MODEL, LAYOUT, BatchConfig(3, 24), 16, VOCAB)


def laid(**changes: object) -> Workload:
    return replace(WORK, layout=replace(LAYOUT, **changes))


def test_replicas_and_micro_batches_of_a_step():
    assert (WORK.dp, WORK.micro_batches, WORK.width) == (2, 4, 2)
    assert replace(WORK, dtype="fp32").width == 4
    assert (WORK.fp8, WORK.fused) == (False, True)


@pytest.mark.parametrize(
    ("model", "layout", "stage", "count"),
    [
        # A layer: 12 * (2 * 12 + 2 * 6) for attention, 3 * 12 * 20, and two norms of 12.
        (TIED, ParallelConfig(), 0, 4 * (432 + 720 + 24) + VOCAB * 12 + 12),
        (MODEL, ParallelConfig(), 0, 4 * (432 + 720 + 24) + 2 * VOCAB * 12 + 12),
        (MODEL, ParallelConfig(pp=4), 0, 1176 + VOCAB * 12),
        (MODEL, ParallelConfig(pp=4), 1, 1176),
        (MODEL, ParallelConfig(pp=4), 3, 1176 + VOCAB * 12 + 12),
        # The last stage holds a copy of a tied embedding.
        (TIED, ParallelConfig(pp=4), 3, 1176 + VOCAB * 12 + 12),
        # Norms are whole on each of the two, matrices and embeddings are cut.
        (MODEL, LAYOUT, 0, 2 * (576 + 24) + 600),
        (MODEL, LAYOUT, 1, 2 * (576 + 24) + 600 + 12),
    ],
)
def test_weights_of_a_stage(model, layout, stage, count):
    assert stage_parameters(model, layout, VOCAB, stage) == count


@pytest.mark.parametrize(
    ("sequence_parallel", "fused", "kept"),
    [
        # Two norms of 12 * 2 * 2, (24 + 12 + 60) / 2 values, 4 * 6 / 2 and 8 of statistics.
        (False, True, 96 + 96 + 12 + 8),
        (True, True, 48 + 96 + 12 + 4),
        # (12 + 20) / 2 values more.
        (False, False, 96 + (48 + 16) * 2 + 12 + 8),
        (True, False, 48 + (48 + 16) * 2 + 12 + 4),
    ],
)
def test_what_a_layer_keeps_for_a_token(sequence_parallel, fused, kept):
    layout = replace(LAYOUT, sequence_parallel=sequence_parallel)
    assert layer_activations(MODEL, layout, 2, fused) == kept


def test_memory_of_both_stages():
    # Of 3 * 8 / 2 tokens two layers of 212 bytes, and two micro-batches under way.
    first, last = memory(WORK, 0), memory(WORK, 1)
    assert (first.activations, first.logits) == (12 * 2 * 212 * 2, 0)
    # One is under way on the last stage, with a norm of 48 bytes and the logits in 2, 4 and 4.
    assert (last.activations, last.logits) == (12 * 2 * 212 + 12 * 48, 12 * 50 * 10)
    assert (last.weights, last.gradients, last.optimizer) == (1812 * 2, 1812 * 4, 1812 * 12)
    assert last.total == 1812 * 18 + 12 * 2 * 212 + 12 * 48 + 12 * 50 * 10
    whole = memory(replace(WORK, dtype="fp32"), 1)
    assert (whole.weights, whole.optimizer, whole.logits) == (1812 * 4, 1812 * 8, 12 * 50 * 8)
    # Over two replicas and both context-parallel processes of each.
    assert memory(laid(distributed_optimizer=True), 1).optimizer == 1812 * 12 / 4


@pytest.mark.parametrize(
    ("changes", "fused", "kept"),
    [
        # Statistics of the attention go: 4 * 6 / 2. Unfused the value shares a storage of
        # (12 + 2 * 6) / 2 * 2 bytes, for its own copy and one of the output: (12 + 6) / 2 * 2.
        ({"recompute": "selective"}, True, 12 * 2 * (212 - 12) * 2),
        ({"recompute": "selective"}, False, 12 * 2 * (244 - 12 + 24 - 18) * 2),
        # The entries of 12 * 2, and one whole layer.
        ({"recompute": "full"}, True, 12 * 2 * 24 * 2 + 12 * 212),
        ({"recompute": "full", "sequence_parallel": True}, True, 12 * 2 * 12 * 2 + 12 * 160),
        # 2 * (1 + 1 / (2 * 2)) micro-batches are under way.
        ({"vpp": 2}, True, 12 * 2 * 212 * 2.5),
    ],
)
def test_what_recomputation_and_interleaving_keep(changes, fused, kept):
    assert memory(replace(laid(**changes), fused=fused), 0).activations == kept


@pytest.mark.parametrize(("total", "vpp", "under_way"), [(6, 1, 1), (6, 2, 1), (12, 2, 2)])
def test_no_more_micro_batches_are_under_way_than_there_are(total, vpp, under_way):
    work = replace(laid(vpp=vpp), batch=BatchConfig(3, total))
    assert memory(work, 0).activations == 12 * 2 * 212 * under_way


def test_operations_of_a_token():
    # 6 a weight, without the lookup in an embedding of its own; 6 * 4 * 12 * 8 for attention.
    assert flops_per_token(MODEL, VOCAB) == (6 * (MODEL.parameters(VOCAB) - 1200), 2304)
    assert flops_per_token(TIED, VOCAB) == (6 * TIED.parameters(VOCAB), 2304)


@pytest.mark.parametrize(
    ("changes", "tensor", "pipeline", "context", "data"),
    [
        # 288 bytes of hidden values, as many of keys and values; four micro-batches, two layers.
        ({}, 4 * 2 * 4 * 288, 4 * 2 * 288, 4 * 2 * 2 * 144, 1800 * 8 * 0.75),
        ({"sequence_parallel": True}, 4 * 2 * 5 * 288, 4 * 2 * 144, 2304, 10800),
        ({"recompute": "full"}, 4 * 2 * 6 * 288, 2304, 4 * 2 * 3 * 144, 10800),
        ({"vpp": 2}, 9216, 2 * 2304, 2304, 10800),
        ({"distributed_optimizer": True}, 9216, 2304, 2304, 1800 * 6 * 0.75),
    ],
)
def test_bytes_that_are_sent(changes, tensor, pipeline, context, data):
    sent = traffic(laid(**changes))
    assert (sent.tensor, sent.pipeline, sent.context, sent.data) == (
        tensor,
        pipeline,
        context,
        data,
    )


def test_one_stage_sends_nothing_to_another_and_is_never_idle():
    alone = Workload(MODEL, ParallelConfig(), BatchConfig(3, 24), 1, VOCAB)
    sent = traffic(alone)
    assert (sent.tensor, sent.pipeline, sent.context, sent.data) == (0, 0, 0, 0)
    assert bubble(alone.layout, 8) == 0
    # Two steps of three stages are idle, of twice five chunks and those two.
    assert bubble(ParallelConfig(pp=3, vpp=2), 5) == 2 / 12
