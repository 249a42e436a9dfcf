"""Settings of pretraining.

The released Seed-Coder-8B shape is conf/pretrain/seed_coder_8b.yaml; defaults here are a laptop's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError


@dataclass(frozen=True)
class ModelConfig:
    """A Llama-style decoder: RMSNorm, SwiGLU, rotary positions, grouped-query attention, no biases.

    The vocabulary is the tokenizer's and comes with the tokens.
    """

    layers: int = 4
    hidden: int = 192
    ffn: int = 512
    heads: int = 6
    kv_heads: int = 2
    seq_length: int = 256
    # Llama 3's base, which Seed-Coder's released configuration keeps
    rope_base: int = 500_000
    norm_eps: float = 1e-5
    # Seed-Coder: untied (paper Sec 2.3)
    tie_embeddings: bool = False
    # GPT-2's; output projections are scaled by 1/sqrt(2 * layers) as in Megatron-LM
    init_std: float = 0.02

    def parameters(self, vocab_size: int) -> int:
        """Weights without the vocabulary's padding; each embedding counts."""
        attention = 2 * self.hidden * self.hidden * (self.heads + self.kv_heads) // self.heads
        layer = attention + 3 * self.hidden * self.ffn + 2 * self.hidden
        return (
            self.layers * layer
            + self.hidden
            + vocab_size * self.hidden * (1 if self.tie_embeddings else 2)
        )

    def check(self) -> None:
        if self.hidden % self.heads:
            raise SeedbedError(
                f"model.hidden must divide by model.heads: {self.hidden} % {self.heads} = {self.hidden % self.heads}",
                f"choose hidden as a multiple of {self.heads}",
            )
        if (self.hidden // self.heads) % 2:
            raise SeedbedError(
                f"rotary positions need an even head size: hidden / heads = {self.hidden // self.heads}",
                "choose hidden and heads so that hidden / heads is even",
            )
        if self.heads % self.kv_heads:
            raise SeedbedError(
                f"model.heads must divide by model.kv_heads: {self.heads} % {self.kv_heads} = {self.heads % self.kv_heads}",
                "each key/value head serves the same number of query heads",
            )


@dataclass(frozen=True)
class ParallelConfig:
    """How one model is spread over processes.

    Data parallelism is what remains: world / (tp * pp * cp).
    """

    # tensor parallel: every matrix cut over tp processes
    tp: int = 1
    # pipeline parallel: layers cut into pp stages
    pp: int = 1
    vpp: int = (
        # chunks of layers each stage holds: above 1 the pipeline is interleaved and its bubble vpp
        # times smaller
        1
    )
    # context parallel: every sequence cut over cp processes
    cp: int = 1
    # norms and residuals cut along the sequence over the tp processes
    sequence_parallel: bool = False
    # Adam's state cut over the data-parallel processes
    distributed_optimizer: bool = False
    overlap: bool = (
        # gradients reduced during the backward pass; distributed weights gathered during the
        # forward pass
        False
    )
    # of activations in the backward pass: none | selective (attention) | full (whole layers)
    recompute: str = "none"

    def sequence_multiple(self) -> int:
        """What every sequence length must divide by."""
        return (self.tp if self.sequence_parallel else 1) * (2 * self.cp if self.cp > 1 else 1)

    def describe(self, dp: int) -> str:
        """In words, what is 1 or off left out: tp 2 x pp 2 x dp 1, sequence parallel"""
        sizes = {"tp": self.tp, "pp": self.pp, "vpp": self.vpp, "cp": self.cp}
        cut = " x ".join(
            [f"{name} {size}" for name, size in sizes.items() if size > 1] + [f"dp {dp}"]
        )
        marks = {
            "sequence parallel": self.sequence_parallel,
            "distributed optimizer": self.distributed_optimizer,
            "overlap": self.overlap,
            f"{self.recompute} recompute": self.recompute != "none",
        }
        return ", ".join([cut, *(mark for mark, on in marks.items() if on)])

    def check(self, model: ModelConfig) -> None:
        """Every divisibility rule that does not need the number of processes.

        Raises SeedbedError with the arithmetic.
        """
        if min(self.tp, self.pp, self.vpp, self.cp) < 1:
            raise SeedbedError(
                f"parallel sizes must be at least 1: tp={self.tp}, pp={self.pp}, vpp={self.vpp}, cp={self.cp}",
                "use 1 to switch one off",
            )
        if self.vpp > 1 and self.pp == 1:
            raise SeedbedError(
                f"parallel.vpp={self.vpp} interleaves the stages of a pipeline: parallel.pp=1 has none",
                "set parallel.pp above 1 or parallel.vpp=1",
            )
        if self.sequence_parallel and self.tp == 1:
            raise SeedbedError(
                "parallel.sequence_parallel needs tensor parallelism: parallel.tp=1",
                "set parallel.tp above 1 or parallel.sequence_parallel=false",
            )
        if self.recompute not in ("none", "selective", "full"):
            raise SeedbedError(
                f"parallel.recompute={self.recompute!r} is unknown", "use none, selective or full"
            )
        stages = (
            ("parallel.pp * parallel.vpp", self.pp * self.vpp)
            if self.vpp > 1
            else ("parallel.pp", self.pp)
        )
        rules = [
            ("model.layers", model.layers, *stages),
            ("model.heads", model.heads, "parallel.tp", self.tp),
            ("model.kv_heads", model.kv_heads, "parallel.tp", self.tp),
            ("model.ffn", model.ffn, "parallel.tp", self.tp),
        ]
        cuts = ["2 * parallel.cp"] * (self.cp > 1) + ["parallel.tp"] * self.sequence_parallel
        if cuts:
            rules.append(
                ("model.seq_length", model.seq_length, " * ".join(cuts), self.sequence_multiple())
            )
        for name, value, divisor_name, divisor in rules:
            if value % divisor:
                raise SeedbedError(
                    f"{name} must divide by {divisor_name}: {value} % {divisor} = {value % divisor}",
                    f"change {name} or {divisor_name}",
                )


@dataclass(frozen=True)
class SourceConfig:
    """One source of a blend: the token folder of a curated run."""

    # in metrics and lineage
    name: str
    # folder with manifest.json
    tokens: str
    # share of the samples, relative to the other sources
    weight: float = 1.0


@dataclass(frozen=True)
class DataConfig:
    """What is read. The paper gives no mixture ratios (Sec 2.3)."""

    # empty: output/tokens alone
    blend: list[SourceConfig] = field(default_factory=list)
    document_mask: bool = (
        # no token attends to another document of its sequence (Llama 3, arXiv 2407.21783 Sec 3.2)
        False
    )

    def check(self) -> None:
        names = [source.name for source in self.blend]
        if len(set(names)) < len(names) or not all(names):
            raise SeedbedError(
                f"data.blend names its sources {names}", "give every source a name of its own"
            )
        light = [source.name for source in self.blend if not source.weight > 0]
        if light:
            raise SeedbedError(
                f"data.blend: the weight of {light[0]} must be above 0",
                "give it a weight, or take the source out",
            )


@dataclass(frozen=True)
class BatchConfig:
    """In sequences.

    The gradient of a step is the mean over the tokens of `total` sequences, whatever the layout.
    """

    # one forward pass
    micro: int = 4
    # one optimizer step, over all data-parallel processes
    total: int = 16


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with gradient clipping.

    The paper gives only the learning rates (Sec 2.3); the rest is Llama's usual setting.
    """

    lr: float = 3e-4
    min_lr: float = 3e-5
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    # not on norms
    weight_decay: float = 0.1
    # global norm
    clip_grad: float = 1.0

    def check(self) -> None:
        if not 0 <= self.min_lr <= self.lr:
            raise SeedbedError(
                f"optim.min_lr={self.min_lr} must lie between 0 and optim.lr={self.lr}",
                "lower optim.min_lr or raise optim.lr",
            )


@dataclass(frozen=True)
class ScheduleConfig:
    """Warm-up, stable, decay (WSD, MiniCPM arXiv 2404.06395 Sec 4).

    Decay is 1 - sqrt (Hägele et al., arXiv 2405.18392 Sec 4).
    """

    steps: int = 300
    warmup_steps: int = 20
    # the last ones; 0 keeps the rate constant after warm-up
    decay_steps: int = 60
    # or "linear"
    shape: str = "1-sqrt"

    def check(self) -> None:
        if self.shape not in ("1-sqrt", "linear"):
            raise SeedbedError(f"schedule.shape={self.shape!r} is unknown", "use 1-sqrt or linear")
        used = self.warmup_steps + self.decay_steps
        if used > self.steps:
            raise SeedbedError(
                f"schedule.warmup_steps + schedule.decay_steps must fit in schedule.steps: "
                f"{self.warmup_steps} + {self.decay_steps} = {used} > {self.steps}",
                "shorten warm-up or decay, or train longer",
            )


@dataclass(frozen=True)
class GuardConfig:
    """What becomes of a bad step: stop the run, skip its batch, or rewind to the last checkpoint
    and skip all batches since.
    """

    # loss or gradient: stop | skip | rewind
    not_finite: str = "stop"
    spike: str = (
        # a loss above mean + spike_deviations * standard deviation of the window: stop | skip |
        # rewind
        "rewind"
    )
    # 0: no loss is a spike
    spike_deviations: float = 0.0
    # steps
    window: int = 64
    # refused steps in a row before the run stops
    tries: int = 3

    def check(self) -> None:
        for name in ("not_finite", "spike"):
            if getattr(self, name) not in ("stop", "skip", "rewind"):
                raise SeedbedError(
                    f"guard.{name}={getattr(self, name)!r} is unknown", "use stop, skip or rewind"
                )
        if self.window < 2 or self.tries < 1 or self.spike_deviations < 0:
            raise SeedbedError(
                f"guard.window={self.window}, guard.tries={self.tries}, guard.spike_deviations={self.spike_deviations}",
                "window needs 2 or more, tries 1 or more, spike_deviations 0 or more",
            )


@dataclass(frozen=True)
class Fp8Config:
    """FP8 in the linear layers of the transformer layers.

    Recipes and defaults are Transformer Engine's (common/recipe, 2.20).
    """

    # none | e4m3 | hybrid: e5m2 for gradients
    format: str = "none"
    # delayed | tensorwise | blockwise | mxfp8 (Blackwell only)
    recipe: str = "delayed"
    # the recipe's rounding in fp32 arithmetic on any device: a study of its numerics, not fast
    emulate: bool = False
    # steps whose largest amax scales a delayed recipe
    history: int = 1024
    # so many first and last layers stay in bf16
    bf16_ends: int = 0
    # steps between comparisons of each layer's gradient with bf16's; 0 = never
    guard_every: int = 0

    @property
    def on(self) -> bool:
        return self.format != "none"

    def check(self, model: ModelConfig, dtype: str) -> None:
        """Raises SeedbedError for an unknown recipe, or one that does not fit the model."""
        if self.format not in ("none", "e4m3", "hybrid"):
            raise SeedbedError(f"fp8.format={self.format!r} is unknown", "use none, e4m3 or hybrid")
        if self.recipe not in ("delayed", "tensorwise", "blockwise", "mxfp8"):
            raise SeedbedError(
                f"fp8.recipe={self.recipe!r} is unknown",
                "use delayed, tensorwise, blockwise or mxfp8",
            )
        if self.history < 1 or self.guard_every < 0 or self.bf16_ends < 0:
            raise SeedbedError(
                f"fp8.history={self.history} must be at least 1, fp8.guard_every={self.guard_every} and "
                f"fp8.bf16_ends={self.bf16_ends} at least 0",
                "leave them out for the defaults",
            )
        if not self.on:
            if self.emulate or self.guard_every:
                raise SeedbedError(
                    "fp8.emulate and fp8.guard_every mean nothing with fp8.format=none",
                    "set fp8.format=hybrid",
                )
            return
        if dtype != "bf16":
            raise SeedbedError(
                f"fp8.format={self.format} needs bf16 around the matrix products: dtype={dtype}",
                "set dtype=bf16",
            )
        if 2 * self.bf16_ends >= model.layers:
            raise SeedbedError(
                f"fp8.bf16_ends={self.bf16_ends} at both ends leaves no FP8 layer of model.layers={model.layers}: "
                f"2 * {self.bf16_ends} >= {model.layers}",
                "lower fp8.bf16_ends, or set fp8.format=none",
            )
        if self.recipe == "delayed" and self.bf16_ends:
            raise SeedbedError(
                f"fp8.recipe=delayed takes no bf16 layers (megatron-core refuses them): fp8.bf16_ends={self.bf16_ends}",
                "set fp8.recipe=tensorwise or fp8.bf16_ends=0",
            )


@dataclass(frozen=True)
class ScorerConfig:
    """A regression head on output/hf.

    Labels to [0, 1], squared error and one epoch: paper Sec 2.2.1; the rest is ours.
    """

    # written to output/scorers/<name>
    name: str = "language_model"
    # Llama folder under the head; "" = output/hf
    base: str = ""
    # whose labels to learn
    oracle: str = "seedbed-labels-v1"
    # leading tokens of a file
    max_tokens: int = 256
    # 0 = the model stays frozen, the ridge head is all that learns
    epochs: int = 1
    batch: int = 16
    lr: float = 3e-4
    # the head starts from ridge regression on the model's last hidden states
    ridge: float = 10.0
    # share of the repositories that measure the error
    holdout: float = 0.2


@dataclass(frozen=True)
class PretrainConfig:
    # reads output/tokens; writes output/pretrain and output/hf
    output: str = "runs/demo"
    model: ModelConfig = field(default_factory=ModelConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    # or bf16: bf16 weights and arithmetic, fp32 master weights, gradients and Adam state
    dtype: str = "fp32"
    fp8: Fp8Config = field(default_factory=Fp8Config)
    # a checkpoint folder: a new run begins with its weights and Adam state (stages.py sets it)
    parent: str = ""
    seed: int = 1
    # hash every shard at the start (about 1 GB/s); off for sets where that takes too long
    verify_shards: bool = True
    # steps; 0 = never
    eval_every: int = 50
    # of batch.total sequences from the val split
    eval_batches: int = 4
    # steps; the last step is always saved
    save_every: int = 100
    # checkpoints on disk
    keep: int = 2
    # hash their files at saving and loading, as with verify_shards
    verify_checkpoints: bool = True
    # a forked process writes while training goes on
    async_save: bool = False
    guard: GuardConfig = field(default_factory=GuardConfig)
    # steps
    log_every: int = 1
    # steps between reports on slow processes; 0 = never
    straggler_every: int = 100
    # or tensorboard | mlflow, beside metrics.jsonl
    tracker: str = "none"
    # this step under torch's profiler: pretrain/trace-N.json of every process; 0 = none
    profile_step: int = 0
    # greedy completions of a few prompts before the first and after the last step
    samples: bool = True
    scorer: ScorerConfig = field(default_factory=ScorerConfig)

    def check(self) -> None:
        self.model.check()
        self.parallel.check(self.model)
        self.data.check()
        self.optim.check()
        self.schedule.check()
        self.guard.check()
        if self.tracker not in ("none", "tensorboard", "mlflow"):
            raise SeedbedError(
                f"tracker={self.tracker!r} is unknown", "use none, tensorboard or mlflow"
            )
        if self.dtype not in ("fp32", "bf16"):
            raise SeedbedError(f"dtype={self.dtype!r} is unknown", "use fp32 or bf16")
        self.fp8.check(self.model, self.dtype)
        if self.batch.micro < 1 or self.batch.total % self.batch.micro:
            raise SeedbedError(
                f"batch.total must divide by batch.micro: {self.batch.total} % {self.batch.micro}",
                "choose batch.total as a multiple of batch.micro",
            )
        if self.keep < 1 or self.save_every < 1 or self.log_every < 1:
            raise SeedbedError(
                f"keep={self.keep}, save_every={self.save_every}, log_every={self.log_every} must be at least 1",
                "use 1 or more",
            )


def check_world(parallel: ParallelConfig, batch: BatchConfig | None, world: int) -> int:
    """The data-parallel size that `world` processes give.

    Raises SeedbedError with the arithmetic when they do not divide.
    """
    model_size = parallel.tp * parallel.pp * parallel.cp
    product = f"tp * pp * cp = {parallel.tp} * {parallel.pp} * {parallel.cp} = {model_size}"
    if world % model_size:
        raise SeedbedError(
            f"the number of processes must divide by {product}: {world} % {model_size} = {world % model_size}",
            f"start with torchrun --nproc-per-node {model_size} (or a multiple), or change parallel",
        )
    dp = world // model_size
    if batch is not None and batch.total % (batch.micro * dp):
        raise SeedbedError(
            f"batch.total must divide by batch.micro * dp: {batch.total} % ({batch.micro} * {dp}) = "
            f"{batch.total % (batch.micro * dp)}, where dp = {world} processes / ({product}) = {dp}",
            "change batch.total, batch.micro or the number of processes",
        )
    if batch is not None and parallel.vpp > 1 and (batch.total // (batch.micro * dp)) % parallel.pp:
        number = batch.total // (batch.micro * dp)
        raise SeedbedError(
            f"an interleaved pipeline takes micro-batches in groups of parallel.pp: batch.total / (batch.micro * dp) = "
            f"{batch.total} / ({batch.micro} * {dp}) = {number}, {number} % {parallel.pp} = {number % parallel.pp}",
            "change batch.total or batch.micro, or set parallel.vpp=1",
        )
    return dp
