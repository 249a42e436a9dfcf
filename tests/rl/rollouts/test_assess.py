"""Scores of a model on problems: samples by item, and prompts that leave no room."""

from __future__ import annotations

from rl.problems import problem_set
from rl.rollouts.assess import AssessSettings, assess
from rl.rollouts.sampler import Sampler
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sample
from seedbed.sandbox import Sandbox


class Parrot:
    """An engine that answers with the reference of the first problem and nonsense to the others."""

    def __init__(self, chat, answer: str):
        self.chat, self.answer = chat, answer

    def generate(self, prompts, seeds, sampling):
        self.prompts, self.seeds = list(prompts), list(seeds)
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


def test_a_prompt_without_room_for_the_completion_is_cut_from_the_left(tokenizer_folder, capsys):
    chat = Chat(tokenizer_folder)
    row = {"task_id": "t", "prompt": "a long prompt", "code": "", "test_list": ["assert f() == 1"]}
    engine = Parrot(chat, "no")
    how = AssessSettings(samples=1, temperature=0.0, max_tokens=16, max_length=20, seed=1)
    with Sandbox(workers=1) as sandbox:
        problem = problem_set.parse(row)
        assess(Sampler(engine, sandbox, chat), [problem], how)
    assert engine.prompts == [chat.prompt(problem.prompt)[-4:]]
    assert "are cut from the left to 20 - 16 = 4" in capsys.readouterr().err
