"""A stage plan -> DIR/stages/NAME: pretraining runs that begin where others end, without hand work.

    torchrun --nproc-per-node 4 -m megatron_train.stages resume --config conf/stages/demo.yaml \\
        output=DIR [only=STAGE]
    python -m megatron_train stages status --config conf/stages/demo.yaml output=DIR
    python -m megatron_train stages diff --config conf/stages/demo.yaml output=DIR stable decay
    python -m megatron_train stages branch --config PLAN.yaml output=DIR decay decay_more \\
        tokens=2000000 final_lr=3e-5

`resume` runs every stage that is not done, parents first, from wherever a kill left it. Each stage
is an ordinary run that begins with its parent's weights and Adam state. `status` says where each
stage stands and which settings were changed since it ran. `diff` prints the settings in which two
stages differ. `branch` appends a copy of a stage to the plan file, under another name and with
other fields; the copy begins after the same parent.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import yaml

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_dict, to_yaml
from conf.schema.pretrain import PretrainConfig, SourceConfig
from conf.schema.stages import StageConfig, StagesConfig
from megatron_train.checkpoint.step_folders import latest, read_manifest
from megatron_train.training.schedule import last_rate
from seedbed.files import write_whole

ACTIONS = ("resume", "status", "diff", "branch")
CONFIGS = Path(__file__).resolve().parents[1] / "conf" / "pretrain"


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in ACTIONS:
        print(__doc__)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    action, *rest = argv
    args = cli_parser(f"megatron_train stages {action}", __doc__).parse_args(rest)
    known = {field.name for field in dataclasses.fields(StagesConfig)}
    overrides = [item for item in args.overrides if item.split("=")[0].split(".")[0] in known]
    more = [item for item in args.overrides if item not in overrides]
    plan = load(StagesConfig, args.config, overrides)
    if args.dry_run:
        for stage in plan.stages:
            print(f"# {stage.name}\n{to_yaml(resolve(plan, stage))}")
        return 0
    if action == "status":
        print(status(plan))
        return 0
    if action == "diff":
        print("\n".join(diff(plan, *_two(more, "diff STAGE STAGE"))))
        return 0
    if action == "branch":
        branch(plan, Path(args.config or ""), more)
        return 0
    return resume(plan, more)


def resolve(plan: StagesConfig, stage: StageConfig) -> PretrainConfig:
    """The pretraining config of one stage.

    Raises:
        SeedbedError: with the stage's name, for settings that cannot work.
    """
    base = Path(plan.base) if Path(plan.base).is_absolute() else CONFIGS / plan.base
    out = Path(plan.output)
    tokens = [SourceConfig("tokens", str(out / "tokens"))]
    given: dict[str, Any] = {
        "optim.lr": stage.lr,
        "optim.min_lr": stage.final_lr or stage.lr,
        "model.seq_length": stage.seq_length,
        "model.rope_base": stage.rope_base,
    }
    settings = [*stage.set, *(f"{key}={value}" for key, value in given.items() if value)]
    try:
        cfg = load(
            PretrainConfig, base if plan.base else None, [*settings, "schedule.steps=1000000000"]
        )
        steps = cfg.batch.steps_for(-(-stage.tokens // cfg.model.seq_length))
        schedule = dataclasses.replace(
            cfg.schedule,
            steps=steps,
            warmup_steps=stage.warmup_steps,
            decay_steps=max(steps - stage.warmup_steps, 0) if stage.final_lr else 0,
            shape=stage.shape,
        )
        parent = (
            str(folder(plan, stage.parent) / "pretrain" / "checkpoints") if stage.parent else ""
        )
        cfg = dataclasses.replace(
            cfg,
            output=str(folder(plan, stage.name)),
            data=dataclasses.replace(cfg.data, blend=stage.blend or cfg.data.blend or tokens),
            schedule=schedule,
            parent=f"{parent}/step_{stage.parent_step:08d}" if stage.parent_step else parent,
        )
        cfg = dataclasses.replace(cfg, seed=_seed(plan, stage, cfg))
        cfg.check()
    except SeedbedError as error:
        raise SeedbedError(f"stage {stage.name}: {error.problem}", error.fix) from error
    return cfg


def _seed(plan: StagesConfig, stage: StageConfig, cfg: PretrainConfig) -> int:
    """The seed of the stage's order of samples.

    A stage that reads the parent's blend in sequences of the parent's length has the parent's seed.
    It goes on behind the parent's last sample. Any other stage has its own seed, so that it does
    not begin with the parent's documents.
    """
    if not stage.parent:
        return cfg.seed
    parent = resolve(plan, _stage(plan, stage.parent))
    if (cfg.data, cfg.model.seq_length) == (parent.data, parent.model.seq_length):
        return parent.seed
    return int(config_hash(cfg.seed, stage.name)[:7], 16)


def folder(plan: StagesConfig, name: str) -> Path:
    return Path(plan.output) / "stages" / name


def state_of(cfg: PretrainConfig) -> tuple[str, int]:
    """(one of "not started", "running" and "done", step of the newest checkpoint).

    A stage is done when its model is exported as well.
    """
    run = Path(cfg.output)
    newest = latest(run / "pretrain" / "checkpoints")
    step = read_manifest(newest)["step"] if newest else 0
    if step >= cfg.schedule.steps and (run / "hf" / "config.json").is_file():
        return "done", step
    return ("running" if step else "not started"), step


def changed(cfg: PretrainConfig) -> list[str]:
    """Settings that were changed since the newest checkpoint, as `key: then -> now`."""
    newest = latest(Path(cfg.output) / "pretrain" / "checkpoints")
    if newest is None:
        return []
    then = _flat(read_manifest(newest)["extra"]["config"])
    return _differences(then, _flat(to_dict(cfg)))


def status(plan: StagesConfig) -> str:
    """A table of the stages, with the loss at each one's newest checkpoint."""
    # It imports torch and megatron-core, which the other actions do not need.
    from megatron_train.metrics.metrics_file import losses_before

    lines = [
        f"{'stage':14} {'after':14} {'tokens':>8} {'steps':>9} {'rate':>19} {'length':>6}  state"
    ]
    for stage in plan.stages:
        cfg = resolve(plan, stage)
        state, step = state_of(cfg)
        losses = losses_before(Path(cfg.output) / "pretrain" / "metrics.jsonl", step, 1)
        said = f"{state} {step:,}" + "".join(f", loss {loss:.4f}" for loss in losses)
        rate = f"{cfg.optim.lr:.2e} -> {last_rate(cfg.optim, cfg.schedule, cfg.batch):.2e}"
        lines.append(
            f"{stage.name:14} {stage.parent or '-':14} {_short(stage.tokens):>8} "
            f"{cfg.schedule.steps:>9,} {rate:>19} {cfg.model.seq_length:>6}  {said}"
        )
        lines += [f"{'':14} changed since it ran: {one}" for one in changed(cfg)]
    return "\n".join(lines)


