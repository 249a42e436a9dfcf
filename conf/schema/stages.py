"""A stage plan: pretraining as one declared graph of runs, each beginning where another ends.
Examples: conf/stages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.pretrain import SourceConfig


@dataclass(frozen=True)
class StageConfig:
    """One run of the graph. What is 0 or empty is as in the plan's base config."""

    name: str
    # to be read in this stage; rounded up to whole steps
    tokens: int
    # the stage whose weights and Adam state this one begins with; empty: from nothing
    parent: str = ""
    # one of the parent's checkpoints that is still on disk; 0: its last
    parent_step: int = 0
    lr: float = 0.0
    # the rate goes from lr to this over the whole stage; 0: it stays at lr
    final_lr: float = 0.0
    # of that way: 1-sqrt or linear
    shape: str = "1-sqrt"
    warmup_steps: int = 0
    seq_length: int = 0
    rope_base: int = 0
    # empty: output/tokens alone
    blend: list[SourceConfig] = field(default_factory=list)
    # further key=value overrides of the base config; the fields above win
    set: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StagesConfig:
    # a pretraining config, relative to this project's conf/pretrain or absolute; empty: the
    # defaults
    base: str = ""
    # each stage writes output/stages/NAME
    output: str = "runs/demo"
    stages: list[StageConfig] = field(default_factory=list)

    def check(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names:
            raise SeedbedError(
                "the plan has no stages", "declare at least one, with a name and tokens"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SeedbedError(
                f"the plan has two stages named {twice[0]}", "give every stage a name of its own"
            )
        for stage in self.stages:
            if not stage.name.replace("_", "").replace("-", "").isalnum():
                raise SeedbedError(
                    f"stage name {stage.name!r} becomes a folder's",
                    "use letters, digits, - and _ alone",
                )
            if stage.parent and stage.parent not in names[: names.index(stage.name)]:
                raise SeedbedError(
                    f"stage {stage.name} begins after {stage.parent}, which is not declared before it",
                    f"declare {stage.parent} first, or name one of: {', '.join(names[: names.index(stage.name)]) or '-'}",
                )
            if stage.tokens < 1:
                raise SeedbedError(
                    f"stage {stage.name} has tokens={stage.tokens}", "give it tokens to read"
                )
            if stage.final_lr > stage.lr > 0:
                raise SeedbedError(
                    f"stage {stage.name} would raise the rate from lr={stage.lr} to final_lr={stage.final_lr}",
                    "use warmup_steps for a rise, and a final_lr of at most lr",
                )
