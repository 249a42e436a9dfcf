"""From problems to judged samples: seeds, prompts, programs and verdicts."""

from __future__ import annotations

from rl.problems import problem_set
from rl.rollouts import rewards
from rl.rollouts.sampler import (
    STOP,
    Query,
    Rollout,
    Sampler,
    chat_prompt,
    queries,
    question,
    token_row,
)
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
    """An engine with one answer for each seed, which it cuts at the stop strings as vLLM does."""

    def __init__(self, chat, answers: dict[int, str]):
        self.chat, self.answers, self.asked = chat, answers, []

    def generate(self, prompts, seeds, sampling):
        self.asked.append((list(prompts), list(seeds), sampling))
        found = []
        for seed in seeds:
            text = self.answers[seed]
            ends = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
            cut = text[: min(ends, default=len(text))] if sampling.stop else ""
            found.append(Sample(self.chat.response(text), [-1.0], True, cut))
        return found


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


def test_each_problem_is_asked_and_cut_in_its_own_way_wherever_it_stands(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    reply = "It adds one.\n```python\nimport math\n\ndef f(x):\n    return x + 1\n```"
    rest = "    return x + 1\n\ndef g(:\n"
    engine = Scripted(chat, {5: reply, 6: rest, 7: reply, 8: rest})
    asked = [
        Query(TASKS[0], [1], 5),
        Query(REST, [2], 6, continues=True),
        Query(TASKS[1], [3], 7),
        Query(REST, [4], 8, continues=True),
    ]
    sampling = Sampling(1.0, 16, [chat.end_id])
    with Sandbox(workers=1) as sandbox:
        sampler = Sampler(engine, sandbox, chat)
        found = sampler.judge(asked, sampler.draw(asked, sampling))
    assert [(prompts, seeds) for prompts, seeds, _ in engine.asked] == [
        ([[1], [3]], [5, 7]),
        ([[2], [4]], [6, 8]),
    ]
    assert [tuple(how.stop) for *_, how in engine.asked] == [(), STOP]
    assert [(r.problem.task_id, r.prompt, r.completion) for r in found] == [
        ("first", [1], reply),
        ("H/0", [2], "    return x + 1\n"),
        ("second", [3], reply),
        ("H/0", [4], "    return x + 1\n"),
    ]
    assert [r.reward.verdict for r in found] == ["pass"] * 4


SOURCE = [
    problem_set.parse(
        {
            "task_id": name,
            "prompt": "long f(long x) {\n",
            "tests": "int main() {}\n",
            "stop_tokens": stops,
            "language": "cpp",
        }
    )
    for name, stops in (("braces", ["\n}"]), ("marks", ["\n//", "#"]), ("none", []))
]


def test_stop_texts_are_those_of_each_task_and_cut_no_other_tasks_samples(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    text = "    return x;\n}\n// end\n#\nimport a\ndef g(): pass\n"
    engine = Scripted(chat, dict.fromkeys(range(5), text))
    problems = [SOURCE[1], REST, TASKS[0], SOURCE[2], SOURCE[0]]
    asked = [Query(p, [5 + i], i, p.continues) for i, p in enumerate(problems)]
    sampler = Sampler(engine, None, chat)
    drawn = sampler.draw(asked, Sampling(0.7, 16, [chat.end_id]))
    cuts = [sampler.text(q, sample) for q, sample in zip(asked, drawn, strict=True)]
    assert cuts == [
        "    return x;\n}",
        "    return x;\n}\n// end",
        text,
        text,
        "    return x;",
    ]
    # What a chat answers with a continuation is cut by the same texts, as `sandbox run` does.
    assert rewards.program_of(SOURCE[0], text) == "    return x;"


def test_a_chat_asks_for_the_whole_function_where_the_prompt_begins_one(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    assert question(TASKS[0]) == TASKS[0].prompt
    assert "```python\ndef f(x):\n```" in question(REST)
    assert question(SOURCE[0]).startswith("Complete this C++ function.")
    assert "```cpp\nlong f(long x) {\n```" in question(SOURCE[0])
    assert chat_prompt(chat, REST) == chat.prompt(question(REST))


def test_a_record_holds_log_probabilities_to_six_places_and_the_tokens_as_they_are():
    reward = rewards.Reward(1.0, True, False, "pass", "")
    sample = Sample([7, 8], [-0.1234567, -12.00000049], False, "")
    row = token_row(Rollout(TASKS[0], [5, 6], sample, "text", reward))
    assert row == {
        "finished": False,
        "prompt_tokens": [5, 6],
        "tokens": [7, 8],
        "logprobs": [-0.123457, -12.0],
    }
