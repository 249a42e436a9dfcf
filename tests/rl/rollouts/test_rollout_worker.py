"""What a step asks of the engine: the samples, lengths and temperature of its stage."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from conf.loader import load
from conf.schema.rl import GrpoConfig
from rl.problems import problem_set
from rl.rollouts import rollout_worker
from rl.rollouts.rollout_worker import RolloutWorker
from rl.rollouts.sampler import chat_prompt
from seedbed.inference.chat import Chat
from seedbed.inference.engine import AnyEngine, Sample

SETTINGS = [
    "earlier_stages=[{steps: 2, samples: 3, max_response: 8}, "
    "{steps: 1, samples: 2, max_response: 16}]",
    *("steps=5", "samples=4", "max_response=24", "temperature=0.7", "rollout_lag=1", "seed=6"),
]
PROBLEMS = [
    problem_set.parse({"task_id": task, "prompt": f"p{task}", "test_list": ["assert f() == 1"]})
    for task in "ab"
]


class Noting(AnyEngine):
    """Answers every prompt by the same token, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def generate(self, prompts, seeds, sampling):
        self.asked.append((list(prompts), list(seeds), sampling))
        return [Sample([len(self.asked)], [-0.5], True, "") for _ in prompts]

    def score(self, *_): ...
    def call(self, *_): ...
    def forget(self): ...


@pytest.fixture
def engine(monkeypatch):
    noting = Noting()
    monkeypatch.setattr(rollout_worker, "open_engine", lambda *_: nullcontext(noting))
    monkeypatch.setattr(rollout_worker.Sandbox, "of", lambda _: nullcontext(None))
    return noting


@pytest.fixture
def worker(engine, tokenizer_folder, tmp_path):
    cfg = load(GrpoConfig, None, SETTINGS)
    with RolloutWorker(cfg, tokenizer_folder, Chat(tokenizer_folder), PROBLEMS, tmp_path) as made:
        yield made


def test_each_step_samples_as_its_stage_says(worker, engine, tokenizer_folder):
    chat = Chat(tokenizer_folder)
    for step in range(6):
        worker.sample(PROBLEMS, step)
    found = [(sampling.max_tokens, len(prompts) // 2) for prompts, _, sampling in engine.asked]
    assert found == [(8, 3), (8, 3), (16, 2), (24, 4), (24, 4), (24, 4)]
    assert {(one.temperature, *one.stop_ids) for *_, one in engine.asked} == {(0.7, chat.end_id)}
    prompts, _, _ = engine.asked[2]
    assert prompts == [chat_prompt(chat, problem) for problem in PROBLEMS for _ in range(2)]
    seeds = [seed for _, seeds, _ in engine.asked for seed in seeds]
    assert len(set(seeds)) == len(seeds)


def test_samples_drawn_ahead_are_those_of_their_own_step_and_stage(worker, engine):
    worker.sample_ahead(PROBLEMS, 2)
    assert [worker.has_drawn(step) for step in (1, 2, 3)] == [False, True, False]
    ahead = worker.sample(PROBLEMS, 2)
    assert not worker.has_drawn(2)
    now = worker.sample(PROBLEMS, 2)
    assert [len(asked[0]) for asked in engine.asked] == [4, 4]
    assert engine.asked[0] == engine.asked[1]
    assert [one.sample.tokens for _, one in ahead] == [[1]] * 4
    assert [one.sample.tokens for _, one in now] == [[2]] * 4
    # What was drawn for another step is drawn again.
    worker.sample_ahead(PROBLEMS, 1)
    assert worker.drawn_ahead()["step"] == 1
    assert [one.sample.tokens for _, one in worker.sample(PROBLEMS, 3)] == [[4]] * 8
    assert engine.asked[2][2].max_tokens == 8
    assert engine.asked[3][2].max_tokens == 24


def test_what_was_drawn_ahead_goes_through_a_checkpoint(worker, engine):
    assert worker.drawn_ahead() is None
    worker.sample_ahead(PROBLEMS, 3)
    kept = worker.drawn_ahead()
    first = worker.sample(PROBLEMS, 3)
    worker.restore(kept)
    assert worker.sample(PROBLEMS, 3) == first
    assert len(engine.asked) == 1
