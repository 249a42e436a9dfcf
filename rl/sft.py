"""Supervised fine-tuning on demonstrations, with the loss on responses only.

    torchrun --nproc-per-node 2 -m rl.sft --config conf/rl/demo_sft.yaml output=DIR [key=value]

This is the small warm-up that RL starts from. It trains base=HF_FOLDER, by default DIR/hf.

A demonstration is the solution (`code`) of a problem, or each of its `responses` where it has some:
the chains of thought that rl.distill collects. The problems are generated, or come from
train_problems=FILE and heldout_problems=FILE, which may be tables.

Writes DIR/rl/problems_train.jsonl and problems_heldout.jsonl, whose solutions and responses the
sandbox has verified, and DIR/rl/sft with unfit.json (what is left out, with the reason),
checkpoints/, metrics.jsonl and hf/. A run that is started again goes on from its newest checkpoint.
On CPUs set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_yaml
from conf.schema.pretrain import check_world
from conf.schema.rl import SftConfig
from megatron_train.checkpoint import hf_folder
from megatron_train.parallel import processes
from megatron_train.parallel.processes import on_main
from megatron_train.training.schedule import learning_rate
from megatron_train.training.step import Batch, eval_loss, train_step
from rl.problems import problem_set
from rl.problems.problem_set import Problem, Row
from rl.rollouts import demonstrated, reference_check
from rl.rollouts.sampler import chat_prompt
from rl.training.batches import (
    Example,
    ProcessShare,
    packed_batches,
    sample_indices,
    step_batches,
    weighted_indices,
)
from rl.training.loop import Algorithm, Training, minutes, say
from rl.training.objective import LossSums, masked_cross_entropy
from rl.training.policy import build_policy
from rl.training.run_tables import StageTables
from seedbed import jsonl
from seedbed.files import claim
from seedbed.inference.chat import Chat
from seedbed.sandbox import Sandbox
from seedbed.tables.opening import open_table
from seedbed.tables.writer import is_table

SPLITS = ("train", "heldout")


def main(argv: list[str]) -> int:
    args = cli_parser("rl.sft", __doc__).parse_args(argv)
    cfg = load(SftConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    folder = Path(cfg.output) / "rl"
    out = folder / "sft"
    base = Path(cfg.base or Path(cfg.output) / "hf")
    model, vocab_size = hf_folder.examine(base)
    chat = Chat(base)
    dp = check_world(cfg.parallel, cfg.batch, processes.started_world())

    processes.start(cfg.parallel, cfg.seed)
    on_main(lambda: claim(out))
    on_main(lambda: prepare_problems(cfg, folder))
    read = {name: problem_set.read(folder / f"problems_{name}.jsonl") for name in SPLITS}
    short = {name: demonstrated.short(read[name], chat, cfg.max_length) for name in SPLITS}
    on_main(lambda: _record_long({**short["heldout"][1], **short["train"][1]}, out))
    chosen = short["train"][0][: cfg.demonstrations]
    train = demonstrations(chosen, chat, cfg.max_length)[: cfg.demonstrations]
    weights = difficulties(chosen, cfg.favour_harder)[: cfg.demonstrations]
    heldout = demonstrations(short["heldout"][0], chat, cfg.max_length)
    if not train or not heldout:
        raise SeedbedError(
            f"{len(train)} training and {len(heldout)} held-out demonstrations fit "
            f"max_length={cfg.max_length}: there must be one of each",
            f"raise max_length, or see {out / 'unfit.json'}",
        )

    state = build_policy(cfg, model, vocab_size)
    sources = cfg.train_problems, cfg.heldout_problems
    draws = cfg.demonstrations, cfg.batch.total, cfg.seed, cfg.favour_harder
    training = Training(cfg, state, base, out, config_hash(cfg.problems, *sources, *draws))
    reached = training.start_or_resume().get("target_reached", False)
    total, steps = cfg.batch.total, cfg.schedule.steps
    say(f"{len(train)} demonstrations, {steps} steps of {total}, dp {dp}")
    share = ProcessShare.of_this_process(cfg.parallel, chat.end_id)

    def batches(examples: list[Example]) -> list[Batch]:
        if cfg.pack_length:
            length = share.padded(cfg.pack_length)
            return packed_batches(examples, cfg.batch.micro, share, length)
        return step_batches(examples, cfg.batch.micro, share, cfg.parallel)

    def draw(start: int) -> list[int]:
        if cfg.favour_harder:
            return weighted_indices(weights, start, total, cfg.seed)
        return sample_indices(len(train), start, total, cfg.seed)

    def step() -> Row:
        nonlocal reached
        started = time.perf_counter()
        lr = learning_rate(state.step, cfg.optim, cfg.schedule)
        batch = [train[i] for i in draw(state.step * total)]
        result = train_step(state, batches(batch), loss, lr)
        row = {
            "step": state.step,
            "loss": result.loss,
            "lr": lr,
            "grad_norm": result.grad_norm,
            "tokens": result.tokens,
            "seconds": round(time.perf_counter() - started, 3),
            "heldout_loss": None,
        }
        if state.step == steps or (cfg.eval_every and state.step % cfg.eval_every == 0):
            row["heldout_loss"] = eval_loss(state, batches(heldout), loss).loss
            reached = 0 < cfg.target_heldout_loss >= row["heldout_loss"]
        return row

    training.run(
        steps,
        Algorithm(
            step,
            line=lambda row, eta: _line(row, steps, eta),
            extra=lambda: {"target_reached": reached},
            done=lambda: reached,
        ),
    )
    if cfg.target_heldout_loss:
        what = "reached" if reached else "NOT reached"
        say(f"held-out loss of {cfg.target_heldout_loss:g} {what} after {state.step} steps")
    training.export()
    processes.stop()
    return 0


def loss(logprobs: torch.Tensor, batch: Batch) -> LossSums:
    """Cross-entropy of the response tokens."""
    return masked_cross_entropy(logprobs, batch["loss_mask"])


def prepare_problems(cfg: SftConfig, folder: Path) -> None:
    """Generates both problem files, or copies those given, with verified demonstrations only.

    The sandbox judges every solution, and the program of every response by the rule that judges
    rewards. A problem of which nothing passes, or that cannot be judged, is named on stderr,
    dropped, and recorded in sft/unfit.json. Does nothing where the files of these settings are
    there already.
    """
    stamp = folder / "problems.hash"
    given = [Path(path) for path in (cfg.train_problems, cfg.heldout_problems) if path]
    judged = cfg.format, cfg.sandbox.python, cfg.sandbox.packages
    wanted = config_hash(cfg.problems, [_identity(path) for path in given], *judged)
    record = folder / "sft" / "unfit.json"
    if stamp.is_file() and record.is_file() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    unfit: dict[str, str] = {}
    with Sandbox.of(cfg.sandbox) as sandbox:
        both = [
            [row for row, _ in problem_set.read_with_rows(path, cfg.format, cfg.max_bad)]
            for path in given
        ] or problem_set.generate(cfg.problems)
        kept: dict[str, list[Row]] = {}
        for name, rows in zip(("train", "heldout"), both, strict=True):
            kept[name], failing = demonstrated.verified(sandbox, rows)
            reference_check.announce(failing)
            unfit |= failing
            jsonl.write(folder / f"problems_{name}.jsonl", kept[name])
            print(f"{len(kept[name])} {name} problems, verified in the sandbox", flush=True)
    reference_check.write(record, wanted, sandbox.version, unfit)
    tables = StageTables(cfg.output, "sft", {"settings": wanted}, given)
    tables.begin("problems")
    tables.problems(
        {name: [(row, problem_set.parse(row)) for row in rows] for name, rows in kept.items()}
    )
    stamp.write_text(wanted)


def _record_long(long: dict[str, str], out: Path) -> None:
    """Adds what is too long to unfit.json, and names what was not named there before."""
    record = out / "unfit.json"
    stored = json.loads(record.read_text())
    fresh = {task: why for task, why in long.items() if stored["unfit"].get(task) != why}
    if fresh:
        reference_check.announce(fresh)
        reference_check.write(
            record, stored["problems"], stored["sandbox"], {**stored["unfit"], **fresh}
        )


def _identity(path: Path) -> str:
    """Identity of a table's version or of a file's bytes.

    It is "" where there is neither; reading the problems then raises the error.
    """
    table = open_table(path) if is_table(path) else None
    if table is not None:
        return f"{path.resolve()}@{table.version()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def demonstrations(some: list[Problem], chat: Chat, max_length: int) -> list[Example]:
    """Prompt and response of each demonstration that has at most max_length tokens."""
    pairs = [(problem, text) for problem in some for text in problem.demonstrations]
    examples = [Example(chat_prompt(chat, p), chat.response(text), {}, {}) for p, text in pairs]
    return [e for e in examples if len(e.prompt) + len(e.response) <= max_length]


def difficulties(some: list[Problem], power: float) -> list[float]:
    """Sampling weights of the demonstrations: difficulty ** power.

    Raises:
        SeedbedError: for a problem whose difficulty is not known.
    """
    unknown = [problem.task_id for problem in some if problem.difficulty <= 0]
    if power and unknown:
        raise SeedbedError(
            f"favour_harder={power:g}, but {len(unknown)} problems have no difficulty, "
            f"the first {unknown[0]}",
            "give every problem a `difficulty` above 0, or set favour_harder=0",
        )
    return [problem.difficulty**power for problem in some for _ in problem.demonstrations]


def _line(row: dict[str, Any], steps: int, eta: float) -> str:
    """Every tenth step and each with a held-out loss, for the screen."""
    if row["heldout_loss"] is None and row["step"] % 10:
        return ""
    heldout = "" if row["heldout_loss"] is None else f"  held-out loss {row['heldout_loss']:.4f}"
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  loss {row['loss']:.4f}  "
        f"lr {row['lr']:.2e}  {row['tokens'] / row['seconds']:,.0f} response tok/s  "
        f"ETA {minutes(eta)}{heldout}"
    )


# The checkpoint writer may spawn processes that import this file; they must not train.
if __name__ == "__main__":
    processes.run_ranks(main)
