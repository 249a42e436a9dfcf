"""Trainer to engine: the engine computes with the trainer's weights.

The engine is a process beside the trainer, or a server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conf.errors import SeedbedError
from conf.schema.pretrain import OptimConfig, ParallelConfig
from conf.schema.rl import EngineConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.parallel import processes
from megatron_train.training.step import build
from rl import serve
from rl.weight_sync import nccl
from rl.weight_sync.sync import WeightSync
from seedbed.inference import checksums, process_engine, vllm_settings
from seedbed.inference.chat import Chat
from seedbed.inference.checksums import Sums
from seedbed.inference.engine import AnyEngine, Sampling
from seedbed.inference.http_engine import HttpEngine
from seedbed.inference.process_engine import Engine
from tests.tiny_model import write_model

# The engine as it would be without our repair: vLLM reloads tied embeddings and keeps its old,
# repacked output layer.
KEEPS_OLD_HEAD = """
from seedbed.inference import engine_process, worker_extension
worker_extension.Extension.seedbed_repack = lambda self: None
engine_process.main()
"""
KEEPS_PREFIXES = """
from seedbed.inference import engine_process
engine_process.Server.do_forget = lambda self: {}
engine_process.main()
"""


def sums_of(folder: Path) -> Sums:
    sums = Sums("float32")
    for name, tensor in load_file(folder / "model.safetensors").items():
        sums.add(name, tensor)
    return sums


@pytest.fixture
def state(tmp_path) -> Iterator:
    """A trainer of one process with the weights of a folder that stands at state.folder."""
    folder = write_model(tmp_path / "trained", seed=2)
    model, vocab_size = hf_config.model_config(folder)
    processes.start(ParallelConfig(), seed=1)
    found = build(model, vocab_size, ParallelConfig(), OptimConfig(), "fp32", seed=1)
    hf_import.load_weights(found, folder)
    found.folder = folder  # type: ignore[attr-defined]
    yield found
    processes.stop()


def test_the_transfer_over_nccl_refuses_a_machine_without_a_gpu_and_says_what_works_there(
    state, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        SeedbedError, match=r"engine.transfer=nccl, but this process sees no CUDA device"
    ) as caught:
        WeightSync(
            EngineConfig(url="http://127.0.0.1:1", transfer="nccl"), None, Path("x"), state.folder
        ).give(state)
    assert "engine.transfer=safetensors" in caught.value.fix


def test_the_source_for_vllms_transfer_declares_what_it_yields_and_sums_it(state):
    source = nccl.source_of(state, torch.device("cpu"))
    source.sums = Sums("float32")
    declared = [(meta.name, meta.dtype, meta.shape) for meta in source.metadata()]
    # Each round is a fresh pass.
    for _ in range(2):
        assert [(name, t.dtype, tuple(t.shape)) for name, t in source] == declared
    assert source.sums == sums_of(state.folder)
    # vLLM's own partition into layers covers all tensors.
    assert sum(map(len, source.groups())) == len(declared)


def test_the_trainers_side_of_the_transfer_takes_the_arguments_that_we_give(state, monkeypatch):
    """Uses the pinned vLLM's factory and trainer engine.

    NCCL's communicator and the server's answers are stand-ins.
    """
    from vllm.distributed.weight_transfer import clients, nccl_engine

    said, sent = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(processes, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(nccl_engine, "open_trainer_endpoint", lambda info: info)
    monkeypatch.setattr(
        clients.HTTPVLLMWeightSyncClient,
        "_post",
        lambda self, path, json=None: said.append((path, json)),
    )
    monkeypatch.setattr(
        nccl_engine,
        "packed_nccl_broadcast_producer",
        lambda iterator, **_: sent.extend(n for n, _ in iterator),
    )
    monkeypatch.setattr(
        nccl_engine.NCCLTrainerWeightTransferEngine, "_post_send_sync", lambda self: None
    )

    class Server(HttpEngine):
        def get(self, route):
            return {"world_size": 2}

    transfer = nccl.NcclTransfer(
        state, Server(EngineConfig(url="http://127.0.0.1:9")), "http://127.0.0.1:9", 5
    )
    assert transfer.send("float32") == sums_of(state.folder)
    assert [path for path, _ in said] == [
        "init_weight_transfer_engine",
        "start_weight_update",
        "update_weights",
        "finish_weight_update",
    ]
    told = said[0][1]["init_info"]
    assert (told["world_size"], told["rank_offset"], told["master_port"]) == (3, 1, 5)
    assert said[2][1]["update_info"]["names"] == sent


def engine_that(monkeypatch, script: str, model: Path, log: Path) -> Engine:
    monkeypatch.setattr(process_engine, "COMMAND", (sys.executable, "-c", script))
    return Engine(model, 192, EngineConfig(), log)


@pytest.mark.slow
def test_an_output_layer_that_stays_old_is_named_with_both_sums(state, tmp_path, monkeypatch):
    old = write_model(tmp_path / "old", seed=1)
    with engine_that(monkeypatch, KEEPS_OLD_HEAD, old, tmp_path / "engine.log") as engine:
        sync = WeightSync(EngineConfig(), engine, tmp_path / "policy", old)
        new, stale = (sums_of(folder)[checksums.EMBEDDING] for folder in (state.folder, old))
        said = f"1 of 21 tensors differ, the first is lm_head.weight: trainer {new}, engine {stale}"
        with pytest.raises(SeedbedError, match=said):
            sync.give(state)


@pytest.mark.nightly
@pytest.mark.slow
def test_sampling_sees_prefixes_of_older_weights_where_the_cache_is_kept(
    state, tmp_path, monkeypatch
):
    """Why engine and trainer are compared on samples.

    Scoring recomputes the prompt, so it misses a stale cache.
    """
    old = write_model(tmp_path / "old", seed=1)
    prompt = Chat(old).prompt("a long prompt " * 9)
    found = {}
    for name, script in (
        ("kept", KEEPS_PREFIXES),
        ("emptied", "from seedbed.inference import engine_process; engine_process.main()"),
    ):
        with engine_that(monkeypatch, script, old, tmp_path / f"{name}.log") as engine:
            engine.generate([prompt], [1], Sampling(1.0, 4))
            engine.load(state.folder)
            # The checksums cover the new weights, but not the cache.
            checksums.check(sums_of(state.folder), engine.sums())
            [sample] = engine.generate([prompt], [1], Sampling(1.0, 4))
            scored = engine.score([[*prompt, *sample.tokens]])[0][-4:]
            found[name] = max(abs(a - b) for a, b in zip(sample.logprobs, scored, strict=True))
    assert found["emptied"] < 1e-4
    assert found["kept"] > 1e-2


@contextmanager
def served(model: Path, log: Path, port: int) -> Iterator[subprocess.Popen]:
    cfg = EngineConfig()
    environment = {**os.environ, **vllm_settings.environment(cfg), "VLLM_SERVER_DEV_MODE": "1"}
    with log.open("a") as file:
        server = subprocess.Popen(
            serve.command(model, 192, cfg, "127.0.0.1", str(port)),
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield server
    finally:
        stop(server)


def stop(server: subprocess.Popen) -> None:
    if server.poll() is None:
        os.killpg(server.pid, 9)
        server.wait()


@pytest.mark.slow
def test_a_server_samples_scores_and_takes_weights_as_our_own_process_does_and_survives_a_kill(
    state, tmp_path
):
    old = write_model(tmp_path / "old", seed=1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cfg = EngineConfig(url=f"http://127.0.0.1:{port}")
    prompts = [Chat(old).prompt(text) for text in ("one", "two", "three")]

    def asked(engine: AnyEngine) -> tuple[list, list]:
        return engine.generate(prompts, [1, 2, 3], Sampling(0.7, 8, top_p=0.9)), engine.score(
            prompts
        )

    with Engine(old, 192, EngineConfig(), tmp_path / "engine.log") as own:
        WeightSync(EngineConfig(), own, tmp_path / "own", old).give(state)
        samples, scores = asked(own)
        layers = own.layers(prompts[0], tmp_path / "own.safetensors")
    log = tmp_path / "server.log"
    server = HttpEngine(cfg)
    with served(old, log, port) as process:
        WeightSync(cfg, server, tmp_path / "policy", old).give(state)
        compare(asked(server), (samples, scores))
        theirs = server.layers(prompts[0], tmp_path / "server.safetensors")
        assert all(torch.allclose(theirs[name], value, atol=1e-4) for name, value in layers.items())
        stop(process)
    # The server is started again, with its first weights.
    with served(old, log, port):
        compare(asked(server), (samples, scores))
        assert server.sums() == {
            **sums_of(state.folder),
            checksums.HEAD: sums_of(state.folder)[checksums.EMBEDDING],
        }


def compare(found: tuple[list, list], expected: tuple[list, list]) -> None:
    for ours, theirs in zip(found[0], expected[0], strict=True):
        assert (ours.tokens, ours.finished, ours.text) == (
            theirs.tokens,
            theirs.finished,
            theirs.text,
        )
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
