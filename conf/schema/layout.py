"""The model's shape, how it is cut over processes, and what one optimizer step reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.checks import one_of
from conf.schema.experts import ExpertsConfig
from conf.schema.families import FAMILIES, Family
from conf.schema.ranges import AmountAboveNone, Count, CountOrNone, Few, in_range
from conf.schema.rope import RopeConfig


@dataclass(frozen=True)
class ModelConfig:
    """A decoder with rotary positions and grouped-query attention, in the form of its family.

    The vocabulary is the tokenizer's and comes with the tokens.
    """

    # The form of the layers (families.py): llama, qwen2, qwen3, mistral, smollm3, starcoder2,
    # olmo2, olmo3, mixtral or qwen3_moe.
    family: str = "llama"

    layers: Count = 4
    hidden: Count = 192
    # The width of the MLP, or of each expert.
    ffn: Count = 512
    heads: Count = 6
    kv_heads: Count = 2
    seq_length: Count = 256
    # Llama 3's base, which Seed-Coder's released configuration keeps.
    rope_base: AmountAboveNone = 500_000
    # How rotary positions are scaled to longer sequences.
    rope: RopeConfig = field(default_factory=RopeConfig)
    # Dimensions of a head; 0: hidden / heads.
    head_dim: CountOrNone = 0
    # One letter a layer, again and again: f (full attention), w (attention to the last `window`
    # tokens) or n (full attention without rotary positions).
    layer_pattern: str = "f"
    window: CountOrNone = 0
    experts: ExpertsConfig = field(default_factory=ExpertsConfig)
    norm_eps: AmountAboveNone = 1e-5
    # Seed-Coder unties the embeddings (paper Sec 2.3).
    tie_embeddings: bool = False
    # GPT-2's value. Output projections are scaled by 1 / sqrt(2 * layers), as in Megatron-LM.
    init_std: AmountAboveNone = 0.02

    @property
    def form(self) -> Family:
        return FAMILIES[self.family]

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden // self.heads

    @property
    def query_width(self) -> int:
        """The width of all heads together."""
        return self.heads * self.head_size

    @property
    def key_width(self) -> int:
        """The width of all key heads together; that of the value heads is the same."""
        return self.kv_heads * self.head_size

    def kinds(self) -> str:
        """The letter of each layer."""
        return self.layer_pattern * (self.layers // len(self.layer_pattern))

    def layer_matrices(self) -> int:
        """The weights of one layer's matrices that tensor parallelism cuts; experts are not."""
        inner = 0 if self.form.experts else self.ffn * (3 if self.form.gated else 2)
        return self.hidden * (2 * self.query_width + 2 * self.key_width + inner)

    def layer_parameters(self) -> tuple[int, int]:
        """The weights of one layer that tensor parallelism cuts, and those that it does not.

        Those of its experts are in neither.
        """
        form, query, key = self.form, self.query_width, self.key_width
        inner = self.ffn * (2 if form.gated else 1)
        cut = self.layer_matrices()
        whole = 2 * self.hidden * (2 if form.layer_norm else 1)
        if form.experts:
            whole += self.experts.number * self.hidden
        if form.qkv_bias or form.bias:
            cut += query + 2 * key
        if form.bias:
            cut += inner
            whole += 2 * self.hidden
        if form.qk_norm == "whole":
            cut += query + key
        if form.qk_norm == "head":
            whole += 2 * self.head_size
        return cut, whole

    @property
    def expert_parameters(self) -> int:
        """The weights of one expert of one layer."""
        return 3 * self.hidden * self.ffn

    def parameters(self, vocab_size: int, active: bool = False) -> int:
        """The number of weights without the vocabulary's padding; each embedding counts.

        active: of a layer's experts only the top_k count that one token takes.
        """
        experts = self.experts.top_k if active else self.experts.number
        return (
            self.layers * sum(self.layer_parameters())
            + self.layers * self.expert_parameters * (experts if self.form.experts else 0)
            + self.hidden * (2 if self.form.layer_norm else 1)
            + vocab_size * self.hidden * (1 if self.tie_embeddings else 2)
        )

    def check(self) -> None:
        one_of("model.family", self.family, *FAMILIES)
        in_range(self, "model.")
        if not self.head_dim and self.hidden % self.heads:
            raise SeedbedError(
                "model.hidden must divide by model.heads: "
                f"{self.hidden} % {self.heads} = {self.hidden % self.heads}",
                f"choose hidden as a multiple of {self.heads}, or set model.head_dim",
            )
        if self.head_size < 1 or self.head_size % 2:
            raise SeedbedError(
                "rotary positions need an even head size: "
                + (
                    f"model.head_dim = {self.head_dim}"
                    if self.head_dim
                    else f"hidden / heads = {self.head_size}"
                ),
                "choose hidden and heads so that hidden / heads is even, or an even head_dim",
            )
        if self.heads % self.kv_heads:
            raise SeedbedError(
                "model.heads must divide by model.kv_heads: "
                f"{self.heads} % {self.kv_heads} = {self.heads % self.kv_heads}",
                "each key/value head serves the same number of query heads",
            )
        self.rope.check(self.seq_length)
        self.experts.check(self.family, self.form.experts)
        self._check_pattern()

    def _check_pattern(self) -> None:
        unknown = sorted(set(self.layer_pattern) - set("fwn"))
        if unknown or not self.layer_pattern:
            raise SeedbedError(
                f"model.layer_pattern={self.layer_pattern!r} must be made of the letters f, w and "
                "n",
                "leave it out for full attention in every layer",
            )
        if self.layers % len(self.layer_pattern):
            raise SeedbedError(
                "model.layers must divide by the letters of model.layer_pattern: "
                f"{self.layers} % {len(self.layer_pattern)} = "
                f"{self.layers % len(self.layer_pattern)}",
                "write one letter for each layer",
            )
        if self.window < 0 or ("w" in self.layer_pattern) != (self.window > 0):
            raise SeedbedError(
                f"model.window={self.window} and model.layer_pattern={self.layer_pattern} do not "
                "fit: layers of the letter w, and only these, have a window",
                "set both, such as model.window=4096 model.layer_pattern=w, or neither",
            )


