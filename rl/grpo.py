"""GRPO: sample groups of programs with vLLM, let the sandbox judge them, train on what differs
within a group.

    torchrun --nproc-per-node 2 -m rl.grpo --config conf/rl/demo_grpo.yaml output=DIR [base=HF_FOLDER] [key=value]

Reads DIR/rl/sft/hf and DIR/rl/problems_{train,heldout}.jsonl. Writes DIR/rl/grpo (checkpoints/,
metrics.jsonl, rollouts.jsonl, hf/, unfit.json: the training problems that are not drawn, since
their own solution fails), the tables problems and rollouts, at each checkpoint, and the held-out
completions before and after, DIR/rl/eval_sft.json and eval_grpo.json. Process 0 owns the engine and
the sandbox; all processes train, in any layout. Prompts and sampling seeds depend on (seed, step,
problems that are drawn) alone, so a run that was killed and started again repeats no step
differently. With rollout_lag=1 the engine draws the next step's rollouts while this one trains; a
checkpoint holds what was drawn. On CPUs set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_yaml
from conf.schema.pretrain import ScheduleConfig, check_world
from conf.schema.rl import GrpoConfig
from megatron_train.checkpoint import hf, sharded
from megatron_train.parallel import processes
from megatron_train.parallel.processes import on_main
from megatron_train.training.schedule import learning_rate
from megatron_train.training.step import Batch, StepResult, TrainState, build, train_step
from rl.problems import problem_set
from rl.problems.problem_set import Problem
from rl.rollouts.rollout_worker import Actor
from rl.rollouts.selection import Selection, log_rows, select, statistics
from rl.training.batches import micro_batches, places
from rl.training.objective import LossSums, clipped_policy_loss, truncated_importance_weights
from rl.training.resume import start_or_resume
from rl.training.run_tables import RunLog
from rl.training.step_log import Stopwatch, line
from seedbed import jsonl
from seedbed.files import claim
from seedbed.inference.chat import Chat
from seedbed.sandbox import version

SPLITS = ("train", "heldout")


def main(argv: list[str]) -> int:
    args = cli_parser("rl.grpo", __doc__).parse_args(argv)
    cfg = load(GrpoConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    check_world(cfg.parallel, None, int(os.environ.get("WORLD_SIZE", "1")))
    folder = Path(cfg.output) / "rl"
    out = folder / "grpo"
    base = Path(cfg.base or folder / "sft" / "hf")
    model, vocab_size = hf.model_config(base)
    if cfg.max_length > model.seq_length:
        raise SeedbedError(
            f"max_prompt + max_response = {cfg.max_prompt} + {cfg.max_response} = {cfg.max_length} tokens, "
            f"but {base} was trained on sequences of {model.seq_length}",
            "lower max_prompt or max_response",
        )
    files = {
        name: Path(getattr(cfg, f"{name}_problems") or folder / f"problems_{name}.jsonl")
        for name in SPLITS
    }
    read = {name: problem_set.read_with_rows(path) for name, path in files.items()}
    chat = Chat(base)

    # The engine loads while solutions are judged and the trainer is built.
    with Actor(cfg, base, chat, [problem for _, problem in read["train"]], out) as actor:
        processes.start(cfg.parallel, cfg.seed)
        on_main(lambda: claim(out))
        unfit = on_main(lambda: actor.unfit(read["train"], out / "unfit.json"))
        read["train"] = [one for one in read["train"] if one[1].task_id not in unfit]
        train, heldout = ([problem for _, problem in read[name]] for name in SPLITS)
        state = build(model, vocab_size, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed)
        plan = [(stage.steps, stage.samples, stage.max_response) for stage in cfg.plan[:-1]]
        sampling = (
            cfg.seed,
            cfg.prompts,
            cfg.samples,
            cfg.temperature,
            cfg.max_response,
            plan,
            cfg.rollout_lag,
        )
        data = config_hash([p.task_id for p in train], *sampling)
        extra = start_or_resume(state, base, out, data, cfg, logs=("rollouts.jsonl",))
        actor.restore(extra.get("drawn_ahead"))
        on_main(lambda: _compare_sandbox(extra.get("sandbox"), state.step))
        settings = {"settings": data, "base": str(base), "sandbox": version()}
        log = RunLog(cfg.output, "grpo", settings, list(files.values()))
        on_main(lambda: _start_tables(log, read, state.step, out))
        _train(cfg, state, actor, chat.end_id, train, heldout, data, out, log)
        hf.export(state, out / "hf", base)
        _say(actor.contract(state, out / "hf"), out / "hf")
        processes.stop()
    return 0


def _compare_sandbox(before: str | None, step: int) -> None:
    if before not in (None, version()):
        print(
            f"note: up to step {step} the sandbox was version {before}, now it is {version()}; "
            "`python -m rl.rescore` tells which rewards change",
            file=sys.stderr,
        )


def _start_tables(
    log: RunLog, read: dict[str, list[tuple[problem_set.Row, Problem]]], step: int, out: Path
) -> None:
    """Begin this stage's rows anew where the run does; else add what a kill kept from the tables."""
    if step == 0:
        log.begin("problems", "rollouts")
    log.problems(read)
    log.rollouts_of_steps(out / "rollouts.jsonl", step)


