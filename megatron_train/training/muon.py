"""Muon for the matrices of the layers, AdamW for everything else.

Muon replaces the momentum of a matrix by the nearest matrix with singular values of about 1 (Jordan
et al., kellerjordan.github.io/posts/muon, 2024). Scale and shared rate are Moonlight's (Liu et al.,
arXiv 2502.16982 Sec 2.2). With the gradient G, the momentum M, the weight W, the rate r, the weight
decay d, and for W of rows x columns:

    M <- momentum M + G
    O  = newton_schulz(G + momentum M), or of M without nesterov
    W <- (1 - r d) W - r 0.2 sqrt(max(rows, columns)) O

An update then has the size of one of AdamW, whose root mean square is 0.2 to 0.4. So both share the
rate and the weight decay.

megatron-core 0.19.2 has Muon only with the package emerging_optimizers, which the lock lacks. As
there, the fused query, key and value are three matrices. Here gate and up are two as well, as
they are in the model's formula. Under tensor parallelism each process gathers the whole momentum
and keeps its part of O (megatron-core's mode "duplicated"). Products are fp32, where Jordan's are
bf16: layouts would not agree otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from megatron.core.optimizer import MegatronOptimizer
from torch.optim.adamw import adamw

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import MuonConfig
from megatron_train.model import weights

# Jordan's quintic iteration: it has a steep slope at 0, and leaves singular values in [0.7, 1.2].
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# What Moonlight multiplies the updates with.
UPDATE_RMS = 0.2
_QKV = "self_attention.linear_qkv.weight"
_PAIR = "mlp.linear_fc1.weight"
_MATRICES = (_QKV, "self_attention.linear_proj.weight", _PAIR, "mlp.linear_fc2.weight")


def newton_schulz(matrix: torch.Tensor, steps: int) -> torch.Tensor:
    """fp32 [rows, columns] -> its nearest matrix with singular values of about 1."""
    a, b, c = COEFFICIENTS
    rows, columns = matrix.shape
    x = matrix.T if rows > columns else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if rows > columns else x


def is_matrix(name: str) -> bool:
    """Whether Muon moves a weight. name: a global one, as in weights.local_parameters."""
    return name.startswith("decoder.layers.") and name.endswith(_MATRICES)


def parts_of(name: str, full: torch.Tensor, model: ModelConfig) -> list[torch.Tensor]:
    """The matrices in a stored weight, as views: query, key and value; gate and up; or itself."""
    if name.endswith(_QKV):
        query = model.query_width // model.kv_heads
        groups = full.view(model.kv_heads, query + 2 * model.head_size, -1)
        return list(groups.split([query, model.head_size, model.head_size], dim=1))
    if name.endswith(_PAIR) and model.form.gated:
        return list(full.chunk(2))
    return [full]


def orthogonal(name: str, full: torch.Tensor, model: ModelConfig, steps: int) -> torch.Tensor:
    """The scaled update of a whole stored weight, fp32 and of its shape."""
    out = torch.empty_like(full)
    for part, target in zip(parts_of(name, full, model), parts_of(name, out, model), strict=True):
        matrix = newton_schulz(part.reshape(-1, part.shape[-1]), steps)
        scale = UPDATE_RMS * max(matrix.shape) ** 0.5
        target.copy_((matrix * scale).view(part.shape))
    return out


class MuonWithAdamW(torch.optim.Optimizer):
    """torch's interface over both, with the groups and the state keys of torch's AdamW.

    names: master weight -> (global name, the model's own weight) for what Muon moves.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        names: dict[torch.Tensor, tuple[str, torch.nn.Parameter]],
        model: ModelConfig,
        muon: MuonConfig,
    ):
        super().__init__(groups, {})
        self._names, self._model, self._muon = names, model, muon

    def init_state(self) -> None:
        """Empty state for every weight that has none, as a load needs it."""
        for group in self.param_groups:
            for weight in group["params"]:
                if not self.state[weight]:
                    keys = ["momentum"] if weight in self._names else ["exp_avg", "exp_avg_sq"]
                    self.state[weight] = {"step": torch.tensor(0.0)} | {
                        key: torch.zeros_like(weight) for key in keys
                    }

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.init_state()
        for group in self.param_groups:
            learning = [weight for weight in group["params"] if weight.grad is not None]
            for weight in learning:
                if weight in self._names:
                    self._muon_step(weight, group)
            self._adamw_step([w for w in learning if w not in self._names], group)

    def _muon_step(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        state, (name, own) = self.state[weight], self._names[weight]
        state["step"] += 1
        momentum, gradient = state["momentum"], weight.grad
        momentum.mul_(self._muon.momentum).add_(gradient)
        look_ahead = gradient + self._muon.momentum * momentum if self._muon.nesterov else momentum
        update = orthogonal(name, weights.join(own, look_ahead), self._model, self._muon.steps)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(weights.part_of(update, own), alpha=-group["lr"])

    def _adamw_step(self, learning: list[torch.Tensor], group: dict[str, Any]) -> None:
        states = [self.state[weight] for weight in learning]
        adamw(
            learning,
            [weight.grad for weight in learning],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def install(
    optimizer: MegatronOptimizer,
    chunks: list[torch.nn.Module],
    model: ModelConfig,
    muon: MuonConfig,
) -> None:
    """Put MuonWithAdamW in the place of megatron-core's AdamW, with the same groups.

    Raises:
        SeedbedError: for a weight that neither of them has a rule for, such as those of experts.
    """
    names: dict[torch.Tensor, tuple[str, torch.nn.Parameter]] = {}
    for name, own in weights.local_parameters(chunks).items():
        if is_matrix(name):
            # Under bf16 the optimizer moves an fp32 copy.
            names[getattr(own, "main_param", own)] = (name, own)
        elif own.dim() > 1 and name not in (weights.EMBEDDING, weights.HEAD):
            raise SeedbedError(
                f"optim.name=muon has no rule for the weight {name} of shape {tuple(own.shape)}",
                "use optim.name=adamw for this model",
            )
    [inner] = optimizer.chained_optimizers
    inner.optimizer = MuonWithAdamW(inner.optimizer.param_groups, names, model, muon)
    inner.init_state_fn = lambda opt, config=None: opt.init_state()
