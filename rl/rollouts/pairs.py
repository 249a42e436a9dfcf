"""Preference pairs from judged samples of one policy. Pure.

A pair holds a program that passes, one that does not, and the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch

from rl.rollouts.rewards import UNJUDGED
from rl.training.batches import Batch, Example, ProcessShare, micro_batches

Row = dict[str, Any]


def choose(samples: Sequence[Row], limit: int, seed: int) -> list[Row]:
    """At most `limit` pairs of the judged samples of one problem, as rows of pairs.jsonl.

    A sample without a verdict (UNJUDGED) says nothing of its program, and one that the length
    limit cut off would teach length. Neither enters a pair. Samples of one text count once. Both
    sides are shuffled by (seed, task_id) and used about equally often; no pair comes twice.
    """
    usable = {s["completion"]: s for s in samples if s["finished"] and s["verdict"] not in UNJUDGED}
    passing = [s for s in usable.values() if s["verdict"] == "pass"]
    failing = [s for s in usable.values() if s["verdict"] != "pass"]
    if not passing or not failing:
        return []
    rng = Random(f"{seed}:{samples[0]['task_id']}")
    rng.shuffle(passing)
    rng.shuffle(failing)
    # A longer walk through both lists would repeat a pair.
    count = min(limit, max(len(passing), len(failing)))
    return [_pair(passing[i % len(passing)], failing[i % len(failing)]) for i in range(count)]


def _pair(chosen: Row, rejected: Row) -> Row:
    return {
        "task_id": chosen["task_id"],
        "prompt": chosen["prompt"],
        "chosen": chosen["completion"],
        "rejected": rejected["completion"],
        "verdict": rejected["verdict"],
        "reason": "the chosen program passes every test; the rejected one: "
        f"{rejected['verdict']}, {rejected['reason']}",
        "prompt_tokens": chosen["prompt_tokens"],
        "chosen_tokens": chosen["tokens"],
        "rejected_tokens": rejected["tokens"],
    }


def batches(
    pairs: Sequence[Row],
    references: Sequence[tuple[float, float]],
    size: int,
    share: ProcessShare,
    length: int,
) -> list[Batch]:
    """Micro-batches of `size` pairs, as rl.training.objective.preference_loss takes them.

    A batch holds the chosen responses and then the rejected ones. references: log-probabilities
    (chosen, rejected) of each pair under the reference model. All rows are padded to `length`
    tokens, so that the same kernels compute a response whatever stands beside it.
    """

    def side(name: str, column: int) -> list[Batch]:
        examples = [
            Example(
                pair["prompt_tokens"], pair[f"{name}_tokens"], {"reference": reference[column]}, {}
            )
            for pair, reference in zip(pairs, references, strict=True)
        ]
        return micro_batches(examples, size, share, least=length - 1)

    both = zip(side("chosen", 0), side("rejected", 1), strict=True)
    return [
        {name: torch.cat([chosen[name], rejected[name]]) for name in chosen}
        for chosen, rejected in both
    ]
