"""Adam's state of one kind of optimizer for another.

Kinds are the plain and the distributed optimizer, and one for all weights or one for experts beside
it (parallel.ep). megatron-core 0.19.2 stores all of them by parameter, with the keys of the
weights. They differ in the name of the fp32 master (`fp32_param` or `param`) and in where the
number of steps stands. Here the tensors are asked for by parameter, and put into the optimizer that
has the parameter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

from conf.errors import SeedbedError

_MOMENTS = ("exp_avg", "exp_avg_sq")


def wanted(model_entries: dict[str, Any], distributed: bool, masters: bool) -> list[Any]:
    """{name: entry} of each weight, to load from a checkpoint of the other kind.

    model_entries: those of the model's sharded state. distributed: whether the distributed
    optimizer wrote the checkpoint. masters: whether there are fp32 masters beside the weights.
    """
    names = {moment: moment for moment in _MOMENTS}
    if masters:
        names["master"] = "param" if distributed else "fp32_param"
    # Layers share a key: each is a part of one stored tensor.
    return [
        {
            name: _of_state(entry, f"optimizer.state.{stored}.{entry.key}")
            for name, stored in names.items()
        }
        for entry in _learning(model_entries)
    ]


@torch.no_grad()
def fill(
    optimizer: MegatronOptimizer, model_entries: dict[str, Any], loaded: list[Any], step: float
) -> None:
    """Put loaded tensors into an optimizer; the model must hold its weights already.

    loaded: what `wanted` asked for. step: the steps that Adam has taken.
    """
    # The masters are the weights themselves, or are filled below.
    optimizer.reload_model_params()
    owners = _owners(optimizer)
    for entry, tensors in zip(_learning(model_entries), loaded, strict=True):
        weight = entry.data
        inner = owners.get(weight if weight in owners else getattr(weight, "main_param", None))
        # Of a distributed optimizer another process has it.
        if inner is None:
            continue
        if isinstance(inner, DistributedOptimizer):
            group, order = inner.model_param_group_index_map[weight]
            master = inner.optimizer.param_groups[group]["params"][order]
            mine = inner._get_model_param_range_map(weight)["param"]
            tensors = {name: t.flatten()[mine.start : mine.end] for name, t in tensors.items()}
        else:
            master = getattr(weight, "main_param", weight)
        if "master" in tensors:
            master.copy_(tensors["master"])
        inner.optimizer.state[master] = {
            # Each parameter has a tensor of its own: Adam adds to it in place.
            "step": torch.tensor(float(step)),
            **{name: tensors[name].to(master.device).clone() for name in _MOMENTS},
        }


def _owners(optimizer: MegatronOptimizer) -> dict[torch.Tensor, Any]:
    """The optimizer of each weight, or of its master, that this process updates."""
    owners: dict[torch.Tensor, Any] = {}
    for inner in optimizer.chained_optimizers:
        if isinstance(inner, DistributedOptimizer):
            mine = inner.model_param_group_index_map
        else:
            mine = [one for group in inner.optimizer.param_groups for one in group["params"]]
        owners |= dict.fromkeys(mine, inner)
    return owners


def steps_taken(common: dict[Any, Any], where: str) -> float:
    """The steps of Adam, from what a checkpoint of any kind says of its optimizers.

    Raises:
        SeedbedError: where it tells none, or two that differ.
    """
    # Several optimizers are numbered.
    each = [one for key, one in common.items() if isinstance(key, int)] or [common]
    told: set[float] = set()
    for one in each:
        # What keeps masters apart wraps torch's optimizer once more.
        inner = one.get("optimizer", one)
        told |= {float(group["step"]) for group in inner.get("param_groups", []) if "step" in group}
        if "common_step" in inner.get("state", {}):
            told.add(float(inner["state"]["common_step"]))
    if len(told) != 1:
        raise SeedbedError(
            f"{where} tells {len(told)} numbers of Adam's steps, and one is needed to read its "
            "state for the other kind of optimizer",
            "set parallel.distributed_optimizer as it was",
        )
    return told.pop()


def _learning(model_entries: dict[str, Any]) -> list[Any]:
    """The entries of the weights that learn."""
    return [
        entry
        for entry in nested_values(model_entries)
        if isinstance(entry, ShardedTensor | ShardedTensorFactory)
        and isinstance(entry.data, torch.nn.Parameter)
        and entry.data.requires_grad
    ]


def _of_state(entry: Any, key: str) -> Any:
    """The entry of a weight, for an fp32 tensor of its shape."""
    data = torch.empty_like(entry.data, dtype=torch.float32, requires_grad=False)
    kind = {} if isinstance(entry, ShardedTensorFactory) else {"dtype": torch.float32}
    return replace(entry, key=key, data=data, **kind)
