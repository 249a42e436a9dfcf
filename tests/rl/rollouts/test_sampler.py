"""From problems to judged samples: seeds, prompts, programs and verdicts."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from rl.problems import problem_set
from rl.rollouts.sampler import Query, Sampler, program, queries, short_prompt
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sample, Sampling, sample_seed
from seedbed.sandbox import Sandbox

TASKS = [
    problem_set.parse(
        {"task_id": name, "prompt": "p", "code": "", "test_list": ["assert f(1) == 2"]}
    )
    for name in ("first", "second")
]
REST = problem_set.parse(
    {
        "task_id": "H/0",
        "prompt": "def f(x):\n",
        "canonical_solution": "    return 1 + x\n",
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    }
)


class Scripted:
    """An engine with one answer for each prompt."""

    def __init__(self, *answers: Sample):
        self.answers, self.asked = answers, []

    def generate(self, prompts, seeds, sampling):
        self.asked.append((list(prompts), list(seeds), sampling))
        return list(self.answers)


def test_queries_of_a_problem_stand_side_by_side_and_their_seeds_depend_on_task_and_number():
    asked = queries(TASKS, 2, lambda problem: [len(problem.task_id)], 7, 3)
    assert [(q.problem.task_id, q.prompt) for q in asked] == [
        ("first", [5]),
        ("first", [5]),
        ("second", [6]),
        ("second", [6]),
    ]
    assert [q.seed for q in asked] == [
        sample_seed(7, 3, task, number) for task in ("first", "second") for number in (0, 1)
    ]
    alone = queries(TASKS[1:], 2, lambda problem: [6], 7, 3)
    assert alone == asked[2:], "another problem beside it changes a draw"


def test_a_reply_is_judged_by_its_fenced_program_and_a_continuation_with_its_prompt(
    tokenizer_folder,
):
    chat = Chat(tokenizer_folder)
    reply = "It adds one.\n```python\ndef f(x):\n    return x + 1\n```"
    # A stop string cut the engine's text of the second one, but not its tokens.
    engine = Scripted(
        Sample(chat.response(reply), [-1.0], True, "not this"),
        Sample(chat.response("    return x + 1\n\ndef g"), [-1.0], True, "    return x + 1\n"),
    )
    asked = [Query(TASKS[0], [1], 5), Query(REST, [2], 6, continues=True)]
    sampling = Sampling(1.0, 16, [chat.end_id])
    with Sandbox(workers=1) as sandbox:
        sampler = Sampler(engine, sandbox, chat)
        found = sampler.judge(asked, sampler.draw(asked, sampling))
    assert engine.asked == [([[1], [2]], [5, 6], sampling)]
    assert [(r.problem, r.prompt, r.completion) for r in found] == [
        (TASKS[0], [1], reply),
        (REST, [2], "    return x + 1\n"),
    ]
    assert [r.reward.verdict for r in found] == ["pass", "pass"]
    assert program(asked[1], found[1].completion) == "def f(x):\n    return x + 1\n"


def test_a_prompt_that_is_too_long_is_named(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    length = len(chat.prompt("p"))
    assert short_prompt(chat, TASKS[0], length) == chat.prompt("p")
    with pytest.raises(SeedbedError, match=f"prompt of first has {length} tokens, max_prompt=2"):
        short_prompt(chat, TASKS[0], 2)
