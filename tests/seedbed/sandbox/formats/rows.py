"""A small row of each data set's published layout, written anew, with right and wrong programs."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from typing import Any

Row = dict[str, Any]


def packed(cases: list[Row], protocol: int = 4) -> str:
    """Cases as LiveCodeBench packs its private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases), protocol))).decode()


def case(given: str, wanted: str, kind: str = "stdin") -> Row:
    return {"input": given, "output": wanted, "testtype": kind}


LCB_STDIN: Row = {
    "question_title": "Halves",
    "question_content": "Print half of each number.",
    "platform": "atcoder",
    "question_id": "abc900_a",
    "contest_id": "abc900",
    "contest_date": "2025-02-08T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps([case("4 6\n", "2 3\n")]),
    "private_test_cases": packed([case("5 7\n", "2.5 3.5\n")]),
    "metadata": "{}",
}
LCB_CALL: Row = {
    "question_content": "Return the numbers above the bound, and how many.",
    "question_id": "3999",
    "contest_date": "2025-03-01",
    "starter_code": "class Solution:\n    def above(self, xs: List[int], k: int) -> List[int]:\n",
    "public_test_cases": json.dumps([case("[5, 1, 7]\n4", "[5, 7]", "functional")]),
    "private_test_cases": json.dumps([case("[1]\n1", "[]", "functional")]),
    "metadata": json.dumps({"func_name": "above"}),
}
APPS: Row = {
    "problem_id": 17,
    "question": "Sum the numbers.",
    "solutions": json.dumps(["print(sum(map(int, input().split())))"]),
    "input_output": json.dumps({"inputs": ["1 2\n", ["3 4"]], "outputs": ["3\n", ["7"]]}),
    "difficulty": "introductory",
    "starter_code": "",
}
TACO: Row = {
    "question": "Join two words.",
    "input_output": json.dumps(
        {"fn_name": "glue", "inputs": [["a", "b"], ["5", "6"]], "outputs": [["ab"], ["56"]]}
    ),
    "starter_code": "def glue(a, b):\n\t",
    "time_limit": "2.0 seconds",
    "memory_limit": "256.0 megabytes",
    "date": "2019-12-31",
}
EURUS: Row = {
    "data_source": "taco",
    "prompt": [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "Print the square."},
    ],
    "ability": "code",
    "reward_model": {
        "ground_truth": json.dumps({"inputs": ["3\n"], "outputs": ["9\n"]}),
        "style": "rule",
    },
    "extra_info": {"index": 5, "split": "train"},
}
DEEPCODER: Row = {
    "problem": "Give the last letter.",
    "solutions": [],
    "tests": json.dumps(
        [
            {"input": '"abc"', "output": '"c"', "testtype": "functional"}
            | {"metadata": {"func_name": "last"}}
        ]
    ),
    "starter_code": "def last(s):\n",
}
PRIME: Row = {
    "problem": "Add.",
    "tests": json.dumps(
        [{"type": "function_call", "fn_name": "add", "input": [1, 2], "output": [3]}]
    ),
}
CODECONTESTS: Row = {
    "name": "1549_A. Roots",
    "description": "Print YES and the root.",
    "public_tests": {"input": ["4\n"], "output": ["YES\n2.000000\n"]},
    "private_tests": {"input": ["2\n"], "output": ["YES\n1.414214\n"]},
    "generated_tests": {"input": [], "output": []},
    "time_limit": {"seconds": 2, "nanos": 500000000},
    "memory_limit_bytes": 256000000,
    "input_file": "",
    "output_file": "",
}
CODEFORCES: Row = {
    "id": "1/A",
    "title": "Below",
    "description": "Print a number below n.",
    "input_format": "n",
    "output_format": "A number.",
    "interaction_format": None,
    "input_mode": "stdio",
    "time_limit": 2.0,
    "memory_limit": 256.0,
    "official_tests": [{"input": "9\n", "output": "8\n"}, {"input": "4\n", "output": "3\n"}],
    "official_tests_complete": True,
    "generated_tests": 40,
    "generated_checker": "import sys\n"
    "given, answer, output = (open(name).read() for name in sys.argv[1:])\n"
    "print(1 if int(output) < int(given) else 0)\n",
}
VERIFIABLE: Row = {
    "problem_id": "vfc_3",
    "prompt": "Double it.",
    "gold_standard_solution": "```python\nprint(2 * int(input()))\n```",
    "verification_info": json.dumps(
        {
            "language": "python",
            "test_cases": [
                {"input": "2\n", "output": "4\n", "type": "stdin_stdout", "fn_name": None}
            ],
        }
    ),
}
LEETCODE: Row = {
    "task_id": "turn-the-list",
    "question_id": 9006,
    "estimated_date": "2024-09-01 00:00:00",
    "problem_description": "Turn the list around.",
    "starter_code": "class Solution:\n    def turn(self, head: Optional[ListNode]):\n        ",
    "prompt": "import math\nfrom typing import *\n",
    "completion": "class Solution:\n    def turn(self, head):\n        last = None\n"
    "        while head:\n            head.next, last, head = last, head, head.next\n"
    "        return last\n",
    "entry_point": "Solution().turn",
    "test": "def check(candidate):\n"
    "    assert is_same_list(candidate(head = list_node([1, 2, 3])), list_node([3, 2, 1]))\n"
    "    assert candidate(head = None) is None\n",
    "query": "Turn a linked list around.",
    "response": "...",
}
BIGCODEBENCH: Row = {
    "task_id": "BigCodeBench/9001",
    "complete_prompt": "import random\n\ndef task_func(n):\n    '''n digits.'''\n",
    "instruct_prompt": "Give n random digits.",
    "code_prompt": "import random\ndef task_func(n):\n",
    "canonical_solution": "    return [random.randint(0, 9) for _ in range(n)]\n",
    "entry_point": "task_func",
    "libs": "['random']",
    "test": "import unittest\nimport random\n\nclass TestCases(unittest.TestCase):\n"
    "    def setUp(self):\n        self.sizes = (0, 4)\n"
    "    def test_sizes(self):\n        for n in self.sizes:\n            with self.subTest(n=n):\n"
    "                self.assertEqual(len(task_func(n)), n)\n"
    "    def test_seed(self):\n        random.seed(5)\n        first = task_func(6)\n"
    "        random.seed(5)\n"
    "        self.assertEqual(first, [random.randint(0, 9) for _ in range(6)])\n",
}
CRUXEVAL: Row = {
    "id": "sample_9001",
    "code": "def f(text, n):\n    return text.upper()[:n]",
    "input": "'bark', 3",
    "output": "'BAR'",
}
HUMANEVAL_PLUS: Row = {
    "task_id": "HumanEval/9001",
    "prompt": "def third(x):\n",
    "canonical_solution": "    return x / 3\n",
    "entry_point": "third",
    "test": "import numpy as np\n\ndef near(out, exp, atol):\n"
    "    if isinstance(exp, np.ndarray) or out != exp:\n"
    "        assert np.allclose(out, exp, rtol=1e-07, atol=atol)\n\n"
    "def check(candidate):\n    for x, y in [(1, 1 / 3), (6, 2.0)]:\n"
    "        near(candidate(x), y, 1e-6)\n",
}
MBPP_PLUS: Row = {
    "task_id": 9002,
    "code": "def evens(xs):\n    return tuple(x for x in xs if x % 2 == 0)",
    "prompt": "Write a function to find the evens.",
    "source_file": "x",
    "test_imports": [],
    "test_list": ["assert evens([1, 2]) == (2,)"],
    "test": "import numpy as np\n\ndef assertion(out, exp, atol):\n    assert out == exp\n\n"
    "for given, wanted in zip([[[2, 4]], [[]]], [(2, 4), ()]):\n"
    "    assertion(evens(*given), wanted, 0)\n",
}
STDIO: Row = {"task_id": "io", "prompt": "Echo.", "inputs": ["1 2\n"], "outputs": ["1 2\n"]}