def _train(
    cfg: GrpoConfig,
    state: TrainState,
    actor: Actor,
    pad_id: int,
    train: Sequence[Problem],
    heldout: Sequence[Problem],
    data: str,
    out: Path,
    log: RunLog,
) -> None:
    def problems_of(step: int) -> list[Problem]:
        return [train[i] for i in places(len(train), step * cfg.prompts, cfg.prompts, cfg.seed)]

    schedule = ScheduleConfig(steps=cfg.steps, warmup_steps=cfg.warmup_steps, decay_steps=0)
    clock = Stopwatch(cfg.steps - state.step)
    actor.sync(state)
    # with safetensors the sync has exported it
    if cfg.engine.transfer == "nccl":
        hf.export(state, out / "policy", actor.base)
    _say(actor.contract(state, out / "policy"), out / "policy")
    if state.step == 0:
        before = on_main(lambda: actor.evaluate(heldout, out.parent / "eval_sft.json"))
        _log(
            {"step": 0, "heldout_reward": before["reward"], "shares": before["shares"]},
            cfg,
            clock,
            out,
        )

    while state.step < cfg.steps:
        with clock.part("rollout"):
            sampled = on_main(lambda: actor.sample(problems_of(state.step), state.step))
            policy = max(0, state.step - cfg.rollout_lag)
            if cfg.rollout_lag and state.step + 1 < cfg.steps and processes.is_main():
                actor.sample_ahead(problems_of(state.step + 1), state.step + 1)
        with clock.part("reward"):
            rollouts = on_main(lambda sampled=sampled: actor.judge(sampled))
        with clock.part("train"):
            selection = select(rollouts, cfg, cfg.stage(state.step).samples)
            lr = learning_rate(state.step, cfg.optim, schedule)
            result = policy_step(cfg, state, selection, pad_id, lr)
        with clock.part("sync"):
            difference = actor.sync(state)
        row: dict[str, Any] = {
            "step": state.step,
            **statistics(rollouts, selection),
            "heldout_reward": None,
        }
        row |= {
            "loss": result.loss,
            "grad_norm": result.grad_norm,
            "lr": lr,
            "tokens": result.tokens,
            **result.metrics,
        }
        row["engine_difference"] = difference
        last = state.step == cfg.steps
        if last or (cfg.eval_every and state.step % cfg.eval_every == 0):
            with clock.part("evaluate"):
                after = on_main(lambda: actor.evaluate(heldout, out.parent / "eval_grpo.json"))
            row["heldout_reward"] = after["reward"]
        row["seconds"] = clock.end_step()
        if processes.is_main():
            for sample in log_rows(rollouts, selection, state.step, policy):
                jsonl.append(out / "rollouts.jsonl", sample)
        _log(row, cfg, clock, out)
        if last or state.step % cfg.save_every == 0:
            extra = {"data": data, "drawn_ahead": actor.drawn_ahead(), "sandbox": version()}
            sharded.save(state, out / "checkpoints", extra, cfg.keep)
            on_main(lambda: log.rollouts_of_steps(out / "rollouts.jsonl", state.step))


def policy_step(
    cfg: GrpoConfig, state: TrainState, selection: Selection, pad_id: int, lr: float
) -> StepResult:
    """One optimizer step on the selected samples; without any, the step counts and nothing changes."""
    if not selection.examples:
        state.step += 1
        return StepResult(0.0, 0, 0.0, {})
    multiple = cfg.parallel.sequence_multiple()
    batches = micro_batches(
        selection.examples,
        cfg.micro_batch,
        processes.dp_rank(),
        processes.dp_size(),
        pad_id,
        multiple,
    )

    def loss(logprobs: torch.Tensor, batch: Batch) -> LossSums:
        sampled, mask = batch["old_logprobs"], batch["loss_mask"]
        old, weights = sampled, None
        # the policy that the ratio is clipped around is the present one, not the one that sampled
        if cfg.rollout_lag:
            old, weights = (
                logprobs.detach(),
                truncated_importance_weights(logprobs, sampled, mask, cfg.max_importance),
            )
        return clipped_policy_loss(
            logprobs, old, batch["advantage"], mask, cfg.clip_low, cfg.clip_high, weights
        )

    return train_step(state, batches, loss, lr, cfg.temperature)


def _say(differences: dict[str, float], folder: Path) -> None:
    if processes.is_main():
        told = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
        print(f"log-probabilities of {folder} against transformers': {told}", flush=True)


def _log(row: dict[str, Any], cfg: GrpoConfig, clock: Stopwatch, out: Path) -> None:
    if processes.is_main():
        jsonl.append(out / "metrics.jsonl", row)
        print(line(row, cfg.steps, clock.eta), flush=True)


# the guard matters: the checkpoint writer may spawn processes that import this file
if __name__ == "__main__":
    processes.run_ranks(main)
