"""Settings of post-training.

Paper sections are those of the Seed-Coder report (arXiv 2506.03524).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.pretrain import BatchConfig, OptimConfig, ParallelConfig, ScheduleConfig


@dataclass(frozen=True)
class ProblemConfig:
    """The generated problems (rl/problems/toy_functions.py): how many of each, and from which seed.
    No held-out function is trained on.
    """

    train: int = 400
    heldout: int = 96
    seed: int = 1


@dataclass(frozen=True)
class SandboxConfig:
    """How many programs are judged at once; 0 means one for each core."""

    workers: int = 0


@dataclass(frozen=True)
class EngineConfig:
    """vLLM, in a process of its own beside training process 0, or a server that `rl.serve` started."""

    # http://HOST:PORT of the server, whose own settings then hold for what follows; empty = a
    # process of this run
    url: str = ""
    # How a server gets new weights: from a folder that both see, or over NCCL from GPU to GPU.
    transfer: str = "safetensors"
    # how long a server may not answer, be it gone or starting again, before the run gives up
    patience_s: int = 600

    # bfloat16 is emulated, and slower, on processors without AVX512-BF16 or AMX
    dtype: str = "float32"
    kv_cache_gb: int = 1
    # decoded together
    max_sequences: int = 256
    # two on two busy cores are several times slower
    threads: int = 1

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        if self.dtype not in ("float32", "bfloat16"):
            raise SeedbedError(f"engine.dtype={self.dtype!r} is unknown", "use float32 or bfloat16")
        if self.transfer not in ("safetensors", "nccl"):
            raise SeedbedError(
                f"engine.transfer={self.transfer!r} is unknown", "use safetensors or nccl"
            )
        positive("engine.patience_s", self.patience_s)


@dataclass(frozen=True)
class SftConfig:
    # reads output/hf; writes output/rl/problems_*.jsonl and output/rl/sft
    output: str = "runs/demo"
    # HF folder to start from; empty = output/hf
    base: str = ""
    problems: ProblemConfig = field(default_factory=ProblemConfig)
    # .jsonl whose `code` is the demonstration; empty = generated
    train_problems: str = ""
    # likewise
    heldout_problems: str = ""
    # reference solutions trained on; the paper's warm-up is deliberately small (Sec 3.2)
    demonstrations: int = 300
    # tokens of prompt and response; longer demonstrations are refused
    max_length: int = 128
    pack_length: int = (
        # several demonstrations a row of at most so many tokens, each blind to the others (Sec
        # 3.1); 0 = one a row
        0
    )
    # Demonstrations are drawn in proportion to difficulty ** this (the report favours harder ones,
    # Sec 3.1, and gives no rule); 0 = each once a pass. `difficulty`, above 0, is a field of the
    # problems.
    favour_harder: float = 0.0
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    batch: BatchConfig = field(default_factory=lambda: BatchConfig(micro=8, total=16))
    # Paper: 2e-5 for 8B (Sec 3.2). A model of a few million parameters, trained for minutes, needs
    # a pretraining rate.
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=2e-3, min_lr=2e-4, weight_decay=0.0)
    )
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(
            steps=110, warmup_steps=10, decay_steps=20, shape="linear"
        )
    )
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    dtype: str = "fp32"
    seed: int = 1
    # steps; the last step is always saved
    save_every: int = 1000
    keep: int = 1

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        _check_training(self.dtype, self.save_every, self.keep)
        self.optim.check()
        self.schedule.check()
        positive("problems.train", self.problems.train)
        positive("problems.heldout", self.problems.heldout)
        if bool(self.train_problems) != bool(self.heldout_problems):
            raise SeedbedError(
                f"train_problems={self.train_problems!r} but heldout_problems={self.heldout_problems!r}",
                "give both, or neither for generated problems",
            )
        if self.pack_length and self.pack_length < self.max_length:
            raise SeedbedError(
                f"pack_length={self.pack_length} is below max_length={self.max_length}: one demonstration must fit a row",
                "raise pack_length to a few times max_length",
            )
        if self.favour_harder < 0:
            raise SeedbedError(
                f"favour_harder={self.favour_harder} would favour the easier", "use 0 or more"
            )
        if not self.train_problems and not 0 < self.demonstrations <= self.problems.train:
            raise SeedbedError(
                f"demonstrations={self.demonstrations} must lie between 1 and problems.train={self.problems.train}: "
                "each is the reference solution of one training problem",
                "lower demonstrations or raise problems.train",
            )
        _check_batch(self.batch)


@dataclass(frozen=True)
class DpoConfig:
    # reads output/rl/sft/hf and output/rl/problems_train.jsonl; writes output/rl/dpo
    output: str = "runs/demo"
    # HF folder to start from, and the reference; empty = output/rl/sft/hf
    base: str = ""
    # .jsonl; empty = output/rl/problems_train.jsonl
    train_problems: str = ""
    # the first so many of them; 0 = all
    problems: int = 0
    # a problem. Paper: hundreds (Sec 3.1)
    samples: int = 16
    # problems sampled and judged at a time: what a kill can cost
    prompts: int = 32
    # not in the paper, which ends at about 20,000 pairs (Sec 3.1)
    pairs_per_problem: int = 4
    # not in the paper; samples of a problem must differ
    temperature: float = 1.0
    # tokens
    max_prompt: int = 96
    # tokens
    max_response: int = 32
    # not in the paper: DPO's own (arXiv 2305.18290 App. B)
    beta: float = 0.1
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    # pairs
    batch: BatchConfig = field(default_factory=lambda: BatchConfig(micro=8, total=32))
    # Not in the paper: DPO's 1e-6 (arXiv 2305.18290 App. B) is for billions of parameters. 1e-4
    # ruins the demo's (docs/log.md).
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
    seed: int = 1
    # steps; the last step is always saved
    save_every: int = 1000
    keep: int = 1

    @property
    def max_length(self) -> int:
        return self.max_prompt + self.max_response

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        _check_training(self.dtype, self.save_every, self.keep)
        self.optim.check()
        self.schedule.check()
        _check_batch(self.batch)
        _check_temperature(self.temperature)
        self.engine.check()
        if self.engine.transfer == "nccl":
            raise SeedbedError(
                "engine.transfer=nccl: rl.dpo samples one model, whose folder a server sees",
                "use engine.transfer=safetensors",
            )
        for name in ("prompts", "pairs_per_problem", "max_prompt", "max_response"):
            positive(name, getattr(self, name))
        if self.samples < 2:
            raise SeedbedError(
                f"samples={self.samples}: a pair is two samples of one problem",
                "set samples to 16 or more",
            )
        if self.parallel.cp != 1:
            raise SeedbedError(
                f"parallel.cp={self.parallel.cp}: a preference compares whole sequences, and context parallelism cuts them",
                "set parallel.cp=1",
            )
        if self.beta <= 0:
            raise SeedbedError(
                f"beta={self.beta} must be above 0: it scales the preference, and 0 prefers nothing",
                "use 0.1",
            )


@dataclass(frozen=True)
class RolloutStage:
    """So many steps with groups of `samples` and responses of at most `max_response` tokens."""

    steps: int
    samples: int
    max_response: int


@dataclass(frozen=True)
class GrpoConfig:
    # reads output/rl/sft/hf and output/rl/problems_*.jsonl; writes output/rl/grpo
    output: str = "runs/demo"
    # HF folder to start from; empty = output/rl/sft/hf
    base: str = ""
    # .jsonl in MBPP's form; empty = output/rl/problems_train.jsonl
    train_problems: str = ""
    # likewise; empty = output/rl/problems_heldout.jsonl
    heldout_problems: str = ""
    steps: int = 20
    # a step. Paper: batch 128 (Sec 3.2)
    prompts: int = 32
    # a prompt: the group. Paper: 16, then 32 (Sec 3.2)
    samples: int = 8
    # Sec 3.2
    temperature: float = 0.6
    # tokens
    max_prompt: int = 96
    # tokens
    max_response: int = 32
    # What comes before the stage that samples and max_response describe, out of `steps`. Paper: 90
    # steps of 16 samples at 16K, then 160 of 32 at 32K (Sec 3.2).
    earlier_stages: list[RolloutStage] = field(default_factory=list)
    # 1: rollouts are drawn while the step before them trains, from weights one step behind
    rollout_lag: int = 0
    # with a lag: cap of a token's importance weight (TIS; not in the paper)
    max_importance: float = 2.0
    # not in the paper: DAPO's (arXiv 2503.14476)
    clip_low: float = 0.2
    # Sec 3.2
    clip_high: float = 0.28
    # groups with a larger share correct are dropped (Sec 3.2)
    max_correct: float = 0.875
    # drop groups of correct answers and format errors alone (Sec 3.2)
    drop_malformed_only: bool = True
    # samples cut off by max_response do not train (Sec 3.2)
    mask_overlong: bool = True
    # sequences in one forward pass
    micro_batch: int = 16
    eval_every: int = (
        # steps between held-out evaluations; before the first and after the last step there is
        # always one
        0
    )
    # a held-out problem, at `temperature`
    eval_samples: int = 4
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    # Paper: initial rate 1e-6 for 8B (Sec 3.2), which would not move a model of a few million
    # parameters in 20 steps.
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=3e-4, min_lr=3e-4, weight_decay=0.0)
    )
    warmup_steps: int = 2
    engine: EngineConfig = field(default_factory=EngineConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    logprob_limit: float = (
        # largest |engine - trainer| log-probability of a token after a weight sync; bf16 needs
        # about 0.1
        1e-3
    )
    dtype: str = "fp32"
    seed: int = 1
    # steps; the last step is always saved
    save_every: int = 10
    keep: int = 2

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence of any stage."""
        return self.max_prompt + max(stage.max_response for stage in self.plan)

    @property
    def plan(self) -> list[RolloutStage]:
        """All stages, in order."""
        last = self.steps - sum(stage.steps for stage in self.earlier_stages)
        return [*self.earlier_stages, RolloutStage(last, self.samples, self.max_response)]

    def stage(self, step: int) -> RolloutStage:
        """The stage of the step that follows `step` steps; of the last one when all are taken."""
        for stage in self.plan:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.plan[-1]

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        _check_training(self.dtype, self.save_every, self.keep)
        self.optim.check()
        self.engine.check()
        if self.engine.transfer == "nccl" and not self.engine.url:
            raise SeedbedError(
                "engine.transfer=nccl without engine.url: weights go over NCCL to a server with GPUs of its own",
                "start one with `python -m rl.serve ... transfer=nccl` and give its engine.url",
            )
        before = [stage.steps for stage in self.earlier_stages]
        if min(before, default=1) < 1 or sum(before) >= self.steps > 0:
            raise SeedbedError(
                f"earlier_stages take {' + '.join(map(str, before))} = {sum(before)} of steps={self.steps}, each at least 1 and "
                "at least 1 must be left",
                "raise steps, which counts all stages, or shorten the earlier ones",
            )
        if self.rollout_lag not in (0, 1):
            raise SeedbedError(
                f"rollout_lag={self.rollout_lag}: rollouts are on policy (0) or one step behind (1)",
                "use 0 or 1",
            )
        if self.max_importance < 1:
            raise SeedbedError(
                f"max_importance={self.max_importance} must be at least 1, the weight of a token that is on policy",
                "use 2",
            )
        for name in (
            "steps",
            "prompts",
            "micro_batch",
            "max_prompt",
            "max_response",
            "eval_samples",
        ):
            positive(name, getattr(self, name))
        fewest = min(stage.samples for stage in self.plan)
        if fewest < 2:
            raise SeedbedError(
                f"samples={fewest}: an advantage compares the samples of one prompt, so a group needs at least 2",
                "set samples to 8 or more",
            )
        _check_temperature(self.temperature)
        if not (0 < self.clip_low < 1 and self.clip_high > 0):
            raise SeedbedError(
                f"the ratio is clipped to [1 - clip_low, 1 + clip_high] = [{1 - self.clip_low}, {1 + self.clip_high}], "
                "which must lie on both sides of 1 and above 0",
                "use clip_low=0.2 clip_high=0.28",
            )
        if not 1 / fewest <= self.max_correct <= 1:
            raise SeedbedError(
                f"max_correct={self.max_correct} drops every group with a correct sample: "
                f"1 of samples={fewest} is {1 / fewest}",
                "use 0.875 (the paper's)",
            )


def _check_training(dtype: str, save_every: int, keep: int) -> None:
    if dtype not in ("fp32", "bf16"):
        raise SeedbedError(f"dtype={dtype!r} is unknown", "use fp32 or bf16")
    positive("save_every", save_every)
    positive("keep", keep)


def _check_batch(batch: BatchConfig) -> None:
    if batch.micro < 1 or batch.total % batch.micro:
        raise SeedbedError(
            f"batch.total must divide by batch.micro: {batch.total} % {batch.micro}",
            "choose batch.total as a multiple of batch.micro",
        )


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature <= 2:
        raise SeedbedError(
            f"temperature={temperature} is not in (0, 2]: greedy samples of a prompt are all equal and teach nothing",
            "use 0.6 (the paper's) to 1.0",
        )


def positive(name: str, value: int) -> None:
    if value < 1:
        raise SeedbedError(f"{name}={value} must be at least 1", f"set {name} to 1 or more")
