"""GRPO: sample groups of programs, let the sandbox judge them, train on differences in a group.

    torchrun --nproc-per-node 2 -m rl.grpo --config conf/rl/demo_grpo.yaml output=DIR [key=value]

The training starts from base=HF_FOLDER, by default DIR/rl/sft/hf, and draws problems from
DIR/rl/problems_train.jsonl. DIR/rl/problems_heldout.jsonl is evaluated before and after.

Writes DIR/rl/grpo:
    rollouts.jsonl    every sample with its verdict, advantage and log-probabilities
    unfit.json        training problems that are not drawn, with the reason
    checkpoints/, metrics.jsonl, hf/
and at each checkpoint the tables problems and rollouts. DIR/rl/eval_sft.json and eval_grpo.json
hold the held-out completions before and after.

Process 0 owns the engine and the sandbox; all processes train, in any layout. Prompts and sampling
seeds depend on (seed, step, drawn problems) alone, so a run that is killed and started again
repeats its steps exactly. With rollout_lag=1 the engine draws the rollouts of the next step while
this one trains, and a checkpoint holds what was drawn. On CPUs set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_yaml
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import ScheduleConfig, check_world
from conf.schema.rl import DrawConfig, EnvironmentConfig, GrpoConfig
from megatron_train.checkpoint import hf_export, hf_folder, hf_import
from megatron_train.parallel import processes
from megatron_train.parallel.processes import on_main
from megatron_train.training.schedule import learning_rate
from megatron_train.training.step import TrainState
from rl.environments.visible import asked_in_turns
from rl.problems import problem_set
from rl.problems.problem_set import Problem, Row
from rl.rollouts.draws import PassRates, problems_of_step
from rl.rollouts.refill import refilled
from rl.rollouts.rollout_worker import RolloutWorker
from rl.rollouts.sampler import Rollout
from rl.rollouts.selection import log_rows, statistics
from rl.training import shared_prompts
from rl.training.loop import Algorithm, Training, say
from rl.training.policy import build_policy
from rl.training.policy_step import ReferencePolicy, policy_step
from rl.training.resume import require_length
from rl.training.run_tables import StageTables
from rl.training.step_log import Stopwatch, first_line, line
from seedbed import jsonl
from seedbed.files import claim
from seedbed.inference.chat import Chat
from seedbed.sandbox import Interpreter, version

SPLITS = ("train", "heldout")


def main(argv: list[str]) -> int:
    args = cli_parser("rl.grpo", __doc__).parse_args(argv)
    cfg = load(GrpoConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    check_world(cfg.parallel, None, processes.started_world())
    folder = Path(cfg.output) / "rl"
    out = folder / "grpo"
    base = Path(cfg.base or folder / "sft" / "hf")
    model, vocab_size = hf_folder.examine(base)
    _refuse_experts(model, base)
    require_length(cfg, model, base)
    files = {
        name: Path(getattr(cfg, f"{name}_problems") or folder / f"problems_{name}.jsonl")
        for name in SPLITS
    }
    read = {name: _read(path, cfg) for name, path in files.items()}
    chat = Chat(base)

    # The engine loads while solutions are judged and the trainer is built.
    with RolloutWorker(cfg, base, chat, [problem for _, problem in read["train"]], out) as worker:
        processes.start(cfg.parallel, cfg.seed)
        on_main(lambda: claim(out))
        failing = on_main(lambda: worker.failing(read["train"], out / "unfit.json"))
        read["train"] = [one for one in read["train"] if one[1].task_id not in failing]
        problems = {name: [problem for _, problem in read[name]] for name in SPLITS}
        state = build_policy(cfg, model, vocab_size)
        data = config_hash([problem.task_id for problem in problems["train"]], *_sampling(cfg))
        training = Training(cfg, state, base, out, data)
        reference = _reference(cfg, state, base)
        extra = training.start_or_resume("rollouts.jsonl")
        worker.restore(extra.get("drawn_ahead"))
        judges = version(Interpreter.of(cfg.sandbox))
        on_main(lambda: _compare_sandbox(extra.get("sandbox"), judges, state.step))
        settings = {"settings": data, "base": str(base), "sandbox": judges}
        tables = StageTables(cfg.output, "grpo", settings, list(files.values()))
        on_main(lambda: _start_tables(tables, read, state.step, out))
        say(shared_prompts.told(state))
        _train(training, cfg, worker, problems, tables, reference)
        exported = training.export()
        _say_parity(worker.parity(state, exported), exported)
        processes.stop()
    return 0


def _refuse_experts(model: ModelConfig, base: Path) -> None:
    if model.form.experts:
        raise SeedbedError(
            f"{base} is a {model.family} model: GRPO cannot tell whether vLLM, which holds the "
            "experts of a layer as one tensor, has taken new weights whole",
            "train it by rl.sft or rl.dpo, or give GRPO a model without experts",
        )


def _read(path: Path, cfg: GrpoConfig) -> list[tuple[Row, Problem]]:
    found = problem_set.read_with_rows(path, cfg.format, cfg.max_bad)
    return [(row, asked_in_turns(problem, cfg.environment)) for row, problem in found]


def _sampling(cfg: GrpoConfig) -> tuple[object, ...]:
    """The settings that decide which samples a step sees, besides the problems."""
    plan = [(stage.steps, stage.samples, stage.max_response) for stage in cfg.plan[:-1]]
    lengths = cfg.samples, cfg.temperature, cfg.max_response
    others = ((cfg.draw, DrawConfig()), (cfg.environment, EnvironmentConfig()))
    changed = (given for given, default in others if given != default)
    return (cfg.seed, cfg.prompts, *lengths, plan, cfg.rollout_lag, *changed)


def _compare_sandbox(before: str | None, now: str, step: int) -> None:
    if before not in (None, now):
        print(
            f"note: up to step {step} the sandbox was version {before}, now it is {now}; "
            "`python -m rl.rescore` tells which rewards change",
            file=sys.stderr,
        )


def _start_tables(
    tables: StageTables, read: dict[str, list[tuple[Row, Problem]]], step: int, out: Path
) -> None:
    """Begins this stage's rows anew where the run does, else adds what a kill left out."""
    if step == 0:
        tables.begin("problems", "rollouts")
    tables.problems(read)
    tables.rollouts_of_steps(out / "rollouts.jsonl", step)


