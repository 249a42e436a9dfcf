"""Samples depend on the request alone, log-probabilities are right, weights really change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.schema.rl import EngineConfig
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sampling, sample_seed
from seedbed.inference.process_engine import Engine, _environment
from tests.tiny_model import write_model


def test_a_sampling_seed_depends_on_every_part_and_on_nothing_else():
    seeds = {sample_seed(1, step, task, i) for step in range(4) for task in "ab" for i in range(4)}
    assert len(seeds) == 32
    command = "from seedbed.inference.engine import sample_seed; print(sample_seed(1, 2, 'a', 3))"
    other = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert int(other.stdout) == sample_seed(1, 2, "a", 3)


def test_the_engine_does_not_see_the_trainers_process_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "7")
    seen = _environment(EngineConfig(threads=3))
    assert not {"RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID"} & set(seen)
    assert (seen["OMP_NUM_THREADS"], seen["HF_HUB_OFFLINE"]) == ("3", "1")
    assert seen["PATH"] == os.environ["PATH"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory, tiny_model):
    with Engine(
        tiny_model, 128, EngineConfig(), tmp_path_factory.mktemp("engine") / "engine.log"
    ) as engine:
        yield engine


def reference_logprobs(folder: Path, ids: list[int]) -> list[float]:
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].float()
    return (
        torch.log_softmax(logits, -1)[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    )


@pytest.mark.slow
def test_scores_agree_with_transformers(engine, tiny_model):
    ids = Chat(tiny_model).prompt("Write a function f(xs) that returns xs.")
    assert engine.score([ids])[0] == pytest.approx(reference_logprobs(tiny_model, ids), abs=1e-4)


@pytest.mark.slow
def test_a_sample_depends_on_its_seed_and_prompt_alone(engine, tiny_model):
    chat = Chat(tiny_model)
    prompts = [chat.prompt(text) for text in ("one", "two", "three")]
    first = engine.generate(prompts, [1, 2, 3], Sampling(1.0, 12, [chat.end_id]))
    engine.generate([prompts[0]] * 5, [9] * 5, Sampling(0.7, 20, [chat.end_id]))
    assert engine.generate(prompts, [1, 2, 3], Sampling(1.0, 12, [chat.end_id])) == first
    assert engine.generate(prompts, [4, 5, 6], Sampling(1.0, 12, [chat.end_id])) != first


@pytest.mark.slow
def test_sampled_logprobs_are_those_of_the_tempered_distribution(engine, tiny_model):
    import torch
    from transformers import LlamaForCausalLM

    chat = Chat(tiny_model)
    prompt = chat.prompt("one")
    [sample] = engine.generate([prompt], [5], Sampling(0.5, 8, [chat.end_id]))
    with torch.no_grad():
        logits = LlamaForCausalLM.from_pretrained(tiny_model)(
            torch.tensor([prompt + sample.tokens])
        ).logits[0]
    tempered = torch.log_softmax(logits.float() / 0.5, -1)[len(prompt) - 1 : -1]
    expected = tempered.gather(-1, torch.tensor(sample.tokens)[:, None])[:, 0].tolist()
    assert sample.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
def test_new_weights_are_really_in_the_engine(tmp_path, tied):
    """With tied embeddings vLLM on CPU keeps the old output layer after a reload, in silence."""
    old = write_model(tmp_path / "old", tied=tied, seed=1)
    new = write_model(tmp_path / "new", tied=tied, seed=2)
    ids = Chat(old).prompt("a b c")
    with Engine(old, 128, EngineConfig(), tmp_path / "engine.log") as engine:
        before = engine.score([ids])[0]
        engine.load(new)
        after = engine.score([ids])[0]
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 0.1
    assert after == pytest.approx(reference_logprobs(new, ids), abs=1e-4)


@pytest.mark.slow
def test_a_dead_engine_is_an_error_that_names_its_log(tmp_path):
    engine = Engine(tmp_path / "nothing", 128, EngineConfig(), tmp_path / "engine.log")
    with engine, pytest.raises(SeedbedError, match="the engine ended with exit code") as caught:
        engine.score([[1, 2]])
    assert "engine.log" in caught.value.fix


@pytest.mark.slow
def test_an_engine_dies_with_the_process_that_started_it(tiny_model, tmp_path):
    program = (
        "import sys, pathlib, time\n"
        "from conf.schema.rl import EngineConfig\n"
        "from seedbed.inference.process_engine import Engine\n"
        "model, log = map(pathlib.Path, sys.argv[1:3])\n"
        "engine = Engine(model, 128, EngineConfig(), log)\n"
        "engine._receive()  # it is up\n"
        "print(engine._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(tiny_model), str(tmp_path / "engine.log")]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    engine = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{engine}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{engine}")
