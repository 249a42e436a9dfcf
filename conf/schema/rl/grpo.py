"""Settings of reinforcement learning by GRPO."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.lora import LoraConfig
from conf.schema.pretrain import OptimConfig, ParallelConfig
from conf.schema.problem_files import ProblemFileConfig
from conf.schema.ranges import (
    Amount,
    AmountAboveNone,
    Count,
    CountOrNone,
    Few,
    FewOrNone,
    Seed,
    Several,
    Share,
    Temperature,
)
from conf.schema.rl.draw import DrawConfig
from conf.schema.rl.environment import EnvironmentConfig
from conf.schema.rl.objective import ObjectiveConfig
from conf.schema.rl.reward import RewardConfig
from conf.schema.rl.sections import (
    EngineConfig,
    SandboxConfig,
    check_temperature,
    check_training,
)


@dataclass(frozen=True)
class RolloutStage:
    """Some steps with groups of `samples`, and responses of at most `max_response` tokens."""

    steps: Count
    samples: Several
    max_response: Count


@dataclass(frozen=True)
class GrpoConfig(ProblemFileConfig):
    """Reinforcement learning with verdicts of the sandbox as rewards (`python -m rl.grpo`)."""

    # Reads output/rl/sft/hf and output/rl/problems_*.jsonl. Writes output/rl/grpo.
    output: str = "runs/demo"
    # Hugging Face folder to start from. Empty means output/rl/sft/hf.
    base: str = ""
    # JSON lines, or a table of problems. Empty means output/rl/problems_train.jsonl.
    train_problems: str = ""
    # The same for held-out problems. Empty means output/rl/problems_heldout.jsonl.
    heldout_problems: str = ""
    # Steps of all stages.
    steps: Count = 20
    # Prompts per step. The paper's batch is 128 (Sec 3.2).
    prompts: Count = 32
    draw: DrawConfig = field(default_factory=DrawConfig)
    # Samples per prompt, which form a group and are compared. The paper has 16, then 32 (Sec 3.2).
    samples: Several = 8
    # From Sec 3.2.
    temperature: Temperature = 0.6
    # Tokens of a prompt.
    max_prompt: Count = 96
    # Tokens of a response.
    max_response: Count = 32
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    # Stages before the one that `samples` and `max_response` describe, out of `steps`. The paper
    # has 90 steps of 16 samples at 16K, then 160 of 32 at 32K (Sec 3.2).
    earlier_stages: list[RolloutStage] = field(default_factory=list)
    # 1 draws rollouts while the step before them trains, from weights that are one step behind.
    rollout_lag: FewOrNone = 0
    # Optimizer updates on the samples of a step. With 1 no ratio leaves 1, and the clip is idle.
    updates: Few = 1
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    # The cap of a token's importance weight (objective.correction, not in the paper).
    max_importance: Amount = 2.0
    reward: RewardConfig = field(default_factory=RewardConfig)
    # Not in the paper. The value is DAPO's (arXiv 2503.14476).
    clip_low: Amount = 0.2
    # From Sec 3.2.
    clip_high: Amount = 0.28
    # Groups with a larger share of correct samples are dropped (Sec 3.2).
    max_correct: Share = 0.875
    # Drop groups that have only correct answers and format errors (Sec 3.2).
    drop_malformed_only: bool = True
    # Samples that max_response cut off do not train (Sec 3.2).
    mask_overlong: bool = True
    # Sequences in one forward pass.
    micro_batch: Count = 16
    # Steps between held-out evaluations. There is always one before the first step and one after
    # the last.
    eval_every: CountOrNone = 0
    # Samples per held-out problem, drawn at `temperature`.
    eval_samples: Count = 4
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    # The paper begins with 1e-6 for 8B (Sec 3.2). That would not move a model of a few million
    # parameters in 20 steps.
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=3e-4, min_lr=3e-4, weight_decay=0.0)
    )
    warmup_steps: CountOrNone = 2
    engine: EngineConfig = field(default_factory=EngineConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    # Largest difference of a token's log-probability between engine and trainer, after the engine
    # got new weights. bf16 needs about 0.1.
    logprob_limit: AmountAboveNone = 1e-3
    dtype: str = "fp32"
    seed: Seed = 1
    # Steps between checkpoints. The last step is always saved.
    save_every: Count = 10
    # Checkpoints that are kept.
    keep: Count = 2

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence of any stage."""
        return max(self.environment.max_context, self.first_turn)

    @property
    def first_turn(self) -> int:
        """Tokens of a prompt and the longest answer of any stage."""
        return self.max_prompt + max(stage.max_response for stage in self.plan)

    @property
    def plan(self) -> list[RolloutStage]:
        """All stages in order."""
        last = self.steps - sum(stage.steps for stage in self.earlier_stages)
        return [*self.earlier_stages, RolloutStage(last, self.samples, self.max_response)]

    def stage(self, step: int) -> RolloutStage:
        """The stage of the step that comes after `step` steps; the last one after all steps."""
        for stage in self.plan:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.plan[-1]

    def check(self) -> None:
        """The rules of each section, and those between fields."""
        check_training(self.output, self.dtype)
        self.optim.check()
        self.lora.check()
        self.sandbox.check()
        self.engine.check()
        if self.engine.transfer == "nccl" and not self.engine.url:
            raise SeedbedError(
                "engine.transfer=nccl without engine.url: "
                "weights go over NCCL to a server with GPUs of its own",
                "start one with `python -m rl.serve` and transfer=nccl, and give its engine.url",
            )
        self._check_stages()
        self.environment.check(self.first_turn)
        self.draw.check(self.rollout_lag)
        check_temperature(self.temperature)
        self._check_objective()

    def _check_stages(self) -> None:
        before = [stage.steps for stage in self.earlier_stages]
        if min(before, default=1) < 1 or sum(before) >= self.steps > 0:
            raise SeedbedError(
                f"earlier_stages take {' + '.join(map(str, before))} = {sum(before)} of "
                f"steps={self.steps}, each at least 1 and at least 1 must be left",
                "raise steps, which counts all stages, or shorten the earlier ones",
            )
        if self.rollout_lag not in (0, 1):
            raise SeedbedError(
                f"rollout_lag={self.rollout_lag}: "
                "rollouts are on policy (0) or one step behind (1)",
                "use 0 or 1",
            )

    def _check_objective(self) -> None:
        self.objective.check(self.parallel.cp)
        self.reward.check(min(stage.max_response for stage in self.plan))
        if self.rollout_lag and self.objective.correction == "none":
            raise SeedbedError(
                "rollout_lag=1 with objective.correction=none: samples of older weights would "
                "count as the policy's own",
                "use objective.correction=truncate",
            )
        if self.max_importance < 1:
            raise SeedbedError(
                f"max_importance={self.max_importance} must be at least 1, "
                "the weight of a token that is on policy",
                "use 2",
            )
        fewest = min(stage.samples for stage in self.plan)
        if not (0 < self.clip_low < 1 and self.clip_high > 0):
            raise SeedbedError(
                "the ratio is clipped to [1 - clip_low, 1 + clip_high] = "
                f"[{1 - self.clip_low}, {1 + self.clip_high}], "
                "which must lie on both sides of 1 and above 0",
                "use clip_low=0.2 clip_high=0.28",
            )
        if not 1 / fewest <= self.max_correct <= 1:
            raise SeedbedError(
                f"max_correct={self.max_correct} drops every group with a correct sample: "
                f"1 of samples={fewest} is {1 / fewest}",
                "use 0.875 (the paper's)",
            )
