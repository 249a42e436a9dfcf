"""What a model may learn: what passes by the rule of rewards, and what fits."""

from __future__ import annotations

from rl.problems import problem_set
from rl.rollouts import demonstrated
from seedbed.inference.chat import Chat
from seedbed.sandbox import Sandbox, Verdict

RIGHT = "def f(x):\n    return 2 * x"
GOOD = f"<think>\ntwice\n</think>\n\n```python\n{RIGHT}\n```\nSo:\n```\nf(2) is 4\n```"
BAD = GOOD.replace("2 * x", "3 * x")
CUT = f"<think>\n```python\n{RIGHT}\n```"


def row(task: str, **fields) -> dict:
    return {"task_id": task, "prompt": "double", "test_list": ["assert f(2) == 4"], **fields}


def test_a_response_is_learnt_where_its_program_passes(capsys):
    rows = [
        row("code", code=RIGHT),
        row("wrong", code="def f(x):\n    return x"),
        row("mixed", code=RIGHT, responses=[GOOD, BAD, CUT]),
        row("bad", responses=[BAD, CUT]),
        row("empty"),
        row("all", responses=[GOOD]),
    ]
    with Sandbox(workers=1) as sandbox:
        kept, unfit = demonstrated.verified(sandbox, rows)
    assert kept == [rows[0], {**rows[2], "responses": [GOOD]}, rows[5]]
    assert unfit.keys() == {"wrong", "bad", "empty"}
    assert unfit["bad"].startswith("no demonstration of it passes: fail")
    assert unfit["empty"] == "it has neither a solution nor a response"
    assert "4 of 7 demonstrations do not pass" in capsys.readouterr().err


class Struck:
    """A sandbox that is struck once: the first verdict on each text of `outages` is none."""

    def __init__(self, *outages: str):
        self.left = list(outages)

    def run(self, jobs):
        found = []
        for job in jobs:
            lost = next((one for one in self.left if one in str(job.program)), None)
            self.left = [one for one in self.left if one != lost]
            outcome = "infrastructure" if lost else "pass"
            found.append(Verdict(job.task_id, outcome, "killed", 0.0, 0.0, 0))
        return found


def test_an_outage_leaves_no_demonstration_out():
    rows = [row("one", responses=[GOOD]), row("other", responses=[GOOD.replace("x", "y")])]
    kept, unfit = demonstrated.verified(Struck("2 * y"), rows)
    assert kept == rows
    assert unfit == {}


def test_a_demonstration_that_does_not_fit_is_left_out_with_its_reason(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    short = "def f(x): return 2 * x"
    problems = [
        problem_set.parse(row("both", responses=[short, GOOD])),
        problem_set.parse(row("none", code=GOOD)),
        problem_set.parse(row("fits", code=short)),
    ]
    room = len(chat.prompt(problems[0].prompt)) + len(chat.response(short))
    kept, reasons = demonstrated.short(problems, chat, room)
    assert [(p.task_id, p.demonstrations) for p in kept] == [("both", (short,)), ("fits", (short,))]
    long = room - len(chat.response(short)) + len(chat.response(GOOD))
    told = f"demonstrations have up to {long} tokens with their prompt, max_length={room}"
    assert reasons == {"both": f"1 of its 2 {told}", "none": f"1 of its 1 {told}"}
    assert [p.task_id for p in demonstrated.short(problems, chat, long)[0]] == [
        "both",
        "none",
        "fits",
    ]
    # The reason tells the longest of those that are left out.
    longer = f"{GOOD}\nIt is twice the number."
    two = problem_set.parse(row("two", responses=[longer, GOOD]))
    kept, reasons = demonstrated.short([two], chat, room)
    most = room - len(chat.response(short)) + len(chat.response(longer))
    assert kept == []
    assert reasons["two"].startswith(f"2 of its 2 demonstrations have up to {most} tokens")
