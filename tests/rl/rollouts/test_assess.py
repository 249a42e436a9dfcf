"""Scores of a model on problems: samples by item, and prompts that leave no room."""

from __future__ import annotations

import pytest

from rl.problems import problem_set
from rl.rollouts.assess import AssessSettings, assess
from rl.rollouts.sampler import Sampler, chat_prompt
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sample, sample_seed
from seedbed.sandbox import Sandbox


class Parrot:
    """An engine that answers with the reference of the first problem and nonsense to the others."""

    def __init__(self, chat, answer: str):
        self.chat, self.answer = chat, answer

    def generate(self, prompts, seeds, sampling):
        self.prompts, self.seeds, self.sampling = list(prompts), list(seeds), sampling
        texts = [self.answer if i < 2 else "no" for i in range(len(prompts))]
        return [Sample(self.chat.response(text), [], True, text) for text in texts]


def test_assess_counts_samples_by_item(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    rows = [
        {"task_id": name, "prompt": "p", "code": "", "test_list": ["assert f(1) == 2"]}
        for name in ("first", "second")
    ]
    chosen = [problem_set.parse(row) for row in rows]
    engine = Parrot(chat, "def f(x):\n    return x + 1")
    how = AssessSettings(samples=2, temperature=1.0, max_tokens=16, max_length=64, seed=1)
    with Sandbox(workers=1) as sandbox:
        result = assess(Sampler(engine, sandbox, chat), chosen, how)
    assert result["pass_at"] == {"pass@1": 0.5, "pass@2": 0.5}
    assert result["reward"] == 0.5
    assert [[s["verdict"] for s in item["samples"]] for item in result["items"]] == [
        ["pass"] * 2,
        ["error"] * 2,
    ]
    assert len(set(engine.seeds)) == 4
    assert result["items"][0]["samples"][0]["completion"] == "def f(x):\n    return x + 1"


def test_a_problem_without_room_for_the_completion_is_not_asked_and_is_named(
    tokenizer_folder, capsys
):
    chat = Chat(tokenizer_folder)
    rows = [
        {"task_id": name, "prompt": words, "code": "", "test_list": ["assert f(1) == 2"]}
        for name, words in (("long", "many words " * 9), ("short", "p"), ("longer", "words " * 40))
    ]
    # Longer than the room by one token.
    rows.append({**rows[1], "task_id": "by one", "prompt": "pq"})
    rows.append(
        {
            "task_id": "rest",
            "prompt": "def f(x):\n" + '    """ Adds one. """\n' * 9,
            "entry_point": "f",
            "test": "def check(candidate):\n    assert candidate(1) == 2\n",
        }
    )
    chosen = [problem_set.parse(row) for row in rows]
    room = len(chat_prompt(chat, chosen[1]))
    assert len(chat_prompt(chat, chosen[3])) == room + 1
    engine = Parrot(chat, "def f(x):\n    return x + 1")
    how = AssessSettings(samples=2, temperature=0.7, max_tokens=16, max_length=room + 16, seed=3)
    with Sandbox(workers=1) as sandbox:
        result = assess(Sampler(engine, sandbox, chat), chosen, how)
    assert engine.prompts == [chat_prompt(chat, chosen[1])] * 2, "a prompt lost its beginning"
    assert engine.seeds == [sample_seed(3, "short", number) for number in (0, 1)]
    assert (engine.sampling.temperature, engine.sampling.max_tokens) == (0.7, 16)
    assert result["pass_at"]["pass@1"] == 1.0
    assert [item["task_id"] for item in result["items"]] == [row["task_id"] for row in rows]
    assert result["unjudged"].keys() == {"long", "longer", "by one", "rest"}
    size = len(chat_prompt(chat, chosen[0]))
    said = f"its prompt has {size} tokens, and there is room for {room + 16} - 16 = {room}"
    assert result["unjudged"]["long"] == f"unsupported: {said}"
    assert f"note: 4 of 5 problems are too long and are not asked; long: {said}" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("chat", [False, True])
def test_a_prompt_that_begins_a_program_is_continued_or_asked_in_the_chat_template(
    tokenizer_folder, chat
):
    template = Chat(tokenizer_folder)
    row = {
        "task_id": "rest",
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    }
    problem = problem_set.parse(row)
    rest = "    return x + 1\n"
    engine = Parrot(template, f"def f(x):\n{rest}" if chat else rest)
    how = AssessSettings(2, temperature=1.0, max_tokens=16, max_length=256, seed=1, chat=chat)
    with Sandbox(workers=1) as sandbox:
        result = assess(Sampler(engine, sandbox, template), [problem], how)
    plain, asked = template.plain(problem.prompt), chat_prompt(template, problem)
    assert plain != asked
    assert engine.prompts == [asked if chat else plain] * 2
    assert result["pass_at"]["pass@1"] == 1.0
