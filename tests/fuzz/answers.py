"""Answers of models: a rating, a grade, tests, a program, thoughts."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from rl.rollouts.extraction import extract_program, quoted_answer
from rl.synthesis import answers
from seedbed.inference import thoughts
from seedbed.sandbox.comparison import judge_output
from seedbed.sandbox.verdict import Rule
from spark_jobs.quality import rating
from tests.fuzz.boundary import Boundary
from tests.fuzz.mutations import damaged, odd_texts

_GRADES = " ".join(f"{name}=7" for name in rating.ASPECTS)
_PIECES = (
    f"RATING {_GRADES} zero=none overall=7", f"RATING {_GRADES} zero=data overall=0",
    "CORRECTNESS 7", "DIFFICULTY 3 TOPIC graphs", "```python\n", "```\n", "~~~\n", "\n", "\u2028",
    "assert f(1) == 2\n", "assert f([1], {2: 3}) == (1, 2)\n", "def f(x):\n    return x\n",
    "<think>", "</think>", "[THINK]", "[/THINK]", "`<think>`", "[ANSWER]", "[/ANSWER]", "<answer>",
    ">>> f(1)\n", "... ", "class A:\n    pass\n", "import os\n", "Sure, here it is:\n",
    "'''", '"""',
    "# ", "    ", "\t", "\\", "lambda: " * 3000, "x." * 5000, "f(" * 150, "not " * 5000,
    "```python\n" * 300, "a = " * 4000, "`" * 4000, "if x:\n" * 120,
)  # fmt: skip
_texts = st.lists(st.sampled_from(_PIECES) | odd_texts(), max_size=12).map("".join)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _read(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found = rating.parse(text)
    if isinstance(found, rating.Rating):
        assert 0 <= found.score <= 10
        assert all(0 <= grade <= 10 for grade in found.aspects)
        assert (found.zero_reason != "") == (found.score == 0)
    else:
        assert found
    grade = answers.correctness(text)
    assert isinstance(grade, answers.Fault) or 0 <= grade <= 10
    level = answers.difficulty(text)
    assert isinstance(level, answers.Fault) or 1 <= level[0] <= 10
    for step in ("judge", "difficulty", "tests", "repair"):
        assert answers.form(step, text[:2000], 700)
    tests = answers.tests(text, 2)
    assert isinstance(tests, answers.Fault) or len(set(tests)) >= 2
    both = answers.repair(text, 2)
    assert isinstance(both, answers.Fault) or len(both[1]) >= 2
    answers.task(text)
    answers.program(text)
    answers.stub(text)
    quoted_answer(text)
    for names in ((), ("f",)):
        assert isinstance(extract_program(text, names, script=not names), str)
    outside = thoughts.outside(text)
    assert len(outside) <= len(text)


ANSWERS = Boundary(
    "answers",
    damaged(_texts.map(_encoded)),
    _read,
    tuple(map(_encoded, _PIECES[:4])),
    (),
)
_RULES = get_args(Rule)
_WORDS = (
    "1", "2.0", "1.5", "-0", "1e400", "-1e-400",
    "1e99999999999999999999", "1e-99999999999999999999",
    "nan", "sNaN", "Infinity", "1_0", "٣", "yes", "YES", "ß", "9" * 300, ".", "+.5", "1.", "0x1",
    "\n", " ", "\t", "\r\n", "\x1c", "\u2028", "NO",
)  # fmt: skip
_printed = st.lists(st.sampled_from(_WORDS) | st.text(max_size=4), max_size=8).map(" ".join)


def _read_output(data: bytes) -> None:
    """What was expected and what a program printed, with a NUL between, under every rule."""
    expected, _, printed = data.decode("utf-8", "replace").partition("\0")
    for rule in _RULES:
        outcome, why = judge_output(expected, rule, printed)
        assert (outcome == "pass") == (why == "")
        assert outcome == "pass" or expected != printed
        assert judge_output(expected, rule, expected) == ("pass", "")


OUTPUTS = Boundary(
    "outputs",
    damaged(st.tuples(_printed, _printed).map("\0".join).map(_encoded), most=1),
    _read_output,
    (b"1.0 2\n\0" + b"1 2\n",),
    (),
)
BOUNDARIES = (ANSWERS, OUTPUTS)
