"""Settings of pretraining.

conf/pretrain/seed_coder_8b.yaml holds the released Seed-Coder-8B shape; the defaults fit a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.batch import RampedBatchConfig
from conf.schema.checks import local, one_of
from conf.schema.fp8 import Fp8Config
from conf.schema.layout import BatchConfig, ModelConfig, ParallelConfig
from conf.schema.mup import MupConfig
from conf.schema.ranges import (
    Amount,
    AmountAboveNone,
    Count,
    CountOrNone,
    Decay,
    FewOrNone,
    Seed,
    Several,
    Share,
)


@dataclass(frozen=True)
class SourceConfig:
    """One source of a blend: the token folder of a curated run."""

    # The name in metrics and in lineage.
    name: str
    # The folder that holds manifest.json. Shards at a URI are copied to this machine once.
    tokens: str
    # Share of the samples, relative to the other sources.
    weight: AmountAboveNone = 1.0
    # Most passes over its training samples in the whole run, else the run is refused; 0: no cap.
    max_epochs: Amount = 0.0


@dataclass(frozen=True)
class DataConfig:
    """Which tokens a run reads. The paper gives no mixture ratios (Sec 2.3)."""

    # Empty: output/tokens alone.
    blend: list[SourceConfig] = field(default_factory=list)
    # No token attends to another document of its sequence (Llama 3, arXiv 2407.21783 Sec 3.2).
    document_mask: bool = False

    def check(self) -> None:
        names = [source.name for source in self.blend]
        if len(set(names)) < len(names) or not all(names):
            raise SeedbedError(
                f"data.blend names its sources {names}", "give every source a name of its own"
            )


@dataclass(frozen=True)
class MuonConfig:
    """Settings of Muon (megatron_train/training/muon.py), with Jordan's and Moonlight's values."""

    momentum: Decay = 0.95
    nesterov: bool = True
    # Newton-Schulz iterations.
    steps: Count = 5


@dataclass(frozen=True)
class OptimConfig:
    """AdamW, or Muon beside it, with gradient clipping.

    The paper gives only the learning rates (Sec 2.3); the rest is Llama's usual setting.
    """

    # adamw, or muon: Muon for the matrices of the layers, and AdamW for the rest.
    name: str = "adamw"
    muon: MuonConfig = field(default_factory=MuonConfig)
    lr: Amount = 3e-4
    min_lr: Amount = 3e-5
    beta1: Decay = 0.9
    beta2: Decay = 0.95
    eps: AmountAboveNone = 1e-8
    # Norms have no weight decay.
    weight_decay: Amount = 0.1
    # Largest norm of the gradient of all weights together.
    clip_grad: AmountAboveNone = 1.0

    def check(self) -> None:
        one_of("optim.name", self.name, "adamw", "muon")
        if self.min_lr > self.lr:
            raise SeedbedError(
                f"optim.min_lr={self.min_lr} must lie between 0 and optim.lr={self.lr}",
                "lower optim.min_lr or raise optim.lr",
            )


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate goes (megatron_train/training/schedule.py has the formulas).

    The default is warm-up, stable, decay (WSD, MiniCPM arXiv 2404.06395 Sec 4), and decays by
    1 - sqrt (Hägele et al., arXiv 2405.18392 Sec 4). All but inverse-sqrt depend on `steps`.
    """

    # wsd, cosine, linear or inverse-sqrt. All but wsd decay from the end of warm-up on.
    kind: str = "wsd"
    steps: Count = 300
    warmup_steps: CountOrNone = 20
    # Of wsd: the last steps of the run; 0 keeps the rate constant after warm-up.
    decay_steps: CountOrNone = 60
    # Of wsd: 1-sqrt or linear.
    shape: str = "1-sqrt"

    def check(self) -> None:
        one_of("schedule.kind", self.kind, "wsd", "cosine", "linear", "inverse-sqrt")
        one_of("schedule.shape", self.shape, "1-sqrt", "linear")
        if self.kind == "inverse-sqrt" and not self.warmup_steps:
            raise SeedbedError(
                "schedule.kind=inverse-sqrt scales by sqrt(warmup_steps / step): "
                "schedule.warmup_steps=0 would be a rate of 0",
                "set schedule.warmup_steps to 1 or more",
            )
        if self.kind != "wsd":
            if self.warmup_steps > self.steps:
                raise SeedbedError(
                    f"schedule.warmup_steps={self.warmup_steps} is longer than "
                    f"schedule.steps={self.steps}",
                    "shorten warm-up or train longer",
                )
            return
        used = self.warmup_steps + self.decay_steps
        if used > self.steps:
            raise SeedbedError(
                f"schedule.warmup_steps + schedule.decay_steps must fit in schedule.steps: "
                f"{self.warmup_steps} + {self.decay_steps} = {used} > {self.steps}",
                "shorten warm-up or decay, or train longer",
            )


