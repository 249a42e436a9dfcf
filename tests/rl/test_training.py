"""SFT, DPO and GRPO through their own commands, with a tiny model that memorizes its problems."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from rl import evaluate
from rl.problems import problem_set
from rl.rollouts.sampler import chat_prompt
from seedbed.inference.chat import Chat
from seedbed.queries.certify import hashes
from tests.tiny_model import write_model

ROOT = Path(__file__).parents[2]
SFT = [
    *(
        "problems.train=6",
        "problems.heldout=4",
        "demonstrations=6",
        "batch.micro=3",
        "batch.total=6",
    ),
    *(
        "schedule.steps=40",
        "schedule.warmup_steps=5",
        "schedule.decay_steps=5",
        "optim.lr=0.01",
        "sandbox.workers=1",
        "max_length=224",
    ),
]
WRONG = {
    "task_id": "wrong",
    "prompt": "p",
    "code": "def f(xs):\n    return 1",
    "test_list": ["assert f([]) == 2"],
}
GRPO = [
    *(
        "prompts=4",
        "samples=4",
        "temperature=1.0",
        "max_prompt=160",
        "max_response=64",
        "micro_batch=8",
    ),
    *("eval_samples=1", "save_every=2", "warmup_steps=1", "sandbox.workers=1"),
]


def torchrun(
    module: str, *arguments: str, ranks: int = 2, check: bool = True
) -> subprocess.CompletedProcess:
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(ranks),
    ]
    result = subprocess.run(
        [*launch, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    if check:
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> Path:
    """A folder in which SFT has run."""
    out = tmp_path_factory.mktemp("run")
    base = write_model(out / "hf", seq_length=256)
    torchrun("rl.sft", f"output={out}", f"base={base}", *SFT)
    given = [json.dumps(WRONG) + "\n", (out / "rl/problems_train.jsonl").read_text()]
    (out / "given_train.jsonl").write_text("".join(given))
    shutil.copy(out / "rl/problems_heldout.jsonl", out / "given_heldout.jsonl")
    return out


def grpo_arguments(warm: Path, out: Path, *arguments: str) -> list[str]:
    inputs = [f"{name}_problems={warm}/given_{name}.jsonl" for name in ("train", "heldout")]
    return [f"output={out}", f"base={warm}/rl/sft/hf", *inputs, *GRPO, *arguments]


def grpo(warm: Path, out: Path, *arguments: str, ranks: int = 2) -> Path:
    torchrun("rl.grpo", *grpo_arguments(warm, out, *arguments), ranks=ranks)
    return out / "rl" / "grpo"


@pytest.mark.slow
def test_sft_writes_what_grpo_reads_and_learns_its_demonstrations(warm):
    losses = [row["loss"] for row in rows(warm / "rl/sft/metrics.jsonl")]
    assert len(losses) == 40
    assert losses[-1] < 0.5 * losses[0]
    assert len(rows(warm / "rl/problems_train.jsonl")) == 6
    assert (warm / "rl/sft/hf/tokenizer.json").is_file()


@pytest.mark.slow
def test_transformers_stops_the_trained_chat_model_where_its_answer_ends(warm):
    """Without generation_config.json, or with the base's, it would run on behind <|end|>."""
    folder = warm / "rl/sft/hf"
    chat = Chat(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    lengths = []
    for problem in problem_set.read(warm / "rl/problems_train.jsonl"):
        prompt = torch.tensor([chat_prompt(chat, problem)])
        said = model.generate(prompt, max_new_tokens=96)[0, prompt.shape[1] :].tolist()
        lengths.append(len(said))
        assert said.count(chat.end_id) <= 1
        if len(said) < 96:
            assert said[-1] == chat.end_id
    assert min(lengths) < 96
    checked = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(checked, cwd=folder, check=False).returncode == 0
    card = (folder / "README.md").read_text()
    assert "- table: problems@" in card
    assert "| heldout_loss |" in card


@pytest.mark.slow
def test_sft_is_the_same_model_in_another_layout(warm, tmp_path):
    torchrun("rl.sft", f"output={tmp_path}", f"base={warm}/hf", *SFT, "parallel.tp=2")
    theirs = [row["loss"] for row in rows(warm / "rl/sft/metrics.jsonl")]
    ours = [row["loss"] for row in rows(tmp_path / "rl/sft/metrics.jsonl")]
    # Ten large steps amplify the rounding of another order of sums.
    assert ours[:10] == pytest.approx(theirs[:10], abs=5e-3)


@pytest.mark.slow
def test_packed_sft_on_given_problems_takes_the_same_steps_and_drops_a_wrong_reference(
    warm, tmp_path
):
    given = {name: tmp_path / f"{name}.jsonl" for name in ("train", "heldout")}
    for name, path in given.items():
        path.write_text((warm / f"rl/problems_{name}.jsonl").read_text())
    with given["train"].open("a") as file:
        file.write(json.dumps(WRONG) + "\n")
    inputs = [f"{name}_problems={path}" for name, path in given.items()]
    steps = [
        *SFT,
        "schedule.steps=10",
        "schedule.decay_steps=0",
        "pack_length=450",
        "batch.micro=1",
    ]
    result = torchrun("rl.sft", f"output={tmp_path}", f"base={warm}/hf", *steps, *inputs)
    assert "dropped problem wrong: its reference fails its own tests" in result.stderr
    assert (tmp_path / "rl/problems_train.jsonl").read_text() == (
        warm / "rl/problems_train.jsonl"
    ).read_text()
    theirs = [row["loss"] for row in rows(warm / "rl/sft/metrics.jsonl")][:6]
    ours = [row["loss"] for row in rows(tmp_path / "rl/sft/metrics.jsonl")][:6]
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5)
    # Large steps amplify the rounding of another order of sums.
    assert ours == pytest.approx(theirs, abs=5e-3)