_SUM = "print(sum(map(int, input().split())))"
_HALF = "print(*(int(x) / 2 for x in input().split()))"
_ABOVE = "class Solution:\n    def above(self, xs: List[int], k: int) -> List[int]:\n"
_DIGITS = "import random\ndef task_func(n):\n    return [random.randint(0, 9) for _ in range(n)]\n"
_ROOT = "import math\nprint('yes')\nprint(math.sqrt(int(input())))"

# (form, row, program, verdict)
SAMPLES: list[tuple[str, Row, str, str]] = [
    ("livecodebench", LCB_STDIN, _HALF, "pass"),
    # The header of the data set imports math's names.
    ("livecodebench", LCB_STDIN, _HALF.replace("int(x) / 2", "sqrt(int(x) ** 2 / 4)"), "pass"),
    ("livecodebench", LCB_STDIN, _HALF.replace("/ 2", "// 2"), "fail"),
    ("livecodebench", LCB_STDIN, _HALF.replace("/ 2", "/ 2.0000001"), "fail"),
    ("livecodebench", LCB_CALL, f"{_ABOVE}        return [x for x in xs if x > k]", "pass"),
    ("livecodebench", LCB_CALL, "def above(xs, k): return tuple(x for x in xs if x > k)", "pass"),
    ("livecodebench", LCB_CALL, f"{_ABOVE}        return [x for x in xs if x >= k]", "fail"),
    ("livecodebench", LCB_CALL, "def below(xs, k): return []", "error"),
    ("apps", APPS, _SUM, "pass"),
    ("apps", APPS, "print(3)", "fail"),
    ("apps", TACO, "def glue(a, b): return a + b", "pass"),
    ("apps", TACO, "def glue(a, b): return [a + b]", "pass"),
    ("apps", TACO, "def glue(a, b): return b + a", "fail"),
    ("eurus", EURUS, "print(int(input()) ** 2)", "pass"),
    ("eurus", EURUS, "print(int(input()) * 2)", "fail"),
    ("deepcoder", DEEPCODER, "def last(s): return s[-1]", "pass"),
    ("deepcoder", DEEPCODER, "def last(s): return s[0]", "fail"),
    ("deepcoder", PRIME, "def add(a, b): return a + b", "pass"),
    ("deepcoder", PRIME, "def add(a, b): return a - b", "fail"),
    ("codecontests", CODECONTESTS, _ROOT, "pass"),
    ("codecontests", CODECONTESTS, _ROOT.replace("math.sqrt", "1e-4 + math.sqrt"), "fail"),
    ("open-r1-codeforces", CODEFORCES, "print(int(input()) - 2)", "pass"),
    ("open-r1-codeforces", CODEFORCES, "print(int(input()) + 2)", "fail"),
    ("open-r1-codeforces", CODEFORCES, "print('x')", "fail"),
    ("open-r1-verifiable", VERIFIABLE, "print(2 * int(input()))", "pass"),
    ("open-r1-verifiable", VERIFIABLE, "print(3 * int(input()))", "fail"),
    ("leetcode", LEETCODE, LEETCODE["completion"], "pass"),
    ("leetcode", LEETCODE, LEETCODE["completion"].replace("return last", "return None"), "fail"),
    ("leetcode", LEETCODE, LEETCODE["completion"].replace("return last", "return 1/0"), "error"),
    ("leetcode", LEETCODE, "def turn(head): return head", "fail"),
    ("bigcodebench", BIGCODEBENCH, _DIGITS, "pass"),
    ("bigcodebench", BIGCODEBENCH, _DIGITS.replace("(0, 9)", "(1, 9)"), "fail"),
    ("bigcodebench", BIGCODEBENCH, _DIGITS.replace("(n)]", "(3)]"), "fail"),
    ("cruxeval-output", CRUXEVAL, "'BAR'", "pass"),
    ("cruxeval-output", CRUXEVAL, "assert f('bark', 3) == 'BA' + 'R'", "pass"),
    ("cruxeval-output", CRUXEVAL, "'BARK'", "fail"),
    # It would be no prediction.
    ("cruxeval-output", CRUXEVAL, "f('bark', 3)", "error"),
    ("cruxeval-input", CRUXEVAL, "f('barge', 3)", "pass"),
    ("cruxeval-input", CRUXEVAL, "assert f('BAR', n=9) == 'BAR'", "pass"),
    ("cruxeval-input", CRUXEVAL, "'bar', 3", "pass"),
    ("cruxeval-input", CRUXEVAL, "f('cat', 3)", "fail"),
    ("humaneval", HUMANEVAL_PLUS, "def third(x): return round(x / 3, 7)", "pass"),
    ("humaneval", HUMANEVAL_PLUS, "def third(x): return round(x / 3, 3)", "fail"),
    ("mbpp", MBPP_PLUS, MBPP_PLUS["code"], "pass"),
    ("mbpp", MBPP_PLUS, "def evens(xs): return (2,)", "fail"),
    ("stdio", STDIO, "print(1,  2)", "pass"),
    ("stdio", STDIO, "print(1)\nprint(2)", "fail"),
    ("stdio", {**STDIO, "comparison": "tokens"}, "print(1)\nprint(2)", "pass"),
    ("stdio", {**STDIO, "comparison": "exact"}, "print('1  2')", "fail"),
]