@dataclass(frozen=True)
class GuardConfig:
    """What happens after a bad step: stop, skip or rewind.

    stop ends the run. skip leaves out the step's batch. rewind loads the newest checkpoint and
    leaves out all batches since then.
    """

    # For a loss or a gradient that is not finite.
    not_finite: str = "stop"
    # For a loss above mean + spike_deviations * standard deviation of the window.
    spike: str = "rewind"
    # 0: no loss is a spike.
    spike_deviations: Amount = 0.0
    # Steps whose losses are compared with.
    window: Several = 64
    # Refused steps in a row before the run stops.
    tries: Count = 3

    def check(self) -> None:
        for name in ("not_finite", "spike"):
            if getattr(self, name) not in ("stop", "skip", "rewind"):
                raise SeedbedError(
                    f"guard.{name}={getattr(self, name)!r} is unknown", "use stop, skip or rewind"
                )


@dataclass(frozen=True)
class ScorerConfig:
    """A regression head on output/hf.

    Labels scaled to [0, 1], squared error and one epoch are the paper's (Sec 2.2.1); the rest is
    ours.
    """

    # The scorer is written to output/scorers/<name>.
    name: str = "language_model"
    # The Llama folder under the head; empty: output/hf.
    base: str = ""
    # The oracle whose labels the head learns.
    oracle: str = "seedbed-labels-v1"
    # Leading tokens of a file that the model reads.
    max_tokens: Count = 256
    # 0: the model stays frozen, and only the ridge head learns.
    epochs: FewOrNone = 1
    batch: Count = 16
    lr: Amount = 3e-4
    # Penalty of the ridge regression on the last hidden states, which the head starts from.
    ridge: AmountAboveNone = 10.0
    # Share of the repositories that measure the error.
    holdout: Share = 0.2