DPO = [
    *(
        "samples=4",
        "prompts=3",
        "max_prompt=160",
        "max_response=64",
        "batch.micro=1",
        "batch.total=4",
        "optim.lr=0.001",
    ),
    *("schedule.warmup_steps=1", "schedule.decay_steps=1", "sandbox.workers=1"),
]


def dpo_arguments(warm: Path, out: Path, *arguments: str) -> list[str]:
    inputs = [f"base={warm}/rl/sft/hf", f"train_problems={warm}/given_train.jsonl"]
    return [f"output={out}", *inputs, *DPO, *arguments]


def dpo(warm: Path, out: Path, *arguments: str, ranks: int = 2) -> Path:
    torchrun("rl.dpo", *dpo_arguments(warm, out, *arguments), ranks=ranks)
    return out / "rl" / "dpo"


@pytest.mark.slow
def test_dpo_starts_at_ln_two_and_goes_on_where_it_was_stopped_in_any_layout(warm, tmp_path):
    whole = dpo(warm, tmp_path / "whole", "schedule.steps=4")
    losses = [row["loss"] for row in rows(whole / "metrics.jsonl")]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < losses[0]
    assert rows(whole / "metrics.jsonl")[-1]["margin"] > 0
    assert len(rows(whole / "samples.jsonl")) == 6 * 4
    assert all(pair["verdict"] != "pass" and pair["reason"] for pair in rows(whole / "pairs.jsonl"))

    part = tmp_path / "part/rl/dpo"
    part.mkdir(parents=True)
    lines = (whole / "samples.jsonl").read_text().splitlines(keepends=True)
    # As a kill leaves it that comes while the fourth group is written.
    (part / "samples.jsonl").write_text("".join(lines[: 3 * 4 + 1]) + lines[13][:20])
    (part / "samples.hash").write_text((whole / "samples.hash").read_text())
    dpo(
        warm,
        tmp_path / "part",
        "schedule.steps=4",
        "schedule.decay_steps=2",
        "save_every=2",
        ranks=1,
    )
    assert (part / "samples.jsonl").read_text() == (whole / "samples.jsonl").read_text()
    assert (part / "pairs.jsonl").read_text() == (whole / "pairs.jsonl").read_text()

    cut = tmp_path / "cut/rl/dpo"
    cut.mkdir(parents=True)
    for name in ("samples.jsonl", "samples.hash", "pairs.jsonl"):
        (cut / name).write_text((whole / name).read_text())
    dpo(warm, tmp_path / "cut", "schedule.steps=4", "parallel.tp=2")
    other = rows(cut / "metrics.jsonl")
    assert [row["loss"] for row in other] == pytest.approx(losses, abs=1e-4)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def disturbed(module: str, arguments: list[str], due, victim) -> str:
    """Runs a program in two processes until due(), then kills the process that `victim` names.

    victim: torchrun's pid -> the process to kill, None for all. Returns what the run printed.
    """
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        module,
    ]
    with tempfile.TemporaryFile("w+") as said:
        run = subprocess.Popen(
            [*launch, *arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            while run.poll() is None and not due():
                time.sleep(0.01)
            tree = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
            killed = victim(run.pid)
            # torchrun starts each process in its own session.
            for process in tree if killed is None else [killed]:
                # A judged program may have ended meanwhile.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            # A run that hangs would never end.
            code = run.wait(300)
            _, alive = psutil.wait_procs(tree, timeout=60)
            assert code != 0
            assert not alive, "a process outlived the run"
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
        said.seek(0)
        return said.read()


def everybody(_pid: int) -> None:
    return None


def rank_one(pid: int) -> psutil.Process:
    return next(p for p in psutil.Process(pid).children() if p.environ().get("RANK") == "1")


def the_engine(pid: int) -> psutil.Process:
    return next(
        p
        for p in psutil.Process(pid).children(recursive=True)
        if "seedbed.inference.engine_process" in p.cmdline()
    )


def weights(folder: Path) -> bytes:
    return (folder / "hf/model.safetensors").read_bytes()


@pytest.mark.nightly
@pytest.mark.slow
def test_dpo_that_is_killed_while_it_samples_and_while_it_trains_ends_bit_for_bit_as_if_undisturbed(
    warm, tmp_path
):
    settings = ["schedule.steps=6", "schedule.decay_steps=1", "save_every=2", "prompts=1"]
    whole = dpo(warm, tmp_path / "whole", *settings)
    rng = random.Random(os.environ.get("SEEDBED_KILLS", "1"))
    part, arguments = tmp_path / "part/rl/dpo", dpo_arguments(warm, tmp_path / "part", *settings)
    for log, count in (
        ("samples.jsonl", 4 * rng.randint(1, 5)),
        ("metrics.jsonl", rng.randint(1, 5)),
    ):
        wait = rng.random() / 5
        disturbed(
            "rl.dpo",
            arguments,
            lambda log=log, n=count, s=wait: lines(part / log) >= n and not time.sleep(s),
            everybody,
        )
    torchrun("rl.dpo", *arguments)
    for name in ("samples.jsonl", "pairs.jsonl", "reference.jsonl"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("step", "loss", "grad_norm", "margin"):
        assert [r[name] for r in rows(part / "metrics.jsonl")] == [
            r[name] for r in rows(whole / "metrics.jsonl")
        ]
    assert weights(part) == weights(whole)
    tables = ("problems", "rollouts", "pairs")
    assert hashes(str(tmp_path / "part"), tables) == hashes(str(tmp_path / "whole"), tables)


@pytest.mark.slow
def test_grpo_goes_on_after_a_killed_rank_a_dead_engine_and_a_killed_run_as_if_undisturbed(
    warm, tmp_path
):
    settings = ["steps=4", "save_every=2"]
    whole = grpo(warm, tmp_path / "whole", *settings)
    rng = random.Random(os.environ.get("SEEDBED_KILLS", "1"))
    part, arguments = tmp_path / "part/rl/grpo", grpo_arguments(warm, tmp_path / "part", *settings)
    told = []
    for victim, step in ((rank_one, 1), (the_engine, 2), (everybody, 3)):
        # The kill comes anywhere in the next step: while it samples, judges, trains or saves.
        wait = rng.random()
        # Written once the journal has been cut back to the checkpoint. From then on its rows are
        # those of this run.
        started = part / "config.yaml"
        started.unlink(missing_ok=True)

        def due(n: int = 16 * step, wait: float = wait, started: Path = started) -> bool:
            return (
                started.is_file() and lines(part / "rollouts.jsonl") >= n and not time.sleep(wait)
            )

        told.append(disturbed("rl.grpo", arguments, due, victim))
    assert "Signal 9 (SIGKILL) received by PID" in told[0]
    assert "the engine ended with exit code -9" in told[1]
    torchrun("rl.grpo", *arguments)
    assert rows(part / "rollouts.jsonl") == rows(whole / "rollouts.jsonl")
    for name in ("step", "reward", "loss", "grad_norm"):
        assert [r.get(name) for r in rows(part / "metrics.jsonl")] == [
            r.get(name) for r in rows(whole / "metrics.jsonl")
        ]
    assert weights(part) == weights(whole)
    seen = [(row["step"], row["task_id"]) for row in rows(part / "rollouts.jsonl")]
    assert [seen.count(pair) for pair in dict.fromkeys(seen)] == [4] * 16, (
        "a prompt was lost or came twice"
    )
    assert json.loads((part / "unfit.json").read_text())["unfit"].keys() == {"wrong"}
    assert "wrong" not in {task for _, task in seen}, "a problem that nobody can solve was drawn"
    assert [text.count("dropped problem wrong") for text in told] == [1, 0, 0]
    tables = ("problems", "rollouts")
    assert hashes(str(tmp_path / "part"), tables) == hashes(str(tmp_path / "whole"), tables)
    other = torchrun("rl.grpo", *arguments, "steps=5", "seed=2", check=False)
    assert "belongs to a run over other data" in other.stderr


@pytest.mark.nightly
@pytest.mark.slow
def test_a_grpo_run_that_was_stopped_goes_on_with_the_same_rollouts(warm, tmp_path):
    """Rollouts are one step behind the weights, and there are two stages.

    The checkpoint holds what was drawn ahead.
    """
    plan = ["rollout_lag=1", "earlier_stages=[{steps: 1, samples: 6, max_response: 48}]"]
    whole = grpo(warm, tmp_path / "whole", "steps=4", *plan)
    part = grpo(warm, tmp_path / "part", "steps=3", "save_every=2", *plan)
    # As a kill leaves it that comes after the save at step 2, when step 3's rollouts were drawn.
    checkpoints = part / "checkpoints"
    (checkpoints / "latest").write_text("step_00000002\n")
    shutil.rmtree(checkpoints / "step_00000003")
    # A kill after the checkpoint leaves rows of a step that was not saved.
    with (part / "rollouts.jsonl").open("a") as log:
        log.write(
            json.dumps({"step": 3, "completion": "of a step that was not saved"})
            + "\n"
            + '{"step": 3, "cut'
        )
    grpo(warm, tmp_path / "part", "steps=4", *plan)
    assert rows(part / "rollouts.jsonl") == rows(whole / "rollouts.jsonl")
    for name in ("step", "reward", "loss", "grad_norm"):
        assert [r.get(name) for r in rows(part / "metrics.jsonl")] == [
            r.get(name) for r in rows(whole / "metrics.jsonl")
        ]
    metrics = rows(whole / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [0, 1, 2, 3, 4]
    assert metrics[0]["heldout_reward"] is not None
    assert metrics[-1]["heldout_reward"] is not None
    assert any(row["groups_with_signal"] for row in metrics[1:]), (
        "no step trained: the test proves nothing"
    )
    assert max(row["engine_difference"] for row in metrics[1:]) < 1e-3
    drawn = [(row["step"], row["policy"]) for row in rows(whole / "rollouts.jsonl")]
    assert sorted(set(drawn)) == [(1, 0), (2, 0), (3, 1), (4, 2)]
    assert [drawn.count(pair) for pair in sorted(set(drawn))] == [4 * 6, 4 * 4, 4 * 4, 4 * 4]
    assert {
        item["task_id"]
        for item in json.loads((tmp_path / "whole/rl/eval_grpo.json").read_text())["items"]
    }


@pytest.mark.slow
def test_grpo_in_a_tensor_and_pipeline_parallel_layout_takes_the_same_steps(warm, tmp_path):
    # After SFT the model knows its few answers by heart: all pass, and no group trains.
    one_step = (
        *(
            "steps=1",
            f"base={warm}/hf",
            "temperature=1.3",
            "mask_overlong=false",
            "drop_malformed_only=false",
        ),
        "reward.function=tests.rl.shaping.own_rewards.of_all_letters",
    )
    plain = grpo(warm, tmp_path / "plain", *one_step, ranks=1)
    cut = grpo(warm, tmp_path / "cut", *one_step, "parallel.tp=2", "parallel.pp=2", ranks=4)
    one, other = rows(plain / "metrics.jsonl")[1], rows(cut / "metrics.jsonl")[1]
    assert other["loss"] == pytest.approx(one["loss"], abs=1e-4)
    assert other["reward"] == one["reward"]
    assert one["groups_with_signal"] > 0, "no step trained: the test proves nothing"
    # The engine sampled with the trainer's weights.
    assert one["gap"] < 1e-3


@pytest.mark.slow
def test_evaluate_scores_a_file_and_humaneval(warm, tmp_path):
    model = ["--model", str(warm / "rl/sft/hf"), "--limit", "2", "--max-tokens", "32"]
    assert (
        evaluate.main(
            [
                *model,
                "--benchmark",
                str(warm / "rl/problems_train.jsonl"),
                "--out",
                f"{tmp_path}/a.json",
            ]
        )
        == 0
    )
    assert evaluate.main([*model, "--benchmark", "humaneval", "--out", f"{tmp_path}/b.json"]) == 0
    own = json.loads((tmp_path / "a.json").read_text())
    assert own["pass_at"].keys() == {"pass@1"}
    file = ["--benchmark", str(warm / "rl/problems_train.jsonl"), "--out", f"{tmp_path}/two.json"]
    torchrun("rl.evaluate", *model, *file)
    two = json.loads((tmp_path / "two.json").read_text())
    assert two["pass_at"] == pytest.approx(own["pass_at"], abs=1e-6)
    assert two["items"] == own["items"]
    result = json.loads((tmp_path / "b.json").read_text())
    assert [item["task_id"] for item in result["items"]] == ["HumanEval/0", "HumanEval/1"]
    # The model reads fewer tokens than they have. So they are named, and no score counts them.
    assert result["pass_at"] == {}
    reasons = [item["samples"][0]["reason"] for item in result["items"]]
    assert all("tokens, and there is room for" in reason for reason in reasons)


@pytest.mark.parametrize("program", ["rl.sft", "rl.dpo", "rl.grpo"])
def test_a_dry_run_resolves_and_writes_nothing(tmp_path, capsys, program):
    assert importlib.import_module(program).main(["--dry-run", f"output={tmp_path / 'x'}"]) == 0
    assert f"output: {tmp_path / 'x'}" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()
