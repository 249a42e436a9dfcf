"""The generated problems and the files they live in."""

from __future__ import annotations

import json
from random import Random

import pytest

from conf.errors import SeedbedError
from conf.schema.rl import ProblemConfig
from rl.problems import problem_set
from rl.problems.toy_functions import FILTERS, MAPS, REDUCES, ToyFunction, functions
from rl.rollouts.rewards import failing_references
from seedbed import jsonl
from seedbed.sandbox import Sandbox

SMALL = ProblemConfig(train=40, heldout=10)


def test_problems_are_a_pure_function_of_the_seed():
    assert problem_set.generate(SMALL) == problem_set.generate(SMALL)
    assert problem_set.generate(SMALL) != problem_set.generate(
        ProblemConfig(train=40, heldout=10, seed=2)
    )


def test_one_problem_is_what_it_was():
    """Golden: a change here changes what every run trains on."""
    train, _ = problem_set.generate(ProblemConfig(train=1, heldout=1))
    assert train[0]["task_id"] == GOLDEN["task_id"]
    assert train[0] == GOLDEN


def test_no_heldout_function_is_trained_on():
    train, heldout = problem_set.generate(ProblemConfig(train=400, heldout=128))
    assert not {row["task_id"] for row in train} & {row["task_id"] for row in heldout}
    assert not {row["code"] for row in train} & {row["code"] for row in heldout}
    assert len({row["task_id"] for row in train}) == 400


def test_asking_for_more_than_there_is_says_how_much_there_is():
    with pytest.raises(SeedbedError, match=r"problems.train=5000, but there are \d+ functions"):
        problem_set.generate(ProblemConfig(train=5000))


def test_every_problem_has_three_tests_and_each_passes_plainly():
    for row in problem_set.generate(SMALL)[0]:
        assert len(row["test_list"]) >= 3
        names: dict = {}
        # This evaluates our own templates, and no program of a model.
        exec(row["code"], names)
        for test in row["test_list"]:
            exec(test, names)


def test_the_tests_tell_a_function_from_those_that_differ_in_one_part():
    square_even = ToyFunction(REDUCES[1], MAPS[3], FILTERS[0])
    assert square_even.code == "sum(x ** 2 for x in xs if x % 2 == 0)"
    inputs = problem_set._inputs(square_even, Random(1))
    for other in square_even.neighbours():
        assert any(problem_set._value(other, xs) != square_even.reference(xs) for xs in inputs), (
            other.name
        )


def test_neighbours_differ_in_exactly_one_part():
    function = next(functions())
    names = [other.name.split("/") for other in function.neighbours()]
    assert len(names) == len(REDUCES) + len(MAPS) + len(FILTERS) - 3
    assert all(
        sum(a != b for a, b in zip(name, function.name.split("/"), strict=True)) == 1
        for name in names
    )


def test_every_reference_of_a_part_agrees_with_its_code():
    for function in functions():
        for xs in ([3, -2, 0, 8, 5, 12, 4, -5, 9, 6], [1, 1, 2]):
            expected = problem_set._value(function, xs)
            if expected is not None:
                assert eval(function.code, {"xs": xs}) == expected, function.name


def test_references_pass_in_the_sandbox_and_a_wrong_one_is_named():
    rows = problem_set.generate(ProblemConfig(train=12, heldout=1))[0]
    rows[3] = {**rows[3], "code": "def f(xs):\n    return None"}
    with Sandbox(workers=1) as sandbox:
        failing = failing_references(sandbox, [problem_set.parse(row) for row in rows])
    assert list(failing) == [rows[3]["task_id"]]
    assert failing[rows[3]["task_id"]].startswith("its reference fails its own tests: fail")


def test_a_saved_file_reads_back(tmp_path):
    rows, _ = problem_set.generate(SMALL)
    jsonl.write(tmp_path / "p.jsonl", rows)
    assert problem_set.read(tmp_path / "p.jsonl") == [problem_set.parse(row) for row in rows]


def test_mbpp_prompts_carry_the_tests_because_only_they_name_the_function():
    row = {
        "task_id": 7,
        "text": "Add two numbers.",
        "code": "def add(a, b): return a + b",
        "test_list": ["assert add(1, 2) == 3"],
    }
    problem = problem_set.parse(row)
    assert problem.prompt == "Add two numbers.\nIt must satisfy:\nassert add(1, 2) == 3"
    assert (problem.task_id, problem.continues) == ("7", False)


def test_humaneval_rows_ask_for_a_continuation():
    row = {
        "task_id": "H/0",
        "prompt": "def g():\n",
        "canonical_solution": "    return 1\n",
        "entry_point": "g",
    }
    problem = problem_set.parse(
        {**row, "test": "def check(candidate):\n    assert candidate() == 1\n"}
    )
    assert problem.continues
    assert problem.code == "def g():\n    return 1\n"


def line(**row) -> str:
    return json.dumps(
        {"task_id": "a", "prompt": "p", "code": "c", "test_list": ["assert f() == 1"], **row}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no problem"),
        ("{not json", r"p\.jsonl:1 is not JSON"),
        (line() + "\n" + line(code="d"), r":2 repeats task_id 'a' of line 1"),
        (
            json.dumps({"task_id": "a", "test_list": ["assert f()"]}),
            r":1: Problem 'a' has no prompt",
        ),
        (json.dumps({"task_id": "a", "prompt": "p"}), "of no known format"),
    ],
)
def test_a_bad_file_is_refused_with_the_line(tmp_path, text, message):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(SeedbedError, match=message):
        problem_set.read(path)


def test_a_missing_file_says_who_writes_it(tmp_path):
    with pytest.raises(SeedbedError, match=r"run rl\.sft first"):
        problem_set.read(tmp_path / "none.jsonl")


GOLDEN = {
    "task_id": "ascending/square/round",
    "prompt": "Write a function f(xs) that returns the sorted list of the squares of the multiples "
    "of ten in xs.",
    "code": "def f(xs):\n    return sorted(x ** 2 for x in xs if x % 10 == 0)",
    "test_list": [
        "assert f([6, 14, -1, 0, 1, 13]) == [0]",
        "assert f([-5, -2, 3, 3, -3, 7, -4, 13, 12, -4, 14]) == []",
        "assert f([-6, 13, 12, 9, 13, 2]) == []",
        "assert f([8, 7, 10, 10, -3, -6, 10]) == [100, 100, 100]",
        "assert f([11, 10, 1, 2, 0, 0, 14, 13]) == [0, 0, 100]",
        "assert f([1, 12, 0, 6, 10, 12]) == [0, 100]",
    ],
}


@pytest.mark.parametrize(("rank", "heard"), [("0", True), ("1", False)])
def test_of_several_processes_one_tells_what_is_in_a_file(
    tmp_path, capsys, monkeypatch, rank, heard
):
    monkeypatch.setenv("RANK", rank)
    path = tmp_path / "p.jsonl"
    row = {"task_id": 1, "prompt": "Add.", "inputs": ["1"], "outputs": ["2"]}
    path.write_text(json.dumps(row) + "\n{}\n")
    assert [problem.task_id for problem in problem_set.read(path)] == ["1"]
    said = capsys.readouterr().err
    assert ("1 problems (1 stdio); 1 bad rows skipped" in said) == heard
    assert ("skipped: " in said) == heard
