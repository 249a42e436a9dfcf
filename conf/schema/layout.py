"""The model's shape, how it is cut over processes, and what one optimizer step reads."""

from __future__ import annotations

from dataclasses import dataclass

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
    # Llama 3's base, which Seed-Coder's released configuration keeps.
    rope_base: int = 500_000
    norm_eps: float = 1e-5
    # Seed-Coder unties the embeddings (paper Sec 2.3).
    tie_embeddings: bool = False
    # GPT-2's value. Output projections are scaled by 1 / sqrt(2 * layers), as in Megatron-LM.
    init_std: float = 0.02

    def parameters(self, vocab_size: int) -> int:
        """The number of weights without the vocabulary's padding; each embedding counts."""
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
                "model.hidden must divide by model.heads: "
                f"{self.hidden} % {self.heads} = {self.hidden % self.heads}",
                f"choose hidden as a multiple of {self.heads}",
            )
        if (self.hidden // self.heads) % 2:
            raise SeedbedError(
                "rotary positions need an even head size: "
                f"hidden / heads = {self.hidden // self.heads}",
                "choose hidden and heads so that hidden / heads is even",
            )
        if self.heads % self.kv_heads:
            raise SeedbedError(
                "model.heads must divide by model.kv_heads: "
                f"{self.heads} % {self.kv_heads} = {self.heads % self.kv_heads}",
                "each key/value head serves the same number of query heads",
            )


@dataclass(frozen=True)
class ParallelConfig:
    """How one model is spread over processes.

    Data parallelism is what remains: world / (tp * pp * cp).
    """

    # Tensor parallel: every matrix is cut over tp processes.
    tp: int = 1
    # Pipeline parallel: the layers are cut into pp stages.
    pp: int = 1
    # Chunks of layers that each stage holds. Above 1 the pipeline is interleaved, and its bubble
    # is vpp times smaller.
    vpp: int = 1
    # Context parallel: every sequence is cut over cp processes.
    cp: int = 1
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

    def sequence_multiple(self) -> int:
        """The number that every sequence length must divide by."""
        return (self.tp if self.sequence_parallel else 1) * (2 * self.cp if self.cp > 1 else 1)

    def describe(self, dp: int) -> str:
        """In words, without what is 1 or off: "tp 2 x pp 2 x dp 1, sequence parallel"."""
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
        """Every rule that does not need the number of processes.

        Raises:
            SeedbedError: with the arithmetic of the rule that is broken.
        """
        self._check_values()
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

    def _check_values(self) -> None:
        if min(self.tp, self.pp, self.vpp, self.cp) < 1:
            raise SeedbedError(
                "parallel sizes must be at least 1: "
                f"tp={self.tp}, pp={self.pp}, vpp={self.vpp}, cp={self.cp}",
                "use 1 to switch one off",
            )
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
    micro: int = 4
    # Sequences of one optimizer step, over all data-parallel processes.
    total: int = 16

    def check(self) -> None:
        if self.micro < 1 or self.total % self.micro:
            raise SeedbedError(
                f"batch.total must divide by batch.micro: {self.total} % {self.micro}",
                "choose batch.total as a multiple of batch.micro",
            )
