"""Chains of thought: only correct responses of a teacher become demonstrations.

The teacher is behind real HTTP, or is a file.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.schema.ask import DistillConfig
from rl import distill, sft
from rl.problems import problem_set
from rl.rollouts import reasoning, rewards
from seedbed.inference.chat import Chat
from seedbed.inference.endpoint import Answer
from seedbed.queries.certify import hashes
from seedbed.sandbox import Verdict
from seedbed.tables import writer
from tests.fake_endpoint import completion
from tests.rl.rollouts.test_extraction import FUNCTIONS

ROOT = Path(__file__).parents[2]


def response(n: int, right: bool = True) -> str:
    program = f"def add_{n}(x):\n    return x {'+' if right else '-'} {n}"
    draft = f"A draft:\n```python\ndef add_{n}(x):\n    pass\n```"
    return f"<think>\n{draft}\n</think>\nSo:\n```python\n{program}\n```"


def write_problems(folder: Path, count: int) -> Path:
    """Problem n asks for a function that adds n.

    Number 6 has a solution that fails its own tests.
    """
    rows = [
        {"task_id": n, "prompt": f"Write add_{n}.", "test_list": [f"assert add_{n}(1) == {n + 1}"]}
        for n in range(count)
    ]
    if count > 6:
        rows[6]["code"] = "def add_6(x):\n    return x"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "problems.jsonl"


class Teacher:
    """Solves problem 0 at once and problem 1 at the third attempt.

    Each other problem fails in its own way.
    """

    def __init__(self):
        self.asked: Counter[int] = Counter()

    def __call__(self, _: int, prompt: str):
        n = int(re.search(r"Write add_(\d+)", prompt)[1])
        self.asked[n] += 1
        answers = {
            1: response(1, right=self.asked[1] > 2),
            2: response(2).replace("</think>", ""),
            3: "<think>\nhm\n</think>\nNo program.",
            4: response(4).replace("A draft", "A very long draft " * 400),
        }
        if n == 5:
            return 400, {"error": {"message": "too long"}}
        # This server sends thought and answer apart.
        if n == 7:
            thought, answer = response(7).removeprefix("<think>\n").split("\n</think>\n")
            status, reply = completion(answer)
            reply["choices"][0]["message"]["reasoning_content"] = thought
            return status, reply
        return completion(answers.get(n, response(n)))


ENDS = {0: [None], 1: ["wrong", "wrong", None], 6: ["unfit_problem"], 7: [None]} | {
    n: [reason] * 3
    for n, reason in ((2, "no_reasoning"), (3, "no_program"), (4, "too_long"), (5, "refused"))
}


def arguments(out: Path, source: Path, base: Path, *more: str) -> list[str]:
    told = [
        f"output={out}",
        f"problems={source}",
        f"base={base}",
        "samples=3",
        "max_length=2000",
        "sandbox.workers=1",
    ]
    return [*told, "commit_every=3", *more]


def asked_of(url: str) -> tuple[str, ...]:
    limits = ("endpoint.retries=0", "endpoint.concurrency=1")
    return ("source=endpoint", f"endpoint.url={url}", "model=m", *limits)


def ends(out: Path) -> dict[int, list[str | None]]:
    found: dict[int, list[str | None]] = {}
    for row in writer.rows(out / "tables/demonstrations", ["task_id", "place"]):
        found.setdefault(int(row["task_id"]), []).append(row["reason"])
    return found


def test_each_response_is_kept_or_has_its_reason_and_a_solved_problem_is_asked_no_more(
    serve, tmp_path, tokenizer_folder, capsys
):
    fake = serve(Teacher())
    source = write_problems(tmp_path, 8)
    assert distill.main(arguments(tmp_path, source, tokenizer_folder, *asked_of(fake.url))) == 0
    assert ends(tmp_path) == ENDS
    assert "18 responses to 8 problems, 3 of them solved" in capsys.readouterr().out
    kept = [
        row
        for row in writer.rows(tmp_path / "tables/demonstrations", ["task_id"])
        if row["reason"] is None
    ]
    assert [row["response"] for row in kept] == [
        reasoning.normalised(response(n)) for n in (0, 1, 7)
    ]
    assert {row["verdict"] for row in kept} == {"pass"}


def test_the_table_is_learnt_thought_and_all_and_its_solutions_are_those_that_passed(
    serve, tmp_path, tokenizer_folder
):
    source = write_problems(tmp_path, 8)
    more = asked_of(serve(Teacher()).url)
    assert distill.main(arguments(tmp_path, source, tokenizer_folder, *more, "per_problem=2")) == 0
    found = problem_set.read(tmp_path / "tables/demonstrations")
    assert [problem.task_id for problem in found] == ["0", "1", "7"]
    assert [len(problem.responses) for problem in found] == [2, 1, 2]
    assert found[1].code == "def add_1(x):\n    return x + 1\n"
    chat = Chat(tokenizer_folder)
    examples = sft.demonstrations(found, chat, 2000)
    assert [chat.decode(list(example.response)) for example in examples] == [
        reasoning.normalised(response(n)) for n in (0, 0, 1, 7, 7)
    ]


def test_a_run_that_was_cut_short_asks_nothing_twice_and_ends_in_the_same_table(
    serve, tmp_path, tokenizer_folder
):
    source = write_problems(tmp_path, 8)
    undisturbed = serve(Teacher())
    distill.main(
        arguments(tmp_path / "whole", source, tokenizer_folder, *asked_of(undisturbed.url))
    )
    teacher = Teacher()
    down = serve(lambda n, p: (500, {"error": "down"}) if n >= 9 else teacher(n, p))
    with pytest.raises(SeedbedError, match="http 500"):
        distill.main(arguments(tmp_path / "part", source, tokenizer_folder, *asked_of(down.url)))
    again = serve(teacher)
    distill.main(arguments(tmp_path / "part", source, tokenizer_folder, *asked_of(again.url)))
    assert hashes(str(tmp_path / "part"), ("demonstrations",)) == hashes(
        str(tmp_path / "whole"), ("demonstrations",)
    )
    assert Counter(down.prompts[:9]) + Counter(again.prompts) == Counter(undisturbed.prompts)


def test_a_prompt_that_begins_a_function_is_asked_in_words_and_its_answer_is_learnt(
    serve, tmp_path, tokenizer_folder
):
    row = {
        "task_id": "H/7",
        "prompt": 'import math\n\n\ndef up(x):\n    """ The next whole number. """\n',
        "canonical_solution": "    return math.ceil(x)\n",
        "entry_point": "up",
        "test": "def check(candidate):\n    assert candidate(2.5) == 3\n",
    }
    (tmp_path / "problems.jsonl").write_text(json.dumps(row) + "\n")
    # The answer relies on the prompt's import, as its completions may.
    answer = "<think>\nceil\n</think>\n```python\ndef up(x):\n    return math.ceil(x)\n```"
    fake = serve(lambda n, prompt: completion(answer))
    told = arguments(tmp_path, tmp_path / "problems.jsonl", tokenizer_folder, *asked_of(fake.url))
    assert distill.main(told) == 0
    assert "Complete this Python function." in fake.prompts[0]
    [row] = writer.rows(tmp_path / "tables/demonstrations", ["task_id"])
    assert (row["reason"], row["verdict"], row["detail"]) == (None, "pass", "")
    [problem] = problem_set.read(tmp_path / "tables/demonstrations")
    chat = Chat(tokenizer_folder)
    [example] = sft.demonstrations([problem], chat, 2000)
    assert "Complete this Python function." in chat.decode(list(example.prompt))
    assert chat.decode(list(example.response)) == reasoning.normalised(answer)


@pytest.mark.slow
def test_a_run_that_is_killed_ends_in_the_same_table(serve, tmp_path, tokenizer_folder):
    source = write_problems(tmp_path, 8)
    distill.main(
        arguments(tmp_path / "whole", source, tokenizer_folder, *asked_of(serve(Teacher()).url))
    )
    running: list[subprocess.Popen] = []
    teacher = Teacher()

    def deadly(number, prompt):
        if number in (4, 12):
            os.kill(running[-1].pid, signal.SIGKILL)
            return 500, {}
        return teacher(number, prompt)

    command = [sys.executable, "-m", "rl.distill"]
    command += arguments(tmp_path / "part", source, tokenizer_folder, *asked_of(serve(deadly).url))
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        running.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))
        codes.append(running[-1].wait(300))
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert hashes(str(tmp_path / "part"), ("demonstrations",)) == hashes(
        str(tmp_path / "whole"), ("demonstrations",)
    )


def test_responses_of_a_file_are_judged_in_its_order(tmp_path, tokenizer_folder, capsys):
    source = write_problems(tmp_path, 3)
    lines = [
        (1, response(1, right=False)),
        (0, response(0)),
        (1, response(1)),
        (9, response(9)),
        (0, response(0)),
    ]
    (tmp_path / "traces.jsonl").write_text(
        "".join(json.dumps({"task_id": t, "response": r}) + "\n" for t, r in lines)
    )
    told = arguments(
        tmp_path, source, tokenizer_folder, "source=file", f"traces={tmp_path / 'traces.jsonl'}"
    )
    assert distill.main(told) == 0
    assert ends(tmp_path) == {0: [None], 1: ["wrong", None], 2: ["refused"]}
    assert "1 responses of" in capsys.readouterr().out
    assert distill.main(told) == 0
    assert ends(tmp_path) == {0: [None], 1: ["wrong", None], 2: ["refused"]}
    with pytest.raises(SeedbedError, match="reasoning was True, is False"):
        distill.main([*told, "reasoning=false"])
    source.write_text(source.read_text().replace("Write add_0", "Write another add_0"))
    with pytest.raises(SeedbedError, match="problem 0 has another text than when it was asked"):
        distill.main(told)


@pytest.mark.parametrize(
    ("traces", "message"),
    [
        ('{"task_id": 1}\n', r"traces\.jsonl:1 has no task_id with a text"),
        (
            '{"task_id": 1, "response": "a"}\n{"task_id": 1, "resp',
            r"traces\.jsonl:2 is not JSON",
        ),
        ('{"task_id": 1, "response": 3}\n', r"traces\.jsonl:1 has no task_id with a text"),
        ("[1]\n", r"traces\.jsonl:1 is no JSON object"),
        (b"\xff\n", r"traces\.jsonl:1 is not JSON"),
    ],
)
def test_a_file_of_responses_that_cannot_be_read_is_refused_with_the_line(
    tmp_path, tokenizer_folder, traces, message
):
    (tmp_path / "traces.jsonl").write_bytes(
        traces if isinstance(traces, bytes) else traces.encode()
    )
    told = ("source=file", f"traces={tmp_path / 'traces.jsonl'}")
    with pytest.raises(SeedbedError, match=message):
        distill.main(arguments(tmp_path, write_problems(tmp_path, 2), tokenizer_folder, *told))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["source=file"], "but traces=''"),
        (["traces=x"], "but traces='x'"),
        (["source=letter"], "is unknown"),
        (["per_problem=9", "model=m"], "cannot come from samples=4"),
        (["model=m"], "problems is empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(SeedbedError, match=message):
        distill.main(settings)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("an answer", "no </think>"),
        ("```python\nx = 1\n```\nI need no </think> tag.", "no </think>"),
        ("<think>\n</think>\nanswer", "an empty thought"),
        ("<think>\nthought\n</think>\n ", "nothing after"),
        ("<think>a</think>b<think>c</think>d", "more than one"),
        ("<think>a</think>b</think>c", "more than one"),
        ("<think>a<think>b</think>c", "more than one"),
        ("<think>a</think>b<think>c", "more than one"),
    ],
)
def test_a_response_is_one_thought_and_an_answer(text, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        reasoning.normalised(text)


def test_a_template_may_have_opened_the_thought():
    assert reasoning.normalised("thought</think> answer") == "<think>\nthought\n</think>\n\nanswer"
    assert reasoning.answer_of("thought</think> answer") == " answer"
    assert reasoning.answer_of("<think> for ever") == ""
    assert reasoning.answer_of("answer") == "answer"
    doubled = "<think>\n<think>\nthought\n</think>\n</think>\nanswer"
    assert reasoning.normalised(doubled) == "<think>\nthought\n</think>\n\nanswer"


OUTPUT = "```\n2\n```"


class Dates:
    """A sandbox that cannot judge what has to do with dates."""

    def run(self, jobs):
        found = []
        for job in jobs:
            outcome = "unsupported" if "date" in str(job.program) else "pass"
            found.append(Verdict(job.task_id, outcome, "a date", 0.0, 0.0, 0))
        return found


def test_an_answer_that_cannot_be_judged_is_a_row_with_its_reason(tokenizer_folder):
    problem = problem_set.parse({"task_id": "d", "prompt": "p", "test_list": ["assert f(1) == 2"]})
    texts = ["import datetime\ndef f(x): return x + 1", "def f(x): return x + 1"]
    answered = [
        (problem, Answer("", f"<think>\na\n</think>\n```python\n{text}\n```\n{OUTPUT}", "", 0, 0))
        for text in texts
    ]
    cfg = DistillConfig(max_length=10_000)
    found = distill.judge(answered, Dates(), Chat(tokenizer_folder), cfg)
    assert [row["reason"] for row in found] == ["no_verdict", None]
    assert [row["program"].rstrip("\n") for row in found] == texts


def test_what_a_kept_response_teaches_is_what_its_program_is_rewarded_for(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    problem = problem_set.parse({"task_id": "d", "prompt": "p", "test_list": ["assert f(1) == 2"]})
    for reply in FUNCTIONS.values():
        text = reply if "think" in reply else f"<think>\nhm\n</think>\n\n{reply}"
        [row] = distill.judge(
            [(problem, Answer("", text, "", 0, 0))], Dates(), chat, DistillConfig(max_length=10_000)
        )
        if row["reason"] == "no_reasoning":
            continue
        learnt = chat.decode(chat.response(row["response"]))
        assert row["program"] == rewards.program_of(problem, learnt) != ""
