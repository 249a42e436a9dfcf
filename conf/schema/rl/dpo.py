"""Settings of preference training by DPO."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.lora import LoraConfig
from conf.schema.pretrain import BatchConfig, OptimConfig, ParallelConfig, ScheduleConfig
from conf.schema.problem_files import ProblemFileConfig
from conf.schema.ranges import AmountAboveNone, Count, CountOrNone, Seed, Several, Temperature
from conf.schema.rl.sections import (
    EngineConfig,
    SandboxConfig,
    check_temperature,
    check_training,
)


@dataclass(frozen=True)
class DpoConfig(ProblemFileConfig):
    """Preference training on pairs of right and wrong samples (`python -m rl.dpo`)."""

    # Reads output/rl/sft/hf and output/rl/problems_train.jsonl. Writes output/rl/dpo.
    output: str = "runs/demo"
    # Hugging Face folder to start from, which is also the reference. Empty means output/rl/sft/hf.
    base: str = ""
    # JSON lines. Empty means output/rl/problems_train.jsonl.
    train_problems: str = ""
    # The first so many problems. 0 means all.
    problems: CountOrNone = 0
    # Samples per problem. The paper has hundreds (Sec 3.1).
    samples: Several = 16
    # Problems that are sampled and judged together. A kill costs at most so many.
    prompts: Count = 32
    # Not in the paper, which ends with about 20,000 pairs (Sec 3.1).
    pairs_per_problem: Count = 4
    # Not in the paper. The samples of a problem must differ.
    temperature: Temperature = 1.0
    # Tokens of a prompt.
    max_prompt: Count = 96
    # Tokens of a response.
    max_response: Count = 32
    # It scales the preference. Not in the paper. The value is DPO's own (arXiv 2305.18290 App. B).
    beta: AmountAboveNone = 0.1
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    # Counts pairs.
    batch: BatchConfig = field(default_factory=lambda: BatchConfig(micro=8, total=32))
    # Not in the paper. DPO's own 1e-6 (arXiv 2305.18290 App. B) is for billions of parameters. 1e-4
    # ruins the demo's model (docs/log.md).
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=3e-5, min_lr=1e-6, weight_decay=0.0)
    )
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(
            steps=40, warmup_steps=4, decay_steps=10, shape="linear"
        )
    )
    engine: EngineConfig = field(default_factory=EngineConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    dtype: str = "fp32"
    seed: Seed = 1
    # Steps between checkpoints. The last step is always saved.
    save_every: Count = 1000
    # Checkpoints that are kept.
    keep: Count = 1

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence."""
        return self.max_prompt + self.max_response

    def check(self) -> None:
        """The rules of each section, and those between fields."""
        check_training(self.output, self.dtype)
        self.optim.check()
        self.lora.check()
        self.sandbox.check()
        self.schedule.check()
        self.batch.check()
        check_temperature(self.temperature)
        self.engine.check()
        if self.engine.transfer == "nccl":
            raise SeedbedError(
                "engine.transfer=nccl: rl.dpo samples one model, whose folder a server sees",
                "use engine.transfer=safetensors",
            )
        if self.parallel.cp != 1:
            raise SeedbedError(
                f"parallel.cp={self.parallel.cp}: a preference compares whole sequences, "
                "and context parallelism cuts them",
                "set parallel.cp=1",
            )