def _train(
    training: Training,
    cfg: GrpoConfig,
    worker: RolloutWorker,
    problems: Mapping[str, Sequence[Problem]],
    tables: StageTables,
    reference: ReferencePolicy | None,
) -> None:
    state, out, pad_id = training.state, training.out, Chat(training.base).end_id
    train, heldout = problems["train"], problems["heldout"]
    schedule = ScheduleConfig(steps=cfg.steps, warmup_steps=cfg.warmup_steps, decay_steps=0)
    watch = Stopwatch()

    tasks = [problem.task_id for problem in train]
    rates = PassRates(jsonl.rows(out / "rollouts.jsonl")) if cfg.draw.curriculum else None

    def problems_of(step: int) -> list[Problem]:
        return [train[i] for i in problems_of_step(cfg, tasks, rates, step)]

    def draw(chosen: list[int]) -> list[Rollout]:
        more = [train[i] for i in chosen]
        return on_main(lambda: worker.judge(worker.sample(more, state.step)))

    def step() -> Row:
        with watch.part("rollout"):
            # A run that went on beyond its last step has nothing that was drawn ahead.
            policy = state.step - cfg.rollout_lag * worker.has_drawn(state.step)
            sampled = on_main(lambda: worker.sample(problems_of(state.step), state.step))
            if cfg.rollout_lag and state.step + 1 < cfg.steps and processes.is_main():
                worker.sample_ahead(problems_of(state.step + 1), state.step + 1)
        with watch.part("reward"):
            rollouts = on_main(lambda: worker.judge(sampled))
            rollouts, selection = refilled(cfg, tasks, state.step, rollouts, draw)
        with watch.part("train"):
            lr = learning_rate(state.step, cfg.optim, schedule)
            result = policy_step(cfg, state, selection.examples, pad_id, lr, reference)
        with watch.part("sync"):
            difference = worker.sync(state)
        row: Row = {
            "step": state.step,
            **statistics(rollouts, selection),
            "heldout_reward": None,
            "loss": result.loss,
            "grad_norm": result.grad_norm,
            "lr": lr,
            "tokens": int(sum(sum(example.mask) for example in selection.examples)),
            **result.metrics,
            "engine_difference": difference,
        }
        if state.step == cfg.steps or (cfg.eval_every and state.step % cfg.eval_every == 0):
            with watch.part("evaluate"):
                after = on_main(lambda: worker.evaluate(heldout, out.parent / "eval_grpo.json"))
            row["heldout_reward"] = after["reward"]
        row["seconds"] = watch.end_step()
        if processes.is_main():
            fresh = log_rows(rollouts, selection, state.step, policy)
            jsonl.append(out / "rollouts.jsonl", *fresh)
            if rates is not None:
                rates.add(fresh)
        return row

    worker.sync(state)
    # With safetensors the sync has already exported the policy.
    if cfg.engine.transfer == "nccl":
        hf_export.export(state, out / "policy", worker.base)
    _say_parity(worker.parity(state, out / "policy"), out / "policy")
    if state.step == 0:
        before = on_main(lambda: worker.evaluate(heldout, out.parent / "eval_sft.json"))
        row = {"step": 0, "heldout_reward": before["reward"], "shares": before["shares"]}
        training.log(row, first_line(row))
    judges = version(Interpreter.of(cfg.sandbox))
    algorithm = Algorithm(
        step,
        line=lambda row, eta: line(row, cfg.steps, eta),
        extra=lambda: {"drawn_ahead": worker.drawn_ahead(), "sandbox": judges},
        saved=lambda: on_main(lambda: tables.rollouts_of_steps(out / "rollouts.jsonl", state.step)),
    )
    training.run(cfg.steps, algorithm)


def _reference(cfg: GrpoConfig, state: TrainState, base: Path) -> ReferencePolicy | None:
    """`base`, where a KL penalty compares with it; `state` then holds its weights."""
    if not cfg.objective.kl_coefficient:
        return None
    hf_import.load_weights(state, base)
    return ReferencePolicy(state)


def _say_parity(differences: dict[str, float], folder: Path) -> None:
    told = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    say(f"log-probabilities of {folder} against transformers': {told}")


# The checkpoint writer may spawn processes that import this file; they must not train.
if __name__ == "__main__":
    processes.run_ranks(main)
