"""Supervised fine-tuning on demonstrations, with the loss on responses only: the small warm-up that
RL starts from.

    torchrun --nproc-per-node 2 -m rl.sft --config conf/rl/demo_sft.yaml output=DIR [base=HF_FOLDER] [key=value]

Demonstrations are the solutions of generated problems, or of those in train_problems=FILE
heldout_problems=FILE: their `code`, or their `responses` where they have some (a table that
rl.distill wrote: chains of thought). Reads DIR/hf. Writes DIR/rl/problems_train.jsonl and
problems_heldout.jsonl (every reference verified in the sandbox) and DIR/rl/sft (checkpoints/,
metrics.jsonl, hf/). Started again it goes on from the newest checkpoint. On CPUs set
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import torch

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_yaml
from conf.schema.pretrain import check_world
from conf.schema.rl import SftConfig
from megatron_train.checkpoint import hf, sharded
from megatron_train.parallel import processes
from megatron_train.parallel.processes import on_main
from megatron_train.training.schedule import learning_rate
from megatron_train.training.step import Batch, build, eval_loss, train_step
from rl.problems import problem_set
from rl.problems.problem_set import Problem
from rl.rollouts import reference_check, rewards
from rl.training.batches import Example, micro_batches, packed_batches, places, weighted_places
from rl.training.objective import LossSums, masked_cross_entropy
from rl.training.resume import start_or_resume
from rl.training.run_tables import RunLog
from seedbed import jsonl
from seedbed.files import claim
from seedbed.inference.chat import Chat
from seedbed.sandbox import Sandbox
from seedbed.tables.writer import is_table, open_table


def main(argv: list[str]) -> int:
    args = cli_parser("rl.sft", __doc__).parse_args(argv)
    cfg = load(SftConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    folder = Path(cfg.output) / "rl"
    out = folder / "sft"
    base = Path(cfg.base or Path(cfg.output) / "hf")
    model, vocab_size = hf.model_config(base)
    chat = Chat(base)
    dp = check_world(cfg.parallel, cfg.batch, int(os.environ.get("WORLD_SIZE", "1")))

    processes.start(cfg.parallel, cfg.seed)
    on_main(lambda: claim(out))
    on_main(lambda: prepare_problems(cfg, folder))
    chosen = problem_set.read(folder / "problems_train.jsonl")[: cfg.demonstrations]
    train = demonstrations(chosen, chat, cfg.max_length)[: cfg.demonstrations]
    weights = difficulties(chosen, cfg.favour_harder)[: cfg.demonstrations]
    heldout = demonstrations(
        problem_set.read(folder / "problems_heldout.jsonl"), chat, cfg.max_length
    )

    state = build(model, vocab_size, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed)
    sources = cfg.train_problems, cfg.heldout_problems
    data = config_hash(
        cfg.problems, *sources, cfg.demonstrations, cfg.batch.total, cfg.seed, cfg.favour_harder
    )
    start_or_resume(state, base, out, data, cfg)
    if processes.is_main():
        print(
            f"{len(train)} demonstrations, {cfg.schedule.steps} steps of {cfg.batch.total}, dp {dp}",
            flush=True,
        )

    def shard(examples: list[Example]) -> list[Batch]:
        multiple = cfg.parallel.sequence_multiple()
        mine = processes.dp_rank(), processes.dp_size()
        if cfg.pack_length:
            length = -(-cfg.pack_length // multiple) * multiple
            return packed_batches(examples, cfg.batch.micro, *mine, chat.end_id, length, multiple)
        return micro_batches(examples, cfg.batch.micro, *mine, chat.end_id, multiple)

    def draw(start: int) -> list[int]:
        if cfg.favour_harder:
            return weighted_places(weights, start, cfg.batch.total, cfg.seed)
        return places(len(train), start, cfg.batch.total, cfg.seed)

    first, began = state.step, time.perf_counter()
    while state.step < cfg.schedule.steps:
        started = time.perf_counter()
        lr = learning_rate(state.step, cfg.optim, cfg.schedule)
        batch = [train[i] for i in draw(state.step * cfg.batch.total)]
        result = train_step(state, shard(batch), loss, lr)
        last = state.step == cfg.schedule.steps
        row = {
            "step": state.step,
            "loss": result.loss,
            "lr": lr,
            "grad_norm": result.grad_norm,
            "tokens": result.tokens,
        }
        row["seconds"] = round(time.perf_counter() - started, 3)
        row["heldout_loss"] = eval_loss(state, shard(heldout), loss).loss if last else None
        if processes.is_main():
            jsonl.append(out / "metrics.jsonl", row)
            if last or state.step % 10 == 0:
                eta = (
                    (time.perf_counter() - began)
                    / (state.step - first)
                    * (cfg.schedule.steps - state.step)
                )
                print(_line(row, cfg.schedule.steps, eta), flush=True)
        if last or state.step % cfg.save_every == 0:
            sharded.save(state, out / "checkpoints", {"data": data}, cfg.keep)
    hf.export(state, out / "hf", base)
    processes.stop()
    return 0


def loss(logprobs: torch.Tensor, batch: Batch) -> LossSums:
    return masked_cross_entropy(logprobs, batch["loss_mask"])


def prepare_problems(cfg: SftConfig, folder: Path) -> None:
    """Generate both problem files, or copy those given: every reference is judged by the sandbox,
    and a problem whose reference fails its own tests is named and dropped. Does nothing when those
    of this config are there already.
    """
    stamp = folder / "problems.hash"
    given = [Path(path) for path in (cfg.train_problems, cfg.heldout_problems) if path]
    wanted = config_hash(cfg.problems, [_identity(path) for path in given])
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    with Sandbox(workers=cfg.sandbox.workers or None) as sandbox:
        both = [
            [row for row, _ in problem_set.read_with_rows(path)] for path in given
        ] or problem_set.generate(cfg.problems)
        kept: dict[str, list[problem_set.Row]] = {}
        for name, rows in zip(("train", "heldout"), both, strict=True):
            failing = rewards.failing_references(sandbox, [problem_set.parse(row) for row in rows])
            reference_check.name(failing)
            good = [row for row in rows if str(row["task_id"]) not in failing]
            problem_set.save(good, folder / f"problems_{name}.jsonl")
            kept[name] = good
            print(f"{len(good)} {name} problems, references verified in the sandbox", flush=True)
    log = RunLog(cfg.output, "sft", {"settings": wanted}, given)
    log.begin("problems")
    log.problems(
        {name: [(row, problem_set.parse(row)) for row in rows] for name, rows in kept.items()}
    )
    stamp.write_text(wanted)


def _identity(path: Path) -> str:
    """Of a problem file's bytes, or of a table's version; "" where there is neither, which reading
    will tell.
    """
    table = open_table(path) if is_table(path) else None
    if table is not None:
        return f"{path.resolve()}@{table.version()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def demonstrations(some: list[Problem], chat: Chat, max_length: int) -> list[Example]:
    """Prompt and demonstrations of each problem.

    Raises SeedbedError for one that is longer than max_length tokens.
    """
    examples = []
    for problem in some:
        for text in problem.demonstrations:
            example = Example(chat.prompt(problem.prompt), chat.response(text), {}, {})
            length = len(example.prompt) + len(example.response)
            if length > max_length:
                raise SeedbedError(
                    f"problem {problem.task_id} has {length} tokens, max_length={max_length}",
                    "raise max_length or drop it",
                )
            examples.append(example)
    return examples


def difficulties(some: list[Problem], power: float) -> list[float]:
    """Sampling weights of demonstrations: difficulty ** power. Raises SeedbedError for a problem
    without a known difficulty.
    """
    unknown = [problem.task_id for problem in some if problem.difficulty <= 0]
    if power and unknown:
        raise SeedbedError(
            f"favour_harder={power:g}, but {len(unknown)} problems have no difficulty, the first {unknown[0]}",
            "give every problem a `difficulty` above 0, or set favour_harder=0",
        )
    return [problem.difficulty**power for problem in some for _ in problem.demonstrations]


def _line(row: dict[str, Any], steps: int, eta: float) -> str:
    heldout = "" if row["heldout_loss"] is None else f"  held-out loss {row['heldout_loss']:.4f}"
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  loss {row['loss']:.4f}  lr {row['lr']:.2e}  "
        f"{row['tokens'] / row['seconds']:,.0f} response tok/s  ETA {int(eta) // 60}:{int(eta) % 60:02d}{heldout}"
    )


# the guard matters: the checkpoint writer may spawn processes that import this file
if __name__ == "__main__":
    processes.run_ranks(main)
