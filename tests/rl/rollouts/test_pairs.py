"""Which samples make a pair, and what the trainer gets of it."""

from __future__ import annotations

import pytest

from rl.rollouts import pairs
from rl.training.batches import ProcessShare


def sample(completion: str, verdict: str, finished: bool = True) -> dict:
    return {
        "task_id": "p",
        "prompt": "a prompt",
        "completion": completion,
        "verdict": verdict,
        "reason": "" if verdict == "pass" else f"why {completion}",
        "finished": finished,
        "prompt_tokens": [1, 2],
        "tokens": [ord(c) for c in completion],
    }


def test_a_pass_is_preferred_to_a_failure_and_the_reason_says_which():
    [pair] = pairs.choose([sample("good", "pass"), sample("bad", "fail")], limit=4, seed=1)
    assert (pair["chosen"], pair["rejected"], pair["verdict"]) == ("good", "bad", "fail")
    assert pair["reason"] == "the chosen program passes every test; the rejected one: fail, why bad"
    assert pair["chosen_tokens"] == [ord(c) for c in "good"]
    assert pair["rejected_tokens"] == [ord(c) for c in "bad"]
    assert (pair["task_id"], pair["prompt"], pair["prompt_tokens"]) == ("p", "a prompt", [1, 2])


def test_an_outage_and_a_cut_off_sample_are_on_neither_side():
    unusable = [sample("outage", "infrastructure"), sample("long", "fail", finished=False)]
    assert pairs.choose([sample("good", "pass"), *unusable], 4, 1) == []
    assert pairs.choose([sample("cut", "pass", finished=False), sample("bad", "fail")], 4, 1) == []


def test_no_pair_comes_twice_and_all_samples_are_used_before_one_is_used_again():
    group = [sample(f"good {i}", "pass") for i in range(2)] + [
        sample(f"bad {i}", "error") for i in range(5)
    ]
    found = pairs.choose(group + group, limit=100, seed=1)
    assert len({(p["chosen"], p["rejected"]) for p in found}) == len(found) == 5
    assert {p["rejected"] for p in found} == {f"bad {i}" for i in range(5)}
    assert pairs.choose(group, 100, 1) == pairs.choose(group, 100, 1)
    assert len(pairs.choose(group, limit=3, seed=1)) == 3


def test_groups_without_a_pass_or_without_a_failure_make_no_pair():
    assert pairs.choose([sample("a", "pass"), sample("b", "pass")], 4, 1) == []
    assert pairs.choose([sample("a", "fail"), sample("b", "timeout")], 4, 1) == []


@pytest.mark.parametrize("dp", [1, 2])
def test_batches_hold_the_chosen_then_the_rejected_of_the_same_pairs(dp):
    found = [
        pairs.choose([sample(f"g{i}", "pass"), sample(f"bad{i}", "fail")], 1, 1)[0]
        for i in range(3)
    ]
    references = [(-float(i), -10.0 - i) for i in range(3)]
    seen = []
    for rank in range(dp):
        for batch in pairs.batches(found, references, 2, ProcessShare(rank, dp, 0, 1), length=9):
            assert batch["tokens"].shape == (4, 8)
            chosen, rejected = batch["reference"].chunk(2)
            masks = batch["loss_mask"].sum(1).chunk(2)
            seen += [
                (c, r, n.item(), m.item())
                for c, r, n, m in zip(chosen.tolist(), rejected.tolist(), *masks, strict=True)
                if n
            ]
    assert sorted(seen, reverse=True) == [
        (0.0, -10.0, 2, 4),
        (-1.0, -11.0, 2, 4),
        (-2.0, -12.0, 2, 4),
    ]


def test_both_sides_are_drawn_by_the_seed_and_the_problem():
    """Without a draw, the first programs of the engine would stand in every pair."""

    def drawn(seed: int, task: str) -> tuple[list[str], list[str]]:
        group = [sample(f"g{i}", "pass") for i in range(6)]
        group += [sample(f"b{i}", "fail") for i in range(6)]
        found = pairs.choose([s | {"task_id": task} for s in group], 6, seed)
        return [p["chosen"] for p in found], [p["rejected"] for p in found]

    draws = [drawn(1, "p"), drawn(2, "p"), drawn(1, "q")]
    for side in (0, 1):
        orders = [draw[side] for draw in draws]
        assert [sorted(order) for order in orders] == [sorted(orders[0])] * 3
        assert len({tuple(order) for order in [*orders, sorted(orders[0])]}) == 4


def test_a_batch_holds_the_responses_after_their_prompts_padded_to_the_length():
    [pair] = pairs.choose([sample("go", "pass"), sample("bad", "fail")], 1, 1)
    [batch] = pairs.batches([pair], [(-0.5, -0.25)], 1, ProcessShare(0, 1, 7, 1), length=8)
    g, o, b, a, d = map(ord, "gobad")
    assert batch["tokens"].tolist() == [[1, 2, g, o, 7, 7, 7], [1, 2, b, a, d, 7, 7]]
    assert batch["labels"].tolist() == [[2, g, o, 7, 7, 7, 7], [2, b, a, d, 7, 7, 7]]
    assert batch["loss_mask"].tolist() == [[0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0]]
    assert batch["reference"].tolist() == [-0.5, -0.25]
