"""Samples of a group -> micro-batches in which the group's prompt stands once.

The prompt of a group is the same for all its samples, and under a causal mask so are its hidden
states. So a micro-batch is one row: a prompt, then the responses to it, then the next prompt
(megatron_train/model/shared_prefix.py). Losses and gradients are those of a row per sample, up to
rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from megatron_train.training.losses import Batch
from megatron_train.training.state import TrainState
from rl.training.batches import Example, ProcessShare

# Samples of one prompt.
Group = list[Example]


def why_apart(state: TrainState) -> str | None:
    """Why prompts are computed once per sample in this layout; None where once per group."""
    if state.layout.pp > 1:
        return f"parallel.pp={state.layout.pp} sends micro-batches of one shape"
    if state.layout.cp > 1:
        return f"parallel.cp={state.layout.cp} cuts every sequence"
    if state.fp8.transformer_engine:
        return "Transformer Engine's attention has no shared prefixes"
    return None


def told(state: TrainState) -> str:
    """What a run says of it at its start."""
    why = why_apart(state)
    if why is None:
        return "the prompt of a group is computed once"
    return f"the prompt of a group is computed once per sample: {why}"


def groups_of(examples: Sequence[Example], size: int) -> list[Group]:
    """The examples by prompt, in order of their first; at most `size` are together."""
    found: dict[tuple[int, ...], Group] = {}
    for example in examples:
        found.setdefault(tuple(example.prompt), []).append(example)
    return [group[i : i + size] for group in found.values() for i in range(0, len(group), size)]


def positions_of(group: Group) -> int:
    """Positions that a group takes in a row."""
    return len(group[0].prompt) - 1 + sum(len(example.response) for example in group)


def saved_share(examples: Sequence[Example], size: int, share: ProcessShare) -> float:
    """The share of all positions that shared_batches saves; 0 where no two have one prompt."""
    apart = sum(len(example.prompt) + len(example.response) - 1 for example in examples)
    laid = sum(map(positions_of, groups_of(examples, _together(examples, size, share))))
    return 1 - laid / apart


def shared_batches(examples: Sequence[Example], size: int, share: ProcessShare) -> list[Batch]:
    """This process's share of `examples`, in micro-batches of at most `size` sequences.

    A micro-batch of n sequences whose longest response has r tokens is a row of s positions:
        tokens, labels: int64 [1, s].
        prefix_lengths: int64 [groups, 1 + most responses], as shared_prefix.attend takes them.
        response_positions: int64 [n, r], where in the row each token of a response is the label.
        loss_mask: float [n, r], 1 where the model wrote the token.
        the per_sequence values: float [n].
        the per_token values: float [n, r], and 0 behind the response's end.

    The last token of a prompt stands before each response, since its label is the response's first
    token. s is a multiple of share.multiple. Every process has the same number of micro-batches;
    one without a group has a sequence that counts nowhere.
    """
    size = _together(examples, size, share)
    groups = sorted(groups_of(examples, size), key=positions_of, reverse=True)
    dealt = [_rows(groups[rank :: share.dp_size], size) for rank in range(share.dp_size)]
    mine, most = dealt[share.dp_rank], max(map(len, dealt))
    batches = [_batch(row, share) for row in mine]
    while len(batches) < most:
        batch = _batch([[examples[0]]], share)
        batches.append(batch | {"loss_mask": torch.zeros_like(batch["loss_mask"])})
    return batches


def _together(examples: Sequence[Example], size: int, share: ProcessShare) -> int:
    """How many samples may stand behind one prompt, so that each process has work."""
    return min(size, -(-len(examples) // share.dp_size))


def _rows(groups: Sequence[Group], size: int) -> list[list[Group]]:
    """The groups in order, as many to a row as have at most `size` sequences together."""
    rows: list[list[Group]] = []
    left = 0
    for group in groups:
        if len(group) > left:
            rows.append([])
            left = size
        rows[-1].append(group)
        left -= len(group)
    return rows


def _batch(groups: Sequence[Group], share: ProcessShare) -> Batch:
    examples = [example for group in groups for example in group]
    most = max(len(group) for group in groups)
    longest = max(len(example.response) for example in examples)
    lengths, tokens, labels, where = [], [], [], []
    for group in groups:
        prompt = list(group[0].prompt)
        responses = [list(example.response) for example in group]
        lengths.append([len(prompt) - 1, *map(len, responses)] + [0] * (most - len(group)))
        tokens += prompt[:-1]
        # A label that nothing counts.
        labels += prompt[1:]
        for response in responses:
            where.append([len(tokens) + i for i in range(len(response))])
            tokens += [prompt[-1], *response][: len(response)]
            labels += response
    filling = [share.pad_id] * (share.padded(len(tokens)) - len(tokens))

    def spread(values: Sequence[Sequence[float]], dtype: torch.dtype) -> torch.Tensor:
        rows = [[*one, *[0] * (longest - len(one))] for one in values]
        return torch.tensor(rows, dtype=dtype).view(len(examples), longest)

    batch = {
        "tokens": torch.tensor([tokens + filling]),
        "labels": torch.tensor([labels + filling]),
        "prefix_lengths": torch.tensor(lengths),
        "response_positions": spread(where, torch.int64),
        "loss_mask": spread([example.mask for example in examples], torch.float32),
    }
    first = examples[0]
    for name in first.per_sequence:
        batch[name] = torch.tensor([example.per_sequence[name] for example in examples]).float()
    for name in first.per_token:
        batch[name] = spread([example.per_token[name] for example in examples], torch.float32)
    return batch
