"""DPO on the model's own samples: the sandbox tells which of them pass, a pass is preferred to a
failure of the same problem.

    torchrun --nproc-per-node 2 -m rl.dpo --config conf/rl/demo_dpo.yaml output=DIR [base=HF_FOLDER] [key=value]

Reads DIR/rl/sft/hf and DIR/rl/problems_train.jsonl. Writes DIR/rl/dpo: samples.jsonl (every sample
and its verdict), pairs.jsonl (what is preferred to what, and why), reference.jsonl
(log-probabilities under the model that training starts from), unfit.json (problems that are not
sampled, since their own solution fails), checkpoints/, metrics.jsonl and hf/; and the tables
problems, rollouts and pairs. Killed anywhere and started again it goes on: from the last judged
group of problems, then from the newest checkpoint. On CPUs set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_yaml
from conf.schema.pretrain import check_world
from conf.schema.rl import DpoConfig
from megatron_train.checkpoint import hf, sharded
from megatron_train.parallel import processes
from megatron_train.parallel.processes import from_shares, on_main
from megatron_train.training.schedule import learning_rate
from megatron_train.training.step import Batch, TrainState, build, token_logprobs, train_step
from rl.problems import problem_set
from rl.problems.problem_set import Problem, Row
from rl.rollouts import pairs, reference_check
from rl.rollouts.pair_sampler import PairMaker
from rl.training.batches import places
from rl.training.objective import LossSums, preference_loss, sequence_logprobs
from rl.training.resume import start_or_resume
from rl.training.run_tables import RunLog
from seedbed import jsonl
from seedbed.files import claim
from seedbed.inference.chat import Chat
from seedbed.sandbox import Sandbox, version


def main(argv: list[str]) -> int:
    args = cli_parser("rl.dpo", __doc__).parse_args(argv)
    cfg = load(DpoConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    folder = Path(cfg.output) / "rl"
    out = folder / "dpo"
    base = Path(cfg.base or folder / "sft" / "hf")
    model, vocab_size = hf.model_config(base)
    if cfg.max_length > model.seq_length:
        raise SeedbedError(
            f"max_prompt + max_response = {cfg.max_prompt} + {cfg.max_response} = {cfg.max_length} tokens, "
            f"but {base} was trained on sequences of {model.seq_length}",
            "lower max_prompt or max_response",
        )
    dp = check_world(cfg.parallel, cfg.batch, int(os.environ.get("WORLD_SIZE", "1")))
    file = Path(cfg.train_problems or folder / "problems_train.jsonl")
    read = problem_set.read_with_rows(file)[: cfg.problems or None]
    chat = Chat(base)

    processes.start(cfg.parallel, cfg.seed)
    on_main(lambda: claim(out))
    unfit = on_main(lambda: _unfit(cfg, read, out / "unfit.json"))
    read = [one for one in read if one[1].task_id not in unfit]
    sampling = (str(base), cfg.samples, cfg.temperature, cfg.max_prompt, cfg.max_response, cfg.seed)
    data = config_hash([problem.task_id for _, problem in read], *sampling, cfg.pairs_per_problem)
    log = RunLog(
        cfg.output, "dpo", {"settings": data, "base": str(base), "sandbox": version()}, [file]
    )
    with PairMaker(cfg, base, chat, read, out, data, log) as maker:
        while on_main(maker.advance):
            pass
    found = _read(out / "pairs.jsonl")
    state = build(model, vocab_size, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed)
    references = reference_logprobs(cfg, state, base, chat.end_id, found, out / "reference.jsonl")
    start_or_resume(state, base, out, data, cfg)
    if processes.is_main():
        print(
            f"{len(found)} pairs, {cfg.schedule.steps} steps of {cfg.batch.total}, dp {dp}",
            flush=True,
        )
    _train(cfg, state, chat.end_id, found, references, data, out)
    hf.export(state, out / "hf", base)
    processes.stop()
    return 0


def _unfit(cfg: DpoConfig, read: Sequence[tuple[Row, Problem]], record: Path) -> dict[str, str]:
    with Sandbox(workers=cfg.sandbox.workers or None) as sandbox:
        return reference_check.unfit(read, sandbox, record)


def reference_logprobs(
    cfg: DpoConfig, state: TrainState, base: Path, pad_id: int, found: Sequence[Row], path: Path
) -> list[tuple[float, float]]:
    """(chosen, rejected) log-probability of each pair under `base`, computed once and kept in
    `path`; collective.

    Leaves `state` with the weights of `base` when it computes.
    """
    if processes.broadcast_object(path.is_file()):
        return [(row["chosen"], row["rejected"]) for row in _read(path)]
    hf.load_weights(state, base)
    batches = _batches(cfg, pad_id, found, [(0.0, 0.0)] * len(found))
    mine: list[tuple[float, float]] = []
    for batch, logprobs in zip(batches, token_logprobs(state, batches), strict=True):
        chosen, rejected = sequence_logprobs(
            logprobs, batch["loss_mask"].to(logprobs.device)
        ).chunk(2)
        mine += zip(chosen.tolist(), rejected.tolist(), strict=True)
    references = from_shares(mine, len(found))
    if processes.is_main():
        problem_set.save(
            [{"chosen": chosen, "rejected": rejected} for chosen, rejected in references], path
        )
    processes.barrier()
    return references


def _train(
    cfg: DpoConfig,
    state: TrainState,
    pad_id: int,
    found: Sequence[Row],
    references: Sequence[tuple[float, float]],
    data: str,
    out: Path,
) -> None:
    def loss(logprobs: torch.Tensor, batch: Batch) -> LossSums:
        return preference_loss(logprobs, batch["loss_mask"], batch["reference"], cfg.beta)

    first, began = state.step, time.perf_counter()
    while state.step < cfg.schedule.steps:
        started = time.perf_counter()
        lr = learning_rate(state.step, cfg.optim, cfg.schedule)
        chosen = places(len(found), state.step * cfg.batch.total, cfg.batch.total, cfg.seed)
        batch = _batches(cfg, pad_id, [found[i] for i in chosen], [references[i] for i in chosen])
        result = train_step(state, batch, loss, lr)
        last = state.step == cfg.schedule.steps
        row = {
            "step": state.step,
            "loss": result.loss,
            "lr": lr,
            "grad_norm": result.grad_norm,
            **result.metrics,
        }
        row["seconds"] = round(time.perf_counter() - started, 3)
        if processes.is_main():
            jsonl.append(out / "metrics.jsonl", row)
            if last or state.step == 1 or state.step % 10 == 0:
                eta = int(
                    (time.perf_counter() - began)
                    / (state.step - first)
                    * (cfg.schedule.steps - state.step)
                )
                print(_line(row, cfg.schedule.steps, eta), flush=True)
        if last or state.step % cfg.save_every == 0:
            sharded.save(state, out / "checkpoints", {"data": data}, cfg.keep)


def _line(row: Row, steps: int, eta: int) -> str:
    """With the chosen side's reward, whose fall the margin hides: both sides then become unlikely,
    and samples bad.
    """
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.2f}  "
        f"margin {row['margin']:+.3f}  chosen {row['chosen_reward']:+.3f}  ETA {eta // 60}:{eta % 60:02d}"
    )


def _batches(
    cfg: DpoConfig, pad_id: int, some: Sequence[Row], references: Sequence[tuple[float, float]]
) -> list[Batch]:
    multiple = cfg.parallel.sequence_multiple()
    mine = processes.dp_rank(), processes.dp_size()
    return pairs.batches(some, references, cfg.batch.micro, *mine, pad_id, multiple, cfg.max_length)


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# the guard matters: the checkpoint writer may spawn processes that import this file
if __name__ == "__main__":
    processes.run_ranks(main)
