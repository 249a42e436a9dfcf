"""A stage plan: pretraining as a declared graph of runs, each beginning where another ends.

Examples are in conf/stages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.checks import local
from conf.schema.pretrain import SourceConfig
from conf.schema.ranges import Amount, Count, CountOrNone


@dataclass(frozen=True)
class StageConfig:
    """One run of the graph. A field that is 0 or empty is as in the plan's base config."""

    name: str
    # Tokens that this stage reads, rounded up to whole steps.
    tokens: Count
    # The stage whose weights and Adam state this one begins with; empty: from nothing.
    parent: str = ""
    # One of the parent's checkpoints that is still on disk; 0: its last.
    parent_step: CountOrNone = 0
    lr: Amount = 0.0
    # The rate goes from lr to this over the whole stage; 0: it stays at lr.
    final_lr: Amount = 0.0
    # How the rate decays to final_lr: 1-sqrt or linear.
    shape: str = "1-sqrt"
    warmup_steps: CountOrNone = 0
    seq_length: CountOrNone = 0
    rope_base: CountOrNone = 0
    # Empty: output/tokens alone.
    blend: list[SourceConfig] = field(default_factory=list)
    # Further key=value overrides of the base config. The fields above win over them.
    set: list[str] = field(default_factory=list)

    def check(self, earlier: list[str]) -> None:
        """earlier: the names of the stages that are declared before this one."""
        if not self.name.replace("_", "").replace("-", "").isalnum():
            raise SeedbedError(
                f"stage name {self.name!r} becomes a folder's",
                "use letters, digits, - and _ alone",
            )
        if self.parent and self.parent not in earlier:
            raise SeedbedError(
                f"stage {self.name} begins after {self.parent}, which is not declared before it",
                f"declare {self.parent} first, or name one of: {', '.join(earlier) or '-'}",
            )
        if self.final_lr > self.lr > 0:
            raise SeedbedError(
                f"stage {self.name} would raise the rate from lr={self.lr} to "
                f"final_lr={self.final_lr}",
                "use warmup_steps for a rise, and a final_lr of at most lr",
            )


@dataclass(frozen=True)
class StagesConfig:
    """A plan: its stages in the order in which they run."""

    # A pretraining config, relative to this project's conf/pretrain or absolute; empty: the
    # defaults.
    base: str = ""
    # Each stage writes output/stages/NAME.
    output: str = "runs/demo"
    stages: list[StageConfig] = field(default_factory=list)

    def check(self) -> None:
        local("output", self.output)
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
        for number, stage in enumerate(self.stages):
            stage.check(names[:number])
