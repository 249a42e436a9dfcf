"""Settings of supervised fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.lora import LoraConfig
from conf.schema.pretrain import BatchConfig, OptimConfig, ParallelConfig, ScheduleConfig
from conf.schema.problem_files import ProblemFileConfig
from conf.schema.ranges import Amount, Count, CountOrNone, Seed, Several, Temperature
from conf.schema.rl.sections import (
    ProblemConfig,
    SandboxConfig,
    check_training,
)


@dataclass(frozen=True)
class SftConfig(ProblemFileConfig):
    """Supervised fine-tuning on demonstrations (`python -m rl.sft`)."""

    # Reads output/hf. Writes output/rl/problems_*.jsonl and output/rl/sft.
    output: str = "runs/demo"
    # Hugging Face folder to start from. Empty means output/hf.
    base: str = ""
    problems: ProblemConfig = field(default_factory=ProblemConfig)
    # JSON lines whose `code` is the demonstration. Empty means generated problems.
    train_problems: str = ""
    # The same for the held-out problems.
    heldout_problems: str = ""
    # Reference solutions that are trained on. The paper's warm-up is deliberately small (Sec 3.2).
    demonstrations: Count = 300
    # Tokens of prompt and response. Longer demonstrations are refused.
    max_length: Several = 128
    # Several demonstrations share a row of at most so many tokens, and none sees another (Sec 3.1).
    # 0 means one demonstration per row.
    pack_length: CountOrNone = 0
    # Demonstrations are drawn in proportion to their difficulty, raised to this power. 0 takes each
    # once per pass. The report favours harder ones and gives no rule (Sec 3.1). `difficulty` is a
    # field of the problems, above 0.
    favour_harder: Temperature = 0.0
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    batch: BatchConfig = field(default_factory=lambda: BatchConfig(micro=8, total=16))
    # The paper has 2e-5 for 8B (Sec 3.2). A model of a few million parameters, trained for minutes,
    # needs a rate as in pretraining.
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=2e-3, min_lr=2e-4, weight_decay=0.0)
    )
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(
            steps=110, warmup_steps=10, decay_steps=20, shape="linear"
        )
    )
    # Training ends early, once the loss on the held-out demonstrations is at most this. 0 takes all
    # steps. Rounding makes small models learn at different speeds on different processors, so a
    # level of loss gives a more even start for RL than a number of steps (docs/benchmarks.md).
    target_heldout_loss: Amount = 0.0
    # Steps between evaluations of the held-out loss. 0 evaluates after the last step alone.
    eval_every: CountOrNone = 0
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    dtype: str = "fp32"
    seed: Seed = 1
    # Steps between checkpoints. The last step is always saved.
    save_every: Count = 1000
    # Checkpoints that are kept.
    keep: Count = 1

    def check(self) -> None:
        """The rules of each section, and those between fields."""
        check_training(self.output, self.dtype)
        self.optim.check()
        self.lora.check()
        self.sandbox.check()
        self.schedule.check()
        if self.target_heldout_loss and self.eval_every < 1:
            raise SeedbedError(
                f"target_heldout_loss={self.target_heldout_loss} with eval_every={self.eval_every}"
                ": the held-out loss would be known after the last step alone",
                "add eval_every=5",
            )
        if bool(self.train_problems) != bool(self.heldout_problems):
            raise SeedbedError(
                f"train_problems={self.train_problems!r} "
                f"but heldout_problems={self.heldout_problems!r}",
                "give both, or neither for generated problems",
            )
        if self.pack_length and self.pack_length < self.max_length:
            raise SeedbedError(
                f"pack_length={self.pack_length} is below max_length={self.max_length}: "
                "one demonstration must fit a row",
                "raise pack_length to a few times max_length",
            )
        if not self.train_problems and not 0 < self.demonstrations <= self.problems.train:
            raise SeedbedError(
                f"demonstrations={self.demonstrations} must lie between 1 and "
                f"problems.train={self.problems.train}: "
                "each is the reference solution of one training problem",
                "lower demonstrations or raise problems.train",
            )
        self.batch.check()
