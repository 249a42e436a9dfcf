"""A server as the engine: an outage loses no sample, doubles none and changes none."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import DpoConfig, EngineConfig, GrpoConfig
from rl import serve
from seedbed.inference.engine import Sampling
from seedbed.inference.http_engine import HttpEngine
from tests.rl.http_server import State, serving

PROMPTS = [[i, i + 1] for i in range(40)]
SEEDS = [1000 + i for i in range(40)]


def engine_at(url: str, **fields) -> HttpEngine:
    return HttpEngine(EngineConfig(url=url, max_sequences=8, **fields))


def tokens(engine: HttpEngine) -> list[int]:
    return [sample.tokens[0] for sample in engine.generate(PROMPTS, SEEDS, Sampling(1.0, 4))]


def expected(weights: str) -> list[int]:
    return [
        sum(map(ord, weights)) + sum(prompt) + seed
        for prompt, seed in zip(PROMPTS, SEEDS, strict=True)
    ]


def test_samples_come_in_the_order_of_the_prompts_each_from_its_seed():
    with serving(State()) as url:
        assert tokens(engine_at(url)) == expected("first")


def test_a_server_that_dies_in_the_middle_of_answers_costs_no_sample():
    state = State()
    state.fault = lambda number: "cut" if number in (0, 7, 8, 9, 30) else ""
    with serving(state) as url:
        assert tokens(engine_at(url)) == expected("first")
    # each lost answer was asked for once more, no other
    assert state.completions == len(PROMPTS) + 5


def test_a_server_that_restarts_is_given_the_present_weights_and_samples_are_drawn_anew():
    state = State()
    with serving(state) as url:
        engine = engine_at(url)
        engine.load(Path("/policy"))
        engine.named("step 7", lambda: engine.load(Path("/policy")))
        state.fault = lambda number: "restart" if number == 20 else ""
        assert tokens(engine) == expected("/policy")
        assert state.loads == 2
        assert state.version == "step 7"


@pytest.mark.slow
def test_a_server_that_loses_its_weights_again_and_again_is_an_error():
    state = State()
    with serving(state) as url:
        engine = engine_at(url)
        engine.named("step 7", lambda: None)
        state.fault = lambda number: "restart" if number % 20 == 0 else ""
        with pytest.raises(SeedbedError, match="lost its weights 5 times"):
            tokens(engine)


def test_a_server_that_is_away_for_a_while_is_waited_for_and_one_that_stays_away_is_an_error():
    state = State()
    with serving(state) as url:
        port = int(url.rsplit(":", 1)[1])
        engine = engine_at(url)
        tokens(engine)
    found: list[list[int]] = []
    asking = threading.Thread(target=lambda: found.append(tokens(engine)))
    asking.start()
    time.sleep(0.5)
    with serving(state, port):
        asking.join()
    assert found == [expected("first")]
    with pytest.raises(
        SeedbedError, match=r"has not answered for engine.patience_s=1 seconds"
    ) as caught:
        tokens(engine_at(url, patience_s=1))
    assert "goes on from its last checkpoint" in caught.value.fix


def test_a_request_that_the_server_refuses_is_not_tried_again():
    state = State()
    state.fault = lambda number: "refuse"
    with (
        serving(state) as url,
        pytest.raises(SeedbedError, match=r"v1/completions answers 400: .*too long"),
    ):
        tokens(engine_at(url))


def test_settings_that_cannot_work_are_refused():
    for schema, overrides, said in (
        (GrpoConfig, ["engine.transfer=nccl"], "engine.transfer=nccl without engine.url"),
        (GrpoConfig, ["engine.transfer=ipc"], "engine.transfer='ipc' is unknown"),
        (GrpoConfig, ["engine.dtype=fp32"], "engine.dtype='fp32' is unknown"),
        (
            DpoConfig,
            ["engine.url=http://x:1", "engine.transfer=nccl"],
            "engine.transfer=nccl: rl.dpo samples one model",
        ),
    ):
        with pytest.raises(SeedbedError, match=said):
            load(schema, None, overrides)


def test_the_servers_command_line_says_what_our_own_process_is_given():
    line = serve.command(Path("/m"), 64, EngineConfig(transfer="nccl"), "127.0.0.1", "8000")
    text = " ".join(line)
    assert "--max-model-len 64 " in text
    assert "--no-enable-chunked-prefill" in line
    assert "--logprobs-mode processed_logprobs" in text
    assert line[line.index("--weight-transfer-config") + 1] == '{"backend": "nccl"}'
    with pytest.raises(SeedbedError, match=r"holds no config.json"):
        serve.main(["--model", "/nowhere", "--max-length", "64"])
