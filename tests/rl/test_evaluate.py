"""pass@k and how a benchmark item becomes a program."""

from __future__ import annotations

from itertools import combinations

import pytest

from conf.errors import SeedbedError
from rl.evaluate import _arguments, assess, load_benchmark, program
from rl.evaluation.scores import pass_at, unbiased_pass_at_k
from rl.problems import problem_set
from seedbed.inference.engine import Sample
from seedbed.sandbox import Sandbox


@pytest.mark.parametrize(
    ("n", "c", "k"), [(5, 2, 1), (5, 2, 2), (5, 0, 3), (5, 5, 1), (6, 3, 4), (4, 3, 2)]
)
def test_pass_at_k_is_the_share_of_k_subsets_with_a_correct_sample(n, c, k):
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert unbiased_pass_at_k(n, c, k) == pytest.approx(sum(any(s) for s in subsets) / len(subsets))


def items(*verdicts: str) -> list[dict]:
    return [{"samples": [{"verdict": v} for v in row.split()]} for row in verdicts]


def test_pass_at_is_the_mean_over_items_for_powers_of_two():
    found = pass_at(items("pass fail fail fail", "fail fail fail fail"))
    assert found == {"pass@1": 0.125, "pass@2": 0.25, "pass@4": 0.5}


def test_an_outage_lowers_the_number_of_samples_not_the_score():
    assert pass_at(items("pass infrastructure", "pass pass")) == {"pass@1": 1.0}


def test_humaneval_is_164_problems_whose_references_pass():
    benchmark = load_benchmark("humaneval")
    assert len(benchmark) == 164
    assert all(p.continues for p in benchmark)
    assert program(benchmark[0], "    pass") == benchmark[0].prompt + "    pass"


class Parrot:
    """An engine that answers with the reference of the first problem and nonsense to the others."""

    def __init__(self, chat, answer: str):
        self.chat, self.answer, self.seeds = chat, answer, []

    def generate(self, prompts, seeds, sampling):
        self.seeds = list(seeds)
        texts = [self.answer if i < 2 else "no" for i in range(len(prompts))]
        return [Sample(self.chat.response(text), [], True, text) for text in texts]


def test_assess_counts_samples_by_item(tokenizer_folder):
    from seedbed.inference.chat import Chat

    chat = Chat(tokenizer_folder)
    rows = [
        {"task_id": name, "prompt": "p", "code": "", "test_list": ["assert f(1) == 2"]}
        for name in ("first", "second")
    ]
    chosen = [problem_set.parse(row) for row in rows]
    engine = Parrot(chat, "def f(x):\n    return x + 1")
    with Sandbox(workers=1) as sandbox:
        result = assess(engine, sandbox, chat, chosen, 2, 1.0, max_tokens=16, max_length=64, seed=1)
    assert result["pass_at"] == {"pass@1": 0.5, "pass@2": 0.5}
    assert result["reward"] == 0.5
    assert [[s["verdict"] for s in item["samples"]] for item in result["items"]] == [
        ["pass"] * 2,
        ["error"] * 2,
    ]
    assert len(set(engine.seeds)) == 4
    assert result["items"][0]["samples"][0]["completion"] == "def f(x):\n    return x + 1"


def test_many_greedy_samples_are_refused():
    with pytest.raises(SeedbedError, match="greedy samples are all equal"):
        _arguments(["--model", "m", "--benchmark", "humaneval", "--out", "o", "--samples", "4"])
