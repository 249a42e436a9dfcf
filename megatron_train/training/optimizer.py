"""AdamW from megatron-core, with two corrections that its CPU path needs.

muon.py puts Muon beside it.
"""

from __future__ import annotations

import math

import torch
from megatron.core.optimizer import (
    MegatronOptimizer,
    OptimizerConfig,
    distrib_optimizer,
    get_megatron_optimizer,
    get_standard_config_overrides,
)
from megatron.core.optimizer.optimizer_config import ParamKey, ParamPredicate

from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import OptimConfig
from megatron_train.model import weights
from megatron_train.training import mup
from seedbed.dtypes import torch_dtype


def build_optimizer(
    chunks: list[torch.nn.Module],
    optim: OptimConfig,
    layout: ParallelConfig,
    dtype: str,
    width: float = 1.0,
) -> MegatronOptimizer:
    """Adam over this process's chunks. With bf16 it keeps fp32 master weights.

    width: how many times muP's base width the model has.
    """
    _mend_distributed_adam()
    config = OptimizerConfig(
        optimizer="adam",
        # These rates are never used, because set_rates sets them. But checkpoints know parameter
        # groups by them, and a rate may change on resuming.
        lr=1.0,
        min_lr=0.0,
        weight_decay=optim.weight_decay,
        adam_beta1=optim.beta1,
        adam_beta2=optim.beta2,
        adam_eps=optim.eps,
        clip_grad=optim.clip_grad,
        bf16=dtype == "bf16",
        params_dtype=torch_dtype(dtype),
        use_distributed_optimizer=layout.distributed_optimizer,
        overlap_param_gather=layout.overlap and layout.distributed_optimizer,
    )
    overrides = get_standard_config_overrides(config) | _by_width(chunks, optim, width)
    optimizer = get_megatron_optimizer(config, chunks, overrides)
    _check_norm(optimizer)
    return optimizer


def _by_width(
    chunks: list[torch.nn.Module], optim: OptimConfig, width: float
) -> dict[ParamKey, dict[str, float]]:
    """muP's rates and epsilons, as overrides of megatron-core's groups of weights."""
    if width == 1.0:
        return {}
    names = {parameter: name for name, parameter in weights.local_parameters(chunks).items()}
    kinds: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for parameter, name in names.items():
        kind = (mup.rate(name, width), mup.epsilon(name, width))
        if kind != (1.0, 1.0):
            kinds.setdefault(kind, []).append(parameter)
    found = {}
    for (rate, epsilon), mine in kinds.items():
        these = set(mine)
        one = ParamPredicate(
            name=f"mup {rate} {epsilon}", fn=lambda weight, these=these: weight in these
        )
        found[ParamKey(predicate=one)] = {"max_lr": rate, "eps": optim.eps * epsilon}
    return found


class NotFinite(Exception):
    """The gradient norm is not finite; no weight and no moment was changed."""

    def __init__(self, norm: float):
        super().__init__(norm)
        self.norm = norm


def _check_norm(optimizer: MegatronOptimizer) -> None:
    """Let optimizer.step() stop after it has the norm and before it clips.

    The norm is the same on every process, so all of them stop.
    """
    original = optimizer.get_grad_norm

    def get_grad_norm() -> float:
        norm = float(original())
        if not math.isfinite(norm):
            raise NotFinite(norm)
        return norm

    optimizer.get_grad_norm = get_grad_norm  # type: ignore[method-assign]


def set_rates(optimizer: MegatronOptimizer, lr: float, weight_decay: float) -> None:
    """Set both for the next step; this replaces megatron-core's scheduler object.

    Norms have wd_mult 0, so they do not decay. max_lr is 1, or muP's factor of the rate. A weight
    loses rate times decay of itself in a step, so the decay makes up for the factor.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group["max_lr"]
        group["weight_decay"] = weight_decay * group["wd_mult"] / group["max_lr"]


def _mend_distributed_adam() -> None:
    """Let megatron-core 0.19.2's DistributedOptimizer take torch's AdamW.

    It was made for the Adam of Transformer Engine or apex. Without this, on any device, loading its
    own checkpoint asserts before the first step and fails on the per-parameter 'step'. It also
    leaves all parameters sharing one 'step' tensor, which silently shifts the loss.
    """
    cls = distrib_optimizer.DistributedOptimizer
    if distrib_optimizer.HAVE_APEX_OR_TE or getattr(cls, "_seedbed_mended", False):
        return
    cls._seedbed_mended = True
    original_state_dict, original_load = cls.state_dict, cls.load_state_dict

    @torch.no_grad()
    def set_states(self, model_param: torch.Tensor, tensors: dict[str, torch.Tensor]) -> None:
        group, order = self.model_param_group_index_map[model_param]
        main = self.optimizer.param_groups[group]["params"][order]
        for key, target in {"param": main, **self.optimizer.state[main]}.items():
            if key != "step" and isinstance(target, torch.Tensor) and key in tensors:
                target.copy_(tensors[key])

    def state_dict(self):
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                if not self.optimizer.state[p]:
                    self.optimizer.state[p].update(
                        step=torch.tensor(0.0),
                        exp_avg=torch.zeros_like(p),
                        exp_avg_sq=torch.zeros_like(p),
                    )
        return original_state_dict(self)

    def load_state_dict(self, state_dict):
        result = original_load(self, state_dict)
        for state in self.optimizer.state.values():
            if "step" in state:
                state["step"] = state["step"].clone()
        return result

    cls._set_main_param_and_optimizer_states = set_states
    cls.state_dict, cls.load_state_dict = state_dict, load_state_dict
