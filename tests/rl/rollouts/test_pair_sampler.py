"""Preference pairs from the samples of a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conf.errors import SeedbedError
from conf.schema.rl import DpoConfig, EngineConfig, SandboxConfig
from rl.problems import problem_set
from rl.rollouts.pair_sampler import PairSampler, SamplesRecord
from rl.training.run_tables import StageTables
from rl.weight_sync import sync
from seedbed.inference.chat import Chat
from tests.rl.http_server import State, serving

ROWS = [
    {
        "task_id": f"add {n}",
        "prompt": f"add {n}",
        "code": f"def f(x):\n    return x + {n}",
        "test_list": [f"assert f(1) == {1 + n}"],
    }
    for n in (1, 2)
]


class Server(State):
    """Answers odd seeds with a program that adds one, and all others with no program.

    After a restart no answer is a program.
    """

    def __init__(self, base: Path):
        super().__init__()
        self.base, self.chat = str(base.resolve()), Chat(base)
        self.sums = sync.sums_of_folder(base, "float32")
        self.sums["lm_head.weight"] = self.sums["model.embed_tokens.weight"]

    def answer(self, route: str, body: dict[str, Any]) -> Any:
        if route != "/v1/completions":
            return super().answer(route, body)
        ours = self.weights == self.base and body["seed"] % 2
        ids = self.chat.response("def f(x):\n    return x + 1" if ours else "no")
        logprobs = {"token_logprobs": [-1.0] * len(ids)}
        return {
            "choices": [
                {"token_ids": ids, "logprobs": logprobs, "finish_reason": "stop", "text": ""}
            ]
        }


def made(base: Path, out: Path, url: str) -> list[dict[str, Any]]:
    """The pairs."""
    cfg = DpoConfig(
        output=str(out),
        samples=8,
        max_response=64,
        engine=EngineConfig(url=url),
        sandbox=SandboxConfig(workers=1),
    )
    read = [(row, problem_set.parse(row)) for row in ROWS]
    record = SamplesRecord(out / "rl/dpo", "data", StageTables(str(out), "dpo", {}))
    with PairSampler(cfg, base, Chat(base), read, record) as sampler:
        while sampler.advance():
            pass
    return [json.loads(line) for line in (out / "rl/dpo/pairs.jsonl").read_text().splitlines()]


def test_a_server_is_given_the_model_that_is_sampled_and_again_when_it_loses_it(
    tiny_model, tmp_path
):
    state = Server(tiny_model)
    state.fault = lambda number: "restart" if number == 5 else ""
    with serving(state) as url:
        pairs = made(tiny_model, tmp_path, url)
    assert state.loads == 2
    # No sample solves "add 2".
    assert {pair["task_id"] for pair in pairs} == {"add 1"}
    assert {pair["chosen"] for pair in pairs} == {"def f(x):\n    return x + 1"}


def test_a_server_that_computes_with_other_weights_is_refused_before_it_samples(
    tiny_model, tmp_path
):
    state = Server(tiny_model)
    state.sums["model.norm.weight"] = "0" * 16
    with (
        serving(state) as url,
        pytest.raises(
            SeedbedError, match=r"the first is model.norm.weight: trainer \w+, engine 0000"
        ),
    ):
        made(tiny_model, tmp_path, url)
    assert state.completions == 0