@dataclass(frozen=True)
class ParallelConfig:
    """How one model is spread over processes.

    Data parallelism is what remains: world / (tp * pp * cp).
    """

    # Tensor parallel: every matrix is cut over tp processes.
    tp: Few = 1
    # Pipeline parallel: the layers are cut into pp stages.
    pp: Few = 1
    # Chunks of layers that each stage holds. Above 1 the pipeline is interleaved, and its bubble
    # is vpp times smaller.
    vpp: Few = 1
    # Context parallel: every sequence is cut over cp processes.
    cp: Few = 1
    # Expert parallel: the experts of a layer are spread over ep of the tp * cp * dp processes of a
    # pipeline stage. No expert is cut.
    ep: Few = 1
    # Norms and residuals are cut along the sequence over the tp processes.
    sequence_parallel: bool = False
    # Adam's state is cut over the data-parallel processes.
    distributed_optimizer: bool = False
    # Gradients are reduced during the backward pass. With the distributed optimizer, weights are
    # gathered during the forward pass.
    overlap: bool = False
    # Which activations are recomputed in the backward pass: none, selective (attention) or full
    # (whole layers).
    recompute: str = "none"
    # Layers of the first and of the last pipeline stage; 0: as many as those between them.
    first_layers: CountOrNone = 0
    last_layers: CountOrNone = 0

    def stage_layers(self, layers: int, stage: int) -> int:
        """How many of the model's layers pipeline stage `stage` holds."""
        if stage == 0 and self.first_layers:
            return self.first_layers
        if stage == self.pp - 1 and self.last_layers:
            return self.last_layers
        stages = self.pp - bool(self.first_layers) - bool(self.last_layers)
        return (layers - self.first_layers - self.last_layers) // stages

    def sequence_multiple(self) -> int:
        """The number that every sequence length must divide by."""
        return (self.tp if self.sequence_parallel else 1) * (2 * self.cp if self.cp > 1 else 1)

    def describe(self, dp: int) -> str:
        """In words, without what is 1 or off: "tp 2 x pp 2 x dp 1, sequence parallel"."""
        sizes = {"tp": self.tp, "pp": self.pp, "vpp": self.vpp, "cp": self.cp, "ep": self.ep}
        cut = " x ".join(
            [f"{name} {size}" for name, size in sizes.items() if size > 1] + [f"dp {dp}"]
        )
        marks = {
            "sequence parallel": self.sequence_parallel,
            "distributed optimizer": self.distributed_optimizer,
            "overlap": self.overlap,
            f"{self.recompute} recompute": self.recompute != "none",
            f"{self.first_layers} layers first": self.first_layers > 0,
            f"{self.last_layers} layers last": self.last_layers > 0,
        }
        return ", ".join([cut, *(mark for mark, on in marks.items() if on)])

    def check(self, model: ModelConfig) -> None:
        """Every rule that does not need the number of processes.

        Raises:
            SeedbedError: with the arithmetic of the rule that is broken.
        """
        self._check_values()
        self._check_experts(model)
        rules = [
            self._stages_rule(model),
            ("model.heads", model.heads, "parallel.tp", self.tp),
            self._key_heads_rule(model),
        ]
        if model.form.experts:
            rules.append(("model.experts.number", model.experts.number, "parallel.ep", self.ep))
        else:
            rules.append(("model.ffn", model.ffn, "parallel.tp", self.tp))
        cuts = []
        if self.cp > 1:
            cuts.append("2 * parallel.cp")
        if self.sequence_parallel:
            cuts.append("parallel.tp")
        if cuts:
            rules.append(
                ("model.seq_length", model.seq_length, " * ".join(cuts), self.sequence_multiple())
            )
        for name, value, divisor_name, divisor in rules:
            if value % divisor:
                raise SeedbedError(
                    f"{name} must divide by {divisor_name}: "
                    f"{value} % {divisor} = {value % divisor}",
                    f"change {name} or {divisor_name}",
                )

    def _key_heads_rule(self, model: ModelConfig) -> tuple[str, int, str, int]:
        """What of the key/value heads must divide by what.

        Where there are fewer than tp, several processes use the same one: megatron-core gathers
        the fused query, key and value, of which each process computes a part.

        Raises:
            SeedbedError: for a form whose norms need whole heads on each process.
        """
        if model.kv_heads >= self.tp or self.tp % model.kv_heads:
            return "model.kv_heads", model.kv_heads, "parallel.tp", self.tp
        if model.form.qk_norm == "whole":
            raise SeedbedError(
                f"model.family={model.family} norms all key heads together, so each process needs "
                f"its own: model.kv_heads={model.kv_heads} < parallel.tp={self.tp}",
                f"set parallel.tp={model.kv_heads} or less",
            )
        rows = model.query_width + 2 * model.key_width
        return "the rows of query, key and value", rows, "parallel.tp", self.tp

    def _stages_rule(self, model: ModelConfig) -> tuple[str, int, str, int]:
        """What of the layers must divide by what.

        Raises:
            SeedbedError: where the first and the last stage leave too few layers for the others.
        """
        if not (self.first_layers or self.last_layers):
            if self.vpp > 1:
                return (
                    "model.layers",
                    model.layers,
                    "parallel.pp * parallel.vpp",
                    self.pp * self.vpp,
                )
            return "model.layers", model.layers, "parallel.pp", self.pp
        uneven = (
            f"parallel.first_layers={self.first_layers} and parallel.last_layers={self.last_layers}"
        )
        if self.vpp > 1 or self.pp == 1:
            raise SeedbedError(
                f"{uneven} are of a pipeline without interleaving: parallel.pp={self.pp}, "
                f"parallel.vpp={self.vpp}",
                "set parallel.pp above 1 and parallel.vpp=1, or leave both out",
            )
        left = model.layers - self.first_layers - self.last_layers
        stages = self.pp - bool(self.first_layers) - bool(self.last_layers)
        if left < stages or (not stages and left):
            raise SeedbedError(
                f"{uneven} leave {left} of model.layers={model.layers} to {stages} other stages",
                "give every stage at least one layer, and every layer a stage",
            )
        taken = " - ".join(
            name
            for name, count in (
                ("model.layers", 1),
                ("parallel.first_layers", self.first_layers),
                ("parallel.last_layers", self.last_layers),
            )
            if count
        )
        return taken, left, "the other stages", max(stages, 1)

    def _check_experts(self, model: ModelConfig) -> None:
        if self.ep > 1 and not model.form.experts:
            raise SeedbedError(
                f"parallel.ep={self.ep} spreads experts over processes: "
                f"model.family={model.family} has none",
                "set parallel.ep=1",
            )
        if model.form.experts and self.tp > 1 and not self.sequence_parallel:
            raise SeedbedError(
                f"parallel.tp={self.tp} without parallel.sequence_parallel would give each of the "
                f"{self.tp} processes all tokens, and experts would see every token "
                f"{self.tp} times",
                "set parallel.sequence_parallel=true",
            )

    def _check_values(self) -> None:
        in_range(self, "parallel.")
        if self.vpp > 1 and self.pp == 1:
            raise SeedbedError(
                f"parallel.vpp={self.vpp} interleaves the stages of a pipeline: "
                "parallel.pp=1 has none",
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


@dataclass(frozen=True)
class BatchConfig:
    """Batch sizes, counted in sequences.

    The gradient of a step is the mean over the tokens of `total` sequences in every layout.
    """

    # Sequences of one forward pass.
    micro: Count = 4
    # Sequences of one optimizer step, over all data-parallel processes.
    total: Count = 16

    def check(self) -> None:
        in_range(self, "batch.")
        if self.total % self.micro:
            raise SeedbedError(
                f"batch.total must divide by batch.micro: {self.total} % {self.micro}",
                "choose batch.total as a multiple of batch.micro",
            )

    def sizes(self) -> dict[str, int]:
        """{key: sequences} of all that must divide by batch.micro * dp."""
        return {"batch.total": self.total}
