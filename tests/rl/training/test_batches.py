"""Micro-batches: what is a label, what counts, and who gets which sequence."""

from __future__ import annotations

import pytest
import torch

from conf.schema.pretrain import ParallelConfig
from rl.training.batches import (
    Example,
    ProcessShare,
    micro_batches,
    packed_batches,
    sample_indices,
    step_batches,
    weighted_indices,
)

ONE = Example([10, 11, 12], [20, 21], {"advantage": 0.5}, {"old_logprobs": [-1.0, -2.0]})
TWO = Example([10], [20, 21, 22, 23, 24], {"advantage": -1.0}, {"old_logprobs": [-3.0] * 5})


def alone(pad_id: int = 0, multiple: int = 1) -> ProcessShare:
    """The share of the only process."""
    return ProcessShare(0, 1, pad_id, multiple)


def test_labels_follow_tokens_and_only_the_response_counts():
    [batch] = micro_batches([ONE, TWO], 2, alone())
    assert batch["tokens"].tolist() == [[10, 11, 12, 20, 21], [10, 20, 21, 22, 23]]
    assert batch["labels"].tolist() == [[11, 12, 20, 21, 0], [20, 21, 22, 23, 24]]
    assert batch["loss_mask"].tolist() == [[0, 0, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert batch["old_logprobs"].tolist() == [[0, 0, -1, -2, 0], [-3] * 5]
    assert batch["advantage"].tolist() == [0.5, -1.0]


def test_processes_share_the_examples_and_have_equally_many_batches():
    examples = [Example([1], [i], {}, {}) for i in range(5)]
    shares = [
        micro_batches(examples, 2, ProcessShare(rank, 2, pad_id=9, multiple=1)) for rank in range(2)
    ]
    assert [len(share) for share in shares] == [2, 2]
    counted = [
        label
        for share in shares
        for batch in share
        for label, mask in zip(
            batch["labels"].flatten().tolist(), batch["loss_mask"].flatten().tolist(), strict=True
        )
        if mask
    ]
    assert sorted(counted) == [0, 1, 2, 3, 4]


def test_filling_rows_carry_nothing():
    [batch] = micro_batches([ONE], 3, alone(pad_id=7, multiple=4))
    assert batch["tokens"].shape == (3, 4)
    assert batch["tokens"][1:].unique().tolist() == [7]
    assert all(
        batch[name][1:].abs().sum() == 0 for name in ("loss_mask", "advantage", "old_logprobs")
    )


def test_lengths_are_rounded_up_for_sequence_parallelism():
    [batch] = micro_batches([ONE, TWO], 2, alone(multiple=4))
    assert batch["tokens"].shape == (2, 8)
    assert batch["tokens"].dtype == torch.int64


# Positions 7, 3, 4, 9, 3, 6 and 5.
UNEVEN = [
    Example([1] * prompt, [10 * i + n for n in range(answer)], {"advantage": i - 2.5}, {})
    for i, (prompt, answer) in enumerate([(3, 5), (2, 2), (1, 4), (4, 6), (3, 1), (2, 5), (5, 1)])
]


def test_rows_of_like_length_stand_together_without_filling_rows():
    share = alone(pad_id=9, multiple=2)
    batches = step_batches(UNEVEN, 3, share, ParallelConfig())
    assert [tuple(batch["tokens"].shape) for batch in batches] == [(3, 10), (3, 6), (1, 4)]
    advantages = [batch["advantage"].tolist() for batch in batches]
    assert advantages == [[0.5, -2.5, 2.5], [3.5, -0.5, -1.5], [1.5]]
    counted = [batch["labels"][batch["loss_mask"] > 0].tolist() for batch in batches]
    assert counted[1] == [60, 20, 21, 22, 23, 10, 11]


def test_processes_get_equally_many_of_them_and_every_example_once():
    layout = ParallelConfig()
    shares = [step_batches(UNEVEN, 2, ProcessShare(r, 2, 9, 1), layout) for r in range(2)]
    shapes = [[tuple(batch["tokens"].shape) for batch in share] for share in shares]
    # The fourth longest of the first round, and one filling row in the second process.
    assert shapes == [[(2, 9), (2, 4)]] * 2
    seen = [
        label
        for share in shares
        for batch in share
        for label in batch["labels"][batch["loss_mask"] > 0].tolist()
    ]
    assert sorted(seen) == sorted(token for example in UNEVEN for token in example.response)


def test_pipeline_stages_get_micro_batches_of_one_shape_in_the_order_given():
    ours = step_batches(UNEVEN, 3, alone(), ParallelConfig(pp=2))
    theirs = micro_batches(UNEVEN, 3, alone())
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one["tokens"].tolist() == other["tokens"].tolist()


@pytest.mark.parametrize("count", [1, 3, 7, 10, 23])
def test_the_order_of_samples_does_not_depend_on_where_a_run_was_stopped(count):
    whole = sample_indices(10, 0, 40, seed=1)
    parts = [
        index
        for start in range(0, 40, count)
        for index in sample_indices(10, start, min(count, 40 - start), seed=1)
    ]
    assert parts == whole


def test_every_pass_sees_every_sample_once_in_its_own_order():
    first, second = sample_indices(10, 0, 10, seed=1), sample_indices(10, 10, 10, seed=1)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


EXAMPLES = [Example([5 + i] * (1 + i % 3), [40 + i] * (2 + i % 4), {}, {}) for i in range(11)]


@pytest.mark.parametrize(("size", "dp"), [(1, 1), (2, 1), (2, 3)])
def test_packing_keeps_every_example_once_and_gives_processes_equally_many_batches(size, dp):
    shares = [
        packed_batches(EXAMPLES, size, ProcessShare(rank, dp, pad_id=0, multiple=2), length=12)
        for rank in range(dp)
    ]
    assert len({len(share) for share in shares}) == 1
    # A pipeline takes micro-batches of one shape only.
    [shape] = {batch["tokens"].shape for share in shares for batch in share}
    assert shape[0] == size
    assert shape[1] <= 12
    assert shape[1] % 2 == 0
    seen = []
    for batch in (batch for share in shares for batch in share):
        assert batch["labels"].shape == batch["document_ids"].shape == shape
        seen += batch["labels"][batch["loss_mask"] > 0].tolist()
    assert sorted(seen) == sorted(token for example in EXAMPLES for token in example.response)


def test_rows_are_as_short_as_their_number_allows():
    """Eight examples of four positions: a row of 15 takes three, so there are three rows.

    The rows have 12 positions, because no more are needed.
    """
    examples = [Example([1, 2], [3, 4, 5], {}, {})] * 8
    [batch] = packed_batches(examples, 3, alone(), length=15)
    assert batch["tokens"].shape == (3, 12)
    # Four rows are needed anyway to fill the micro-batch.
    [batch] = packed_batches(examples, 4, alone(), length=15)
    assert batch["tokens"].shape == (4, 8)


def test_packed_log_probabilities_are_those_of_each_example_alone(tiny_model):
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_model, attn_implementation="eager")

    def logprobs(batch: dict, mask: torch.Tensor | None) -> list[float]:
        with torch.no_grad():
            logits = model(batch["tokens"], attention_mask=mask).logits
        found = torch.log_softmax(logits, -1).gather(-1, batch["labels"][..., None])[..., 0]
        kept = batch["loss_mask"] > 0
        return sorted(zip(batch["labels"][kept].tolist(), found[kept].tolist(), strict=True))

    packed = []
    for batch in packed_batches(EXAMPLES, 2, alone(), length=12):
        ids = batch["document_ids"]
        other = ids[:, None, :, None] != ids[:, None, None, :]
        blocked = (other | torch.ones(other.shape[2:]).triu(1).bool()).float() * torch.finfo(
            torch.float32
        ).min
        packed += logprobs(batch, blocked)
    [apart] = micro_batches(EXAMPLES, len(EXAMPLES), alone())
    expected = logprobs(apart, None)
    packed.sort()
    assert [label for label, _ in packed] == [label for label, _ in expected]
    assert [value for _, value in packed] == pytest.approx(
        [value for _, value in expected], abs=2e-5
    )


def test_harder_demonstrations_come_in_proportion_and_draws_depend_on_their_number_alone():
    drawn = weighted_indices([1.0, 3.0, 0.0], 0, 4000, seed=1)
    assert drawn.count(2) == 0
    assert drawn.count(1) / 4000 == pytest.approx(0.75, abs=0.03)
    assert drawn[100:140] == weighted_indices([1.0, 3.0, 0.0], 100, 40, seed=1)
    assert drawn != weighted_indices([1.0, 3.0, 0.0], 0, 4000, seed=2)
