"""Benchmarks and arguments of the evaluation."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from rl.evaluate import _arguments, load_benchmark
from rl.rollouts.sampler import Query, program


def test_humaneval_is_164_problems_whose_prompts_are_continued():
    benchmark = load_benchmark("humaneval")
    assert len(benchmark) == 164
    assert all(p.continues for p in benchmark)
    query = Query(benchmark[0], [], 1, continues=True)
    assert program(query, "    pass") == benchmark[0].prompt + "    pass"


def test_many_greedy_samples_are_refused():
    with pytest.raises(SeedbedError, match="greedy samples are all equal"):
        _arguments(["--model", "m", "--benchmark", "humaneval", "--out", "o", "--samples", "4"])


def test_key_value_sets_what_the_flags_set():
    flags = ["--model", "m", "--benchmark", "fim-line", "--out", "o", "--max-tokens", "9"]
    keys = ["model=m", "benchmark=fim-line", "out=o", "max_tokens=9"]
    assert _arguments(flags) == _arguments(keys)