@dataclass(frozen=True)
class PretrainConfig:
    """One pretraining run."""

    # The run reads output/tokens and writes output/pretrain and output/hf.
    output: str = "runs/demo"
    model: ModelConfig = field(default_factory=ModelConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    batch: RampedBatchConfig = field(default_factory=RampedBatchConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    mup: MupConfig = field(default_factory=MupConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    # fp32 or bf16. bf16 weights and arithmetic keep fp32 master weights, gradients and Adam state.
    dtype: str = "fp32"
    fp8: Fp8Config = field(default_factory=Fp8Config)
    # A new run begins with the weights and Adam state of this checkpoint folder (stages.py sets it)
    # or with the weights of this Hugging Face folder.
    parent: str = ""
    # What may differ from the newest checkpoint, and then begins a new segment of the run:
    # data.blend, batch.
    accept_change: list[str] = field(default_factory=list)
    seed: Seed = 1
    # Hash every shard at the start (about 1 GB/s). Switch it off where that takes too long.
    verify_shards: bool = True
    # Steps between evaluations; 0 = never.
    eval_every: CountOrNone = 50
    # Batches of batch.total sequences from the val split of each source.
    eval_batches: Count = 4
    # Steps between checkpoints; the last step is always saved.
    save_every: Count = 100
    # Checkpoints that stay on disk.
    keep: Count = 2
    # Hash a checkpoint's files at saving and at loading.
    verify_checkpoints: bool = True
    # A forked process writes the checkpoint while training goes on.
    async_save: bool = False
    guard: GuardConfig = field(default_factory=GuardConfig)
    # Steps between lines on the screen.
    log_every: Count = 1
    # Steps between reports on slow processes; 0 = never.
    straggler_every: CountOrNone = 100
    # Where metrics go beside metrics.jsonl: none, tensorboard, mlflow or wandb.
    tracker: str = "none"
    # This step runs under torch's profiler, and every process writes pretrain/trace-N.json;
    # 0 = none.
    profile_step: CountOrNone = 0
    # Greedy completions of a few prompts before the first and after the last step.
    samples: bool = True
    scorer: ScorerConfig = field(default_factory=ScorerConfig)

    def check(self) -> None:
        local("output", self.output)
        self.model.check()
        self.parallel.check(self.model)
        self.data.check()
        self.optim.check()
        self.schedule.check()
        self.guard.check()
        check_optimizer(self.optim, self.parallel)
        self.mup.check(self.model, self.optim.name)
        if self.tracker not in ("none", "tensorboard", "mlflow", "wandb"):
            raise SeedbedError(
                f"tracker={self.tracker!r} is unknown", "use none, tensorboard, mlflow or wandb"
            )
        if self.dtype not in ("fp32", "bf16"):
            raise SeedbedError(f"dtype={self.dtype!r} is unknown", "use fp32 or bf16")
        self.fp8.check(self.model, self.dtype)
        self.batch.check()
        for name in self.accept_change:
            one_of("accept_change", name, "data.blend", "batch")


def check_optimizer(optim: OptimConfig, parallel: ParallelConfig) -> None:
    """Raises SeedbedError where the optimizer cannot be cut as the layout asks."""
    if optim.name == "muon" and parallel.distributed_optimizer:
        raise SeedbedError(
            "optim.name=muon needs whole matrices, and parallel.distributed_optimizer=true cuts "
            "them over the data-parallel processes",
            "set parallel.distributed_optimizer=false, or optim.name=adamw",
        )


def check_scorer(scorer: ScorerConfig, positions: int, base: str) -> None:
    """Raises SeedbedError where the scorer reads more tokens than its model has positions.

    base: the model's name in the message.
    """
    if scorer.max_tokens > positions:
        raise SeedbedError(
            f"scorer.max_tokens={scorer.max_tokens} is above the {positions} positions of {base}",
            f"set scorer.max_tokens={positions} or less",
        )


def check_world(parallel: ParallelConfig, batch: BatchConfig | None, world: int) -> int:
    """The data-parallel size that `world` processes give.

    Raises:
        SeedbedError: with the arithmetic, where they do not divide.
    """
    model_size = parallel.tp * parallel.pp * parallel.cp
    product = f"tp * pp * cp = {parallel.tp} * {parallel.pp} * {parallel.cp} = {model_size}"
    if world % model_size:
        raise SeedbedError(
            f"the number of processes must divide by {product}: "
            f"{world} % {model_size} = {world % model_size}",
            f"start with torchrun --nproc-per-node {model_size} (or a multiple), "
            "or change parallel",
        )
    dp = world // model_size
    of_stage = world // parallel.pp
    if of_stage % parallel.ep:
        raise SeedbedError(
            "the processes of a pipeline stage must divide by parallel.ep: "
            f"{world} / {parallel.pp} = {of_stage}, {of_stage} % {parallel.ep} = "
            f"{of_stage % parallel.ep}",
            "change parallel.ep or the number of processes",
        )
    if batch is None:
        return dp
    for name, size in batch.sizes().items():
        if size % (batch.micro * dp):
            raise SeedbedError(
                f"{name} must divide by batch.micro * dp: "
                f"{size} % ({batch.micro} * {dp}) = {size % (batch.micro * dp)}, "
                f"where dp = {world} processes / ({product}) = {dp}",
                f"change {name}, batch.micro or the number of processes",
            )
        number = size // (batch.micro * dp)
        if parallel.vpp > 1 and number % parallel.pp:
            raise SeedbedError(
                "an interleaved pipeline takes micro-batches in groups of parallel.pp: "
                f"{name} / (batch.micro * dp) = {size} / ({batch.micro} * {dp}) = "
                f"{number}, {number} % {parallel.pp} = {number % parallel.pp}",
                f"change {name} or batch.micro, or set parallel.vpp=1",
            )
    return dp