def diff(plan: StagesConfig, first: str, second: str) -> list[str]:
    """The settings in which two stages differ, as `key: of the first -> of the second`."""
    a, b = (_flat(to_dict(resolve(plan, _stage(plan, name)))) for name in (first, second))
    return _differences(a, b)


def branch(plan: StagesConfig, file: Path, words: list[str]) -> None:
    """Append a copy of a stage to the plan file; words: OLD NEW and any field=value."""
    fields = dict(word.split("=", 1) for word in words if "=" in word)
    old, new = _two(
        [word for word in words if "=" not in word], "branch STAGE NEW_NAME [field=value]"
    )
    node = {
        key: value for key, value in to_dict(_stage(plan, old)).items() if value not in ("", 0, [])
    }
    node |= {"name": new, **{key: yaml.safe_load(value) for key, value in fields.items()}}
    text = file.read_text()
    line = yaml.safe_dump([node], default_flow_style=None, sort_keys=False, width=1000)
    indent = next(row for row in text.splitlines() if row.lstrip().startswith("- ")).split("-")[0]
    grown = text.rstrip("\n") + "\n" + "".join(f"{indent}{row}\n" for row in line.splitlines())
    trial = file.with_suffix(".partial.yaml")
    trial.write_text(grown)
    try:
        made = load(StagesConfig, trial)
        resolve(made, _stage(made, new))
    finally:
        trial.unlink()
    write_whole(file, grown)
    print(f"{file}: {new} begins after {node.get('parent', 'nothing')}; `stages resume` runs it")


def resume(plan: StagesConfig, words: list[str]) -> int:
    """Run every stage that is not done, parents first; all processes of torchrun take part."""
    # The other actions need no processes, and megatron-core is slow to import.
    from megatron_train import pretrain
    from megatron_train.parallel import processes

    only = [word.removeprefix("only=") for word in words if word.startswith("only=")]
    for name in only:
        _stage(plan, name)
    for stage in plan.stages:
        cfg = resolve(plan, stage)
        if (only and stage.name not in only) or state_of(cfg)[0] == "done":
            continue
        if processes.rank() == 0:
            print(
                f"stage {stage.name}: {_short(stage.tokens)} tokens in "
                f"{cfg.schedule.steps:,} steps",
                flush=True,
            )
        if not pretrain.run(cfg):
            break
    processes.stop()
    return 0


def _stage(plan: StagesConfig, name: str) -> StageConfig:
    for stage in plan.stages:
        if stage.name == name:
            return stage
    raise SeedbedError(
        f"the plan has no stage {name}", f"use one of: {', '.join(s.name for s in plan.stages)}"
    )


def _two(words: list[str], usage: str) -> tuple[str, str]:
    if len(words) != 2:
        raise SeedbedError(
            f"two names are needed, not {len(words)}: {' '.join(words)}", f"stages {usage}"
        )
    return words[0], words[1]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return out


def _differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return [f"{key}: {then.get(key)} -> {now.get(key)}" for key in keys]


def _short(tokens: int) -> str:
    for size, mark in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{mark}"
    return str(tokens)


if __name__ == "__main__":
    from megatron_train.parallel.processes import run_ranks

    sys.exit(run_ranks(main))
