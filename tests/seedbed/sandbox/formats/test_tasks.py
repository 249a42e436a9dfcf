"""What a row becomes, by value. No program is run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from conf.errors import SeedbedError
from seedbed.sandbox import CallTests, StdioTests, formats
from seedbed.sandbox.checks import evalplus, functional, generated
from seedbed.sandbox.checks.prelude import CONTEST
from seedbed.sandbox.formats import Task
from seedbed.sandbox.formats.fields import words
from tests.seedbed.sandbox.formats import rows
from tests.seedbed.sandbox.formats.rows import Row

CALL: Row = {"task_id": "c", "prompt": "p", "fn_name": "f"}


def test_the_public_cases_come_before_the_private_ones_and_answers_are_exact() -> None:
    given = [([[5, 1, 7], 4], {}, [[5, 7]]), ([[1], 1], {}, [[]])]
    assert formats.tests(rows.LCB_CALL) == functional.calls("above", given, 0.0)
    assert formats.tests(rows.LCB_STDIN) == StdioTests(
        ("4 6\n", "5 7\n"), ("2 3\n", "2.5 3.5\n"), "decimals", prelude=CONTEST
    )


def test_lists_of_one_around_all_answers_of_a_row_may_be_left_out() -> None:
    wrapped = [(["a", "b"], {}, [["ab"], "ab"]), (["5", "6"], {}, [["56"], "56"])]
    found = formats.tests({**rows.TACO, "time_limit": None, "memory_limit": None})
    assert found == functional.calls("glue", wrapped, 1e-5)
    for one, other in ((["ab"], "cd"), (["a", "b"], ["c", "d"])):
        found = formats.tests(CALL | _io([[1], [2]], [one, other]))
        assert found == functional.calls("f", [([1], {}, [one]), ([2], {}, [other])], 1e-5)


def _io(inputs: Any, outputs: Any) -> Row:
    return {"inputs": inputs, "outputs": outputs}


@pytest.mark.parametrize(
    ("given", "wanted", "arguments", "answer"),
    [
        # A text beside a list of arguments is the answer; beside a text it holds the answer.
        (["a"], "5", ["a"], "5"),
        ('"a"\n[2]', "5", ["a", [2]], 5),
        ("", "(1, 2)", [], [1, 2]),
        ("{1: 2}", "None", [{"1": 2}], None),
        (3, 4, [3], 4),
    ],
)
def test_arguments_are_a_list_or_a_line_each(
    given: Any, wanted: Any, arguments: list[Any], answer: Any
) -> None:
    found = formats.tests(CALL | _io([given], [wanted]))
    assert found == functional.calls("f", [(arguments, {}, [answer])], 1e-5)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (["a b", 3], "a b\n3\n"),
        ([["a", 1], "b"], "a 1\nb\n"),
        (2.5, "2.5\n"),
    ],
)
def test_what_stdin_holds_is_a_text_lines_words_or_a_number(value: Any, text: str) -> None:
    found = formats.tests({"task_id": 1, **_io([value], ["x"])})
    assert found == StdioTests((text,), ("x",))


APPS_CASE = {"input": "1\n", "output": "2\n"}


@pytest.mark.parametrize(
    ("row", "function"),
    [
        # Of stdin by its type, whatever the metadata names.
        ([{**APPS_CASE, "testtype": "stdin", "metadata": {"func_name": "f"}}], ""),
        ([{**APPS_CASE, "type": "stdin_stdout", "fn_name": "f"}], ""),
        ([{**APPS_CASE, "type": "standard_input", "fn_name": "f"}], ""),
        ([{**APPS_CASE, "testtype": "stdin", "fn_name": "f"}], ""),
        ([{**APPS_CASE, "metadata": {"func_name": "f"}}], "f"),
        ([{**APPS_CASE, "func_name": "f"}], "f"),
        ({"inputs": ["1"], "outputs": ["2"]}, ""),
        ("{'inputs': ['1'], 'outputs': ['2'], 'fn_name': 'f'}", "f"),
    ],
)
def test_the_cases_say_whether_a_function_is_called(row: Any, function: str) -> None:
    found = formats.tests({"task_id": 1, "input_output": row})
    assert isinstance(found, CallTests if function else StdioTests)
    named = formats.tests({"task_id": 1, "input_output": row, "func_name": "g"})
    assert isinstance(named, CallTests)
    assert repr(function or "g") in named.adapter


def test_a_program_of_apps_finds_the_imports_of_a_contest() -> None:
    assert formats.tests(rows.APPS).prelude == CONTEST  # type: ignore[union-attr]
    assert formats.tests(rows.STDIO).prelude == ""  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "date"),
    [
        (rows.TACO, "2019-12-31"),
        ({**rows.TACO, "date": "2020-01-02T10:00:00"}, "2020-01-02"),
        (rows.LCB_STDIN, "2025-02-08"),
        (rows.LEETCODE, "2024-09-01"),
        (rows.APPS, ""),
    ],
)
def test_a_date_is_that_of_the_day(row: Row, date: str) -> None:
    assert formats.task(row).date == date


HEAD, BODY = rows.BIGCODEBENCH["complete_prompt"], rows.BIGCODEBENCH["canonical_solution"]


def test_bigcodebench_asks_in_words_or_by_the_beginning_of_a_program() -> None:
    asked = formats.task(rows.BIGCODEBENCH)
    assert (asked.stem, asked.reference) == ("", HEAD + BODY)
    wordless = formats.task({**rows.BIGCODEBENCH, "instruct_prompt": ""})
    assert (wordless.prompt, wordless.stem) == (HEAD, HEAD)
    code = rows.BIGCODEBENCH["code_prompt"]
    assert formats.task({**rows.BIGCODEBENCH, "complete_prompt": ""}).reference == code + BODY
    # A head that is no Python, or of another function, is no beginning of a program.
    for head in ("def task_func(n", "def other(n):\n"):
        broken = {**rows.BIGCODEBENCH, "code_prompt": head, "complete_prompt": head}
        found = formats.task({**broken, "instruct_prompt": ""})
        assert (found.stem, found.reference) == ("", "")
        assert found.tests.prelude == ""  # type: ignore[union-attr]
    check = {**rows.BIGCODEBENCH, "test": "import unittest\ndef check(f): assert f(0) == []\n"}
    assert formats.form(check).name == "humaneval"


def test_codecontests_has_all_three_parts_in_either_layout() -> None:
    more = {"input": ["9\n"], "output": ["YES\n3\n"]}
    found = formats.tests({**rows.CODECONTESTS, "generated_tests": more})
    assert found.inputs == ("4\n", "2\n", "9\n")  # type: ignore[union-attr]
    listed = [{"input": "9\n", "output": "YES\n3\n"}]
    assert formats.tests({**rows.CODECONTESTS, "generated_tests": listed}) == found


def test_codeforces_has_both_parts_and_its_statement_has_headings() -> None:
    more = [{"input": "7\n", "output": "6\n"}]
    found = formats.tests({**rows.CODEFORCES, "generated_tests": more})
    assert found.inputs == ("9\n", "4\n", "7\n")  # type: ignore[union-attr]
    told = formats.task({**rows.CODEFORCES, "note": "Any will do."}).prompt
    assert told == (
        "Print a number below n.\n\nInput\n\nn\n\nOutput\n\nA number.\n\nNote\n\nAny will do."
    )
    assert formats.task({**rows.CODEFORCES, "prompt": "Below!"}).prompt == "Below!"


def test_the_settings_of_a_generator_reach_its_tests() -> None:
    row = {
        "task_id": "g",
        "code_sample": "def twice(x): return 2 * x",
        "input_generator": "def generate_inputs(rng): return {'x': rng.randint(0, 9)}",
        "entry_point": "twice",
        "text": "Other words.",
    }
    parts = row["code_sample"], row["input_generator"], "twice"
    found = formats.tests({**row, "cases": 5, "seed": 7})
    assert found == generated.differential(*parts, 5, 7)
    assert formats.tests(row) == generated.differential(*parts, 16, 0)
    assert formats.task(row).prompt == "Other words."
    assert formats.task({**row, "prompt": "Double it."}).prompt == "Double it."


# (number of a task of MBPP+, arguments in JSON, arguments as EvalPlus gives them)
CHANGED: list[tuple[int, list[Any], list[Any]]] = [
    (1, [[1], [2]], [[1], [2]]),
    (2, [[3], [4]], [(3,), (4,)]),
    (809, [[3], [4]], [(3,), (4,)]),
    (63, [[[1], [2]]], [[(1,), (2,)]]),
    (75, [[[1]], [2]], [[(1,)], [2]]),
    (106, [[1], [2], [3]], [[1], (2,), [3]]),
    (115, [[[1, 1], []]], [[{1}, {}]]),
    (124, ["1", "2j"], [1.0, 2j]),
    (250, [[1], [2]], [(1,), [2]]),
    (259, [[[1], [2]]], [((1,), (2,))]),
    (401, [[[1], [2]]], [((1,), (2,))]),
    (445, [[[1], [2]]], [((1,), (2,))]),
    (278, [[1, [2]]], [(1, (2,))]),
    (722, [{"a": [1]}, [2]], [{"a": (1,)}, [2]]),
    (252, ["1+2j"], [1 + 2j]),
    (580, [[1, [2, [3]]]], [(1, (2, (3,)))]),
]


@pytest.mark.parametrize(("number", "given", "wanted"), CHANGED)
def test_arguments_get_the_types_back_that_json_has_not(
    number: int, given: list[Any], wanted: list[Any]
) -> None:
    name, head = f"Mbpp/{number}", "def f(*a):\n"
    row = {"task_id": name, "prompt": head, "canonical_solution": "    return a\n"}
    row |= {"entry_point": "f", "base_input": [given], "plus_input": [given], "atol": 0.25}
    reference = f"{head}    return a\n"
    asked = formats.task(row)
    assert asked.tests == evalplus.tests(name, reference, "f", [wanted, wanted], 0.25)
    assert (asked.stem, asked.reference) == ("", reference)
    # HumanEval's arguments are as JSON has them, and its completions go on with the prompt.
    other = formats.task({**row, "task_id": f"HumanEval/{number}"})
    plain = evalplus.tests(f"HumanEval/{number}", reference, "f", [given, given], 0.25)
    assert (other.tests, other.stem) == (plain, head)


def test_the_words_of_a_chat_are_the_users_last() -> None:
    chat = [("user", "first"), ("assistant", "hm"), ("user", "second"), ("assistant", "so")]
    said = [{"role": role, "content": text} for role, text in chat]
    assert words({"prompt": said}, "prompt") == "second"
    assert words({"prompt": said[1:2], "text": "t"}, "prompt", "text") == "t"
    assert words({"prompt": "", "text": "t"}, "prompt", "text") == "t"
    assert words({"prompt": 3}, "prompt", "text") == ""


@pytest.mark.parametrize(
    "named", [{"fn_name": "f"}, {"func_name": "f"}, {"metadata": '{"func_name": "f"}'}]
)
def test_a_function_is_named_in_any_of_three_ways(named: Row) -> None:
    row = {"task_id": "n", **_io([[1]], [2]), **named}
    assert formats.tests(row) == functional.calls("f", [([1], {}, [2])], 1e-5)


def test_starter_code_is_shown_once() -> None:
    starter = rows.DEEPCODER["starter_code"].strip()
    assert formats.task(rows.DEEPCODER).prompt.count(starter) == 1
    shown = {**rows.DEEPCODER, "problem": f"Go on with this:\n{starter}"}
    assert formats.task(shown).prompt == shown["problem"]


def test_a_rows_own_name_comes_before_that_of_its_form_and_a_bool_is_none() -> None:
    form = formats.form(rows.LCB_CALL)
    assert formats.identity({"task_id": "t", "question_id": "q"}, form) == "t"
    assert formats.identity({"question_id": "q", "id": "i"}, form) == "q"
    assert formats.identity({"task_id": True, "question_id": 0}, form) == 0
    assert formats.identity({"id": "i"}, form) is None


def test_a_completion_goes_on_with_the_stem_and_a_solution_gets_its_imports() -> None:
    tests = CallTests("assert f(1) == 1")
    asked = Task("", tests, stem="import math\n\ndef f(x):\n", stops=("\n}", "END", ""))
    completion = {"completion": "    return xEND\n}"}
    assert formats.program_of(asked, completion) == f"{asked.stem}    return x"
    solution = "def f(x): return math.floor(x) # END"
    whole = formats.program_of(asked, {"solution": solution})
    assert isinstance(whole, str)
    assert whole.split() == f"import math {solution}".split()
    job = formats.job(rows.HUMANEVAL_PLUS, {"completion": "    return 1\n"})
    assert job.reference == "def third(x):\n    return x / 3\n"


def test_the_tests_of_humaneval_call_the_program_even_where_it_is_named_check() -> None:
    prompt = "def check(x):\n"
    row = {"task_id": "h", "prompt": f"def near(x):\n    return x\n\n{prompt}    pass\n"}
    row |= {"entry_point": "check", "test": "def check(f):\n    assert near(f(2)) == 4\n"}
    found = formats.tests(row)
    assert isinstance(found, CallTests)
    scope: dict[str, Any] = {}
    exec(found.setup, scope)
    assert "near" in scope
    assert "check" not in scope
    exec(found.code, scope | {"check": lambda x: 2 * x})
    with pytest.raises(AssertionError):
        exec(found.code, scope | {"check": lambda x: 3 * x})


MBPP: Row = {"task_id": 1, "text": "Write it.", "test_list": ["assert f(2) == 4"]}


def test_the_setup_of_mbpp_is_imports_and_the_rows_own() -> None:
    row = {**MBPP, "test_imports": ["import math"], "test_setup_code": "x = 1\r\ny = 2"}
    row["test_list"] = ["assert f(re.I) == size.x", "assert isclose(f(1), 2)"]
    found = formats.tests(row)
    assert isinstance(found, CallTests)
    assert found.setup == "import re\nimport math\nx = 1\ny = 2"
    assert found.code == "\n".join(row["test_list"])
    more = formats.tests({**MBPP, "test": "assert f(3) == 6"})
    assert more.code.splitlines() == ["assert f(2) == 4", "assert f(3) == 6"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "tests", "shown"),
    [
        ("Write it.", "assert f(2) == 4", True),
        ("Write f(x).", "assert f(2) == 4", False),
        ("Write `f`.", "assert isclose(f(2), 4)", False),
        ("Write f(x).", "assert f(2) == g(4)", True),
        ("Off they go.", "assert f(2) == 4", True),
    ],
)
def test_the_prompt_of_mbpp_shows_its_tests_where_words_name_no_function(
    words: str, tests: str, shown: bool
) -> None:
    prompt = formats.task({**MBPP, "text": words, "test_list": [tests]}).prompt
    assert prompt == (f"{words}\nIt must satisfy:\n{tests}" if shown else words)


def test_the_language_of_a_row_is_that_of_its_tests_by_any_name() -> None:
    for named in ("Python 3", ["python3"], "PY", None):
        assert formats.tests({**rows.STDIO, "language": named}) == formats.tests(rows.STDIO)
    for named in ("cpp", "C++", ["cpp"]):
        found = formats.tests({**rows.STDIO, "language": named})
        assert found == replace(formats.tests(rows.STDIO), language="cpp")  # type: ignore[call-arg]
    assert formats.task({**rows.STDIO, "code": "print(1)"}).reference == "print(1)"
    # The form is judged in Python, whichever way a row says so.
    assert formats.task({**rows.CODEFORCES, "language": "python3"}).tests
    info = json.loads(rows.VERIFIABLE["verification_info"])
    assert formats.task({**rows.VERIFIABLE, "verification_info": {**info, "language": None}})


def test_an_input_with_several_outputs_takes_each_of_them() -> None:
    row = {**rows.STDIO, **_io(["1\n", "2\n", "1\n", "2\n"], ["a", "b", "c", "b"])}
    assert formats.tests(row).others == (("c",), (), ("a",), ())  # type: ignore[union-attr]
    assert formats.tests(rows.STDIO).others == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "any_answer"),
    [
        ("If there are multiple answers, print any of them.", True),
        ("If there are several possible\nsolutions, output any.", True),
        ("Print any valid permutation of the numbers.", True),
        ("You can print the edges in any order.", True),
        ("Find any sequence. Any of the answers will be accepted.", True),
        ("If there is more than one solution, any is accepted.", True),
        ("If there are many answers, you may choose any one of those.", True),
        ("If there are multiple answers, print the smallest one.", False),
        ("Do not print any extra spaces.", False),
        ("The numbers are given in any order. Print their sum.", False),
        ("Print the sum of any two numbers.", False),
        ("Print how many ways there are.", False),
    ],
)
def test_a_statement_says_whether_any_of_several_answers_is_right(
    words: str, any_answer: bool
) -> None:
    for row, field in ((rows.CODECONTESTS, "description"), (rows.STDIO, "prompt")):
        asked = {**row, "task_id": "t", field: f"Given n, find x.\n\n{words} Thanks."}
        assert formats.tests(asked).any_answer == any_answer  # type: ignore[union-attr]
    # A checker tells, and so does a data set that has no such problems.
    asked = {**rows.STDIO, "prompt": words, "checker": JUDGE}
    assert not formats.tests(asked).any_answer  # type: ignore[union-attr]
    asked = {**rows.LCB_STDIN, "question_content": words}
    assert not formats.tests(asked).any_answer  # type: ignore[union-attr]


def test_limits_in_every_unit_and_a_zero_that_is_none() -> None:
    def limits(**fields: Any) -> tuple[float, int]:
        found = formats.tests({**rows.STDIO, **fields}).limits
        return found.cpu_seconds, found.memory_bytes

    assert limits(time_limit=0, timeout=3) == (3.0, 0)
    assert limits(time_limit="2 minutes") == (120.0, 0)
    assert limits(time_limit_ms=250, memory_limit_bytes=1 << 21) == (0.25, 1 << 21)
    assert limits(memory_limit_mb=3) == (0.0, 3 << 20)
    assert limits(time_limit={"seconds": 1, "nanos": 250_000_000}) == (1.25, 0)
    assert limits(time_limit=600) == (600.0, 0)


JUDGE = "print(1)"


def test_a_checker_or_a_rule_of_the_row_decides() -> None:
    for field in ("checker", "generated_checker"):
        assert formats.tests({**rows.STDIO, field: JUDGE}).checker == JUDGE  # type: ignore[union-attr]
    assert formats.tests({**rows.STDIO, "comparison": "exact"}).rule == "exact"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**rows.LCB_CALL, "comparison": "exact"}, "a checker or a comparison"),
        ({**rows.STDIO, "checker": "# nothing"}, "checker that is not Python"),
        ({**rows.STDIO, "time_limit": 601}, "time_limit = 601"),
        ({**rows.STDIO, **_io([True], ["1"])}, "is no text for stdin"),
        ({**rows.CRUXEVAL, "input": "1,,"}, "not Python"),
        ({**rows.CRUXEVAL, "code": "def f("}, "not Python"),
        ({**rows.LEETCODE, "entry_point": "A().b().c"}, "entry_point = "),
        (
            {**rows.LCB_STDIN, "private_test_cases": rows.LCB_CALL["private_test_cases"]},
            "cases of the types",
        ),
        (
            {"task_id": 1, "public_test_cases": [rows.case("1", "2", "file")]},
            "cases of the types",
        ),
        (
            {"task_id": 1, "tests": [{**APPS_CASE, "fn_name": name} for name in "fg"]},
            "cases of several functions",
        ),
        ({**rows.CODEFORCES, "official_tests": ["9"]}, "not input and output"),
        ({**rows.STDIO, "language": ["cpp", "java"]}, "names the language"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(row: Row, said: str) -> None:
    with pytest.raises(SeedbedError, match=said):
        formats.task(row)
