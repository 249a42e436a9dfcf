"""The stages of the demo in order: the commands that a user would type, with their durations."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from conf.loader import load
from conf.schema.demo import DemoConfig
from conf.schema.pretrain import PretrainConfig, check_scorer
from conf.schema.rl.grpo import GrpoConfig
from conf.schema.rl.sft import SftConfig


@dataclass(frozen=True)
class Stage:
    """One program of the line.

    command: a list of arguments, never a shell string. seconds: measured on two quiet cores.
    """

    name: str
    what: str
    command: list[str]
    seconds: int

    @property
    def environment(self) -> dict[str, str]:
        """Variables on top of the caller's environment.

        Several processes on few cores are fastest with one thread each.
        """
        return {"OMP_NUM_THREADS": "1"} if "torch.distributed.run" in self.command else {}


def module(name: str, *arguments: str) -> list[str]:
    """The command `python -m name arguments`, with this interpreter."""
    return [sys.executable, "-m", name, *arguments]


def torchrun(ranks: int, name: str, *arguments: str) -> list[str]:
    """The command that runs a module in `ranks` processes of this machine."""
    return module(
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(ranks),
        "-m",
        name,
        *arguments,
    )


def check_programs(cfg: DemoConfig) -> None:
    """Reads the training programs' settings before the first stage.

    Raises SeedbedError for what a later program would refuse after minutes of work.
    """
    pretrain = load(PretrainConfig, cfg.pretrain)
    check_scorer(pretrain.scorer, pretrain.model.seq_length, f"the model of {cfg.pretrain}")
    load(SftConfig, cfg.sft)
    load(GrpoConfig, cfg.grpo)


def stages(cfg: DemoConfig, seconds: dict[str, int]) -> list[Stage]:
    """All stages of a profile. seconds: stage -> its duration, from the profile's expectations."""
    out = f"output={cfg.output}"
    curate = ("--config", cfg.curate, f"input={cfg.downloads}", out)
    lm_scores = (
        f"score.scorer={cfg.output}/scorers/language_model",
        "score.scope=labelled",
        f"score.max_tokens={cfg.scorer_tokens}",
    )
    line = [
        (
            "fetch",
            "real source archives, pinned and hashed",
            module("demo.fetch", f"sources={cfg.sources}", f"folder={cfg.downloads}"),
        ),
        (
            "curate",
            "archives -> Delta tables -> token shards",
            module("spark_jobs", "run", *curate),
        ),
        (
            "pretrain",
            "Megatron on 4 processes, TP=2 x PP=2",
            torchrun(cfg.pretrain_ranks, "megatron_train.pretrain", "--config", cfg.pretrain, out),
        ),
        (
            "scorer",
            "regression head on the new model",
            module("megatron_train.train_scorer", "--config", cfg.pretrain, out),
        ),
        (
            "score",
            "the model scores code through vLLM",
            module("spark_jobs", "run", *curate, *lm_scores, "from=scores", "until=scores"),
        ),
        (
            "sft",
            "warm-up on demonstrations",
            torchrun(cfg.rl_ranks, "rl.sft", "--config", cfg.sft, out),
        ),
        (
            "grpo",
            "reward from unit tests in the sandbox",
            torchrun(cfg.rl_ranks, "rl.grpo", "--config", cfg.grpo, out),
        ),
        ("report", "one page of everything", module("report", out)),
    ]
    return [Stage(name, what, command, seconds[name]) for name, what, command in line]
