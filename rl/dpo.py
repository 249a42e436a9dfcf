"""DPO on the model's own samples: a passing sample is preferred to a failing one.

    torchrun --nproc-per-node 2 -m rl.dpo --config conf/rl/demo_dpo.yaml output=DIR [key=value]

The sandbox says which samples pass. A pair holds two samples of one problem. The training starts
from base=HF_FOLDER, by default DIR/rl/sft/hf, and draws problems from DIR/rl/problems_train.jsonl.

Writes DIR/rl/dpo:
    samples.jsonl     every sample with its verdict
    pairs.jsonl       which sample is preferred to which, and why
    reference.jsonl   log-probabilities under the model that training starts from
    unfit.json        problems that are not sampled, with the reason
    checkpoints/, metrics.jsonl, hf/
and the tables problems, rollouts and pairs. A run that is killed and started again goes on from the
last judged group of problems, then from the newest checkpoint. On CPUs set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from conf.loader import cli_parser, config_hash, load, to_yaml
from conf.schema.pretrain import check_world
from conf.schema.rl import DpoConfig
from megatron_train.checkpoint import hf_folder, hf_import
from megatron_train.parallel import processes
from megatron_train.parallel.processes import from_shares, on_main
from megatron_train.training.schedule import learning_rate
from megatron_train.training.step import Batch, TrainState, token_logprobs, train_step
from rl.problems import problem_set
from rl.problems.problem_set import Problem, Row
from rl.rollouts import pairs, reference_check
from rl.rollouts.pair_sampler import PairSampler, SamplesRecord
from rl.training.batches import ProcessShare, sample_indices
from rl.training.loop import Algorithm, Training, minutes, say
from rl.training.objective import LossSums, preference_loss, sequence_logprobs
from rl.training.policy import build_policy
from rl.training.resume import require_length
from rl.training.run_tables import StageTables
from seedbed import jsonl
from seedbed.files import claim
from seedbed.inference.chat import Chat
from seedbed.sandbox import Interpreter, Sandbox, version


def main(argv: list[str]) -> int:
    args = cli_parser("rl.dpo", __doc__).parse_args(argv)
    cfg = load(DpoConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    folder = Path(cfg.output) / "rl"
    out = folder / "dpo"
    base = Path(cfg.base or folder / "sft" / "hf")
    model, vocab_size = hf_folder.examine(base)
    require_length(cfg, model, base)
    dp = check_world(cfg.parallel, cfg.batch, processes.started_world())
    file = Path(cfg.train_problems or folder / "problems_train.jsonl")
    read = problem_set.read_with_rows(file, cfg.format, cfg.max_bad)[: cfg.problems or None]
    chat = Chat(base)

    processes.start(cfg.parallel, cfg.seed)
    on_main(lambda: claim(out))
    failing = on_main(lambda: _unfit(cfg, chat, read, out / "unfit.json"))
    read = [one for one in read if one[1].task_id not in failing]
    sampling = (str(base), cfg.samples, cfg.temperature, cfg.max_prompt, cfg.max_response, cfg.seed)
    data = config_hash([problem.task_id for _, problem in read], *sampling, cfg.pairs_per_problem)
    settings = {
        "settings": data,
        "base": str(base),
        "sandbox": version(Interpreter.of(cfg.sandbox)),
    }
    record = SamplesRecord(out, data, StageTables(cfg.output, "dpo", settings, [file]))
    with PairSampler(cfg, base, chat, read, record) as sampler:
        while on_main(sampler.advance):
            pass

    found = jsonl.rows(out / "pairs.jsonl")
    state = build_policy(cfg, model, vocab_size)
    references = reference_logprobs(cfg, state, base, chat.end_id, found)
    training = Training(cfg, state, base, out, data)
    training.start_or_resume()
    total, steps = cfg.batch.total, cfg.schedule.steps
    say(f"{len(found)} pairs, {steps} steps of {total}, dp {dp}")

    def loss(logprobs: torch.Tensor, batch: Batch) -> LossSums:
        return preference_loss(logprobs, batch["loss_mask"], batch["reference"], cfg.beta)

    def step() -> Row:
        started = time.perf_counter()
        lr = learning_rate(state.step, cfg.optim, cfg.schedule)
        drawn = sample_indices(len(found), state.step * total, total, cfg.seed)
        some, theirs = [found[i] for i in drawn], [references[i] for i in drawn]
        result = train_step(state, _batches(cfg, chat.end_id, some, theirs), loss, lr)
        return {
            "step": state.step,
            "loss": result.loss,
            "lr": lr,
            "grad_norm": result.grad_norm,
            **result.metrics,
            "seconds": round(time.perf_counter() - started, 3),
        }

    training.run(steps, Algorithm(step, lambda row, eta: _line(row, steps, eta)))
    training.export()
    processes.stop()
    return 0


def _unfit(
    cfg: DpoConfig, chat: Chat, read: Sequence[tuple[Row, Problem]], record: Path
) -> dict[str, str]:
    long = reference_check.too_long(chat, [problem for _, problem in read], cfg.max_prompt)
    with Sandbox.of(cfg.sandbox) as sandbox:
        return reference_check.unfit(read, sandbox, record, long)


def reference_logprobs(
    cfg: DpoConfig, state: TrainState, base: Path, pad_id: int, found: Sequence[Row]
) -> list[tuple[float, float]]:
    """(chosen, rejected) log-probability of each pair under `base`; collective.

    They are computed once and kept in reference.jsonl. Where they are computed, `state` is left
    with the weights of `base`.
    """
    path = Path(cfg.output) / "rl" / "dpo" / "reference.jsonl"
    if processes.broadcast_object(path.is_file()):
        return [(row["chosen"], row["rejected"]) for row in jsonl.rows(path)]
    hf_import.load_weights(state, base)
    batches = _batches(cfg, pad_id, found, [(0.0, 0.0)] * len(found))
    mine: list[tuple[float, float]] = []
    for batch, logprobs in zip(batches, token_logprobs(state, batches), strict=True):
        mask = batch["loss_mask"].to(logprobs.device)
        chosen, rejected = sequence_logprobs(logprobs, mask).chunk(2)
        mine += zip(chosen.tolist(), rejected.tolist(), strict=True)
    references = from_shares(mine, len(found))
    if processes.is_main():
        jsonl.write(path, [{"chosen": chosen, "rejected": bad} for chosen, bad in references])
    processes.barrier()
    return references


def _batches(
    cfg: DpoConfig, pad_id: int, some: Sequence[Row], references: Sequence[tuple[float, float]]
) -> list[Batch]:
    share = ProcessShare.of_this_process(cfg.parallel, pad_id)
    return pairs.batches(some, references, cfg.batch.micro, share, cfg.max_length)


def _line(row: Row, steps: int, eta: float) -> str:
    """The first step, every tenth and the last one, for the screen.

    The chosen side's reward is shown because the margin hides its fall. When it falls, both sides
    become unlikely and the samples bad.
    """
    if row["step"] not in (1, steps) and row["step"] % 10:
        return ""
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  loss {row['loss']:.4f}  "
        f"accuracy {row['accuracy']:.2f}  margin {row['margin']:+.3f}  "
        f"chosen {row['chosen_reward']:+.3f}  ETA {minutes(eta)}"
    )


# The checkpoint writer may spawn processes that import this file; they must not train.
if __name__ == "__main__":
    processes.run_ranks(main)
