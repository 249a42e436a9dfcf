"""The whole model's tensors: their names and initial values, scatter to and gather from processes.

Every parameter has one global name, whose layer number counts over all pipeline stages, and one
full shape. Initial values are drawn by name, so the same seed gives the same model in every layout.
Hugging Face import and export are a renaming on top of `scatter` and `gather`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.transformer.moe.moe_layer import MoELayer

from conf.schema.layout import ModelConfig
from megatron_train.model.gpt import unwrap
from megatron_train.parallel import processes

# megatron-core's local layers keep norms apart; Transformer Engine's fold them into the next linear
# layer. Checkpoints always use the names of the latter.
_TE_NAMES = (
    ("input_layernorm.", "self_attention.linear_qkv.layer_norm_"),
    ("pre_mlp_layernorm.", "mlp.linear_fc1.layer_norm_"),
)
_LOCAL_EXPERT = re.compile(r"mlp\.experts\.local_experts\.(\d+)\.(.*)")
EMBEDDING = "embedding.word_embeddings.weight"
HEAD = "output_layer.weight"
_ADAPTERS = "adapters."


def local_parameters(chunks: list[torch.nn.Module]) -> dict[str, torch.nn.Parameter]:
    """Global name -> this process's slice of each of the model's own parameters.

    A tied output layer on the last stage has the embedding's name. Adapters are not among them.
    """
    found: dict[str, torch.nn.Parameter] = {}
    for chunk in chunks:
        model = unwrap(chunk)
        for name, parameter in model.named_parameters():
            if not name.startswith(_ADAPTERS):
                found[_global_name(model, name)] = parameter
    return found


def adapter_parameters(chunks: list[torch.nn.Module]) -> dict[str, torch.nn.Parameter]:
    """Name -> this process's slice of each adapter matrix (lora.py); {} where there are none."""
    return {
        name: parameter
        for chunk in chunks
        for name, parameter in unwrap(chunk).named_parameters()
        if name.startswith(_ADAPTERS)
    }


def initialize(
    chunks: list[torch.nn.Module],
    model: ModelConfig,
    seed: int,
    scale: Callable[[str], float] = lambda name: 1.0,
) -> None:
    """Draw initial values: norms are 1, biases 0, matrices N(0, init_std).

    Matrices that write into the residual stream are N(0, init_std / sqrt(2 layers)). The scaling is
    Megatron-LM's (and GPT-2's, Sec 2.3). scale: a factor by name, such as muP's.
    """

    def draw(name: str, shape: torch.Size) -> torch.Tensor:
        if len(shape) == 1:
            return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
        residual = name.endswith(("linear_proj.weight", "linear_fc2.weight"))
        std = model.init_std / (2 * model.layers) ** 0.5 if residual else model.init_std
        std *= scale(name)
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return torch.empty(shape).normal_(0.0, std, generator=generator)

    scatter(chunks, draw)


def finish_weights(chunks: list[torch.nn.Module]) -> None:
    """Gather the weights that parallel.overlap leaves to the next forward pass; collective.

    Whatever else reads the weights must call it before.
    """
    for chunk in chunks:
        if chunk.ddp_config.overlap_param_gather:
            chunk.start_param_sync(force_sync=True)


@torch.no_grad()
def finish_gradients(chunks: list[torch.nn.Module]) -> None:
    """Complete every main_grad of which the distributed optimizer left only a slice; collective."""
    for chunk in chunks:
        if not chunk.ddp_config.use_distributed_optimizer:
            continue
        for buffer in (*chunk.buffers, *chunk.expert_parallel_buffers):
            group = buffer.data_parallel_group
            for bucket in buffer.buckets:
                mine = bucket.grad_data.chunk(group.size())[group.rank()].clone()
                dist.all_gather_into_tensor(bucket.grad_data, mine, group=group)


@torch.no_grad()
def scatter(chunks: list[torch.nn.Module], full: Callable[[str, torch.Size], torch.Tensor]) -> None:
    """Fill every local parameter with its slice of `full(global name, full shape)`.

    Every process calls `full` once for each of its parameters.
    """
    for name, parameter in local_parameters(chunks).items():
        parameter.copy_(part_of(full(name, full_shape(parameter)), parameter))


@torch.no_grad()
def gather(
    chunks: list[torch.nn.Module],
    of: Callable[[torch.nn.Parameter], torch.Tensor] = torch.nn.Parameter.detach,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (global name, full tensor on the CPU) one at a time on process 0; collective.

    The other processes take part and yield nothing. `of` gives what to gather for a parameter, in
    the parameter's shape, such as its gradient. Only data-parallel replica 0 sends, except for
    experts. The order is by stage, then by the stage's own order, and is the same for a given
    layout.
    """
    finish_weights(chunks)
    yield from gather_named(local_parameters(chunks), of)


@torch.no_grad()
def gather_named(
    mine: dict[str, torch.nn.Parameter], of: Callable[[torch.nn.Parameter], torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """`gather` of the parameters `mine`, by their global names."""
    stage, me = parallel_state.get_pipeline_model_parallel_rank(), processes.rank()
    replica = processes.dp_rank() == 0 and parallel_state.get_context_parallel_rank() == 0
    held: list[tuple[int, list[str]]] = processes.gather_object((stage, list(mine)))
    # The first process of a stage is of replica 0, and experts are sent by the first that has them.
    # A tied output layer on the last stage is a copy of the embedding, which the first stage sends.
    leaders: dict[str, int] = {}
    for process, (_, names) in enumerate(held):
        for name in names:
            leaders.setdefault(name, process)
    for name, leader in leaders.items():
        full = None
        if name in mine and stage == held[leader][0]:
            if getattr(mine[name], "of_expert", False):
                full = of(mine[name]) if me == leader else None
            elif replica:
                full = join(mine[name], of(mine[name]))
        full = _bring_to_main(full, leader)
        if full is not None:
            yield name, full.cpu()


def _global_name(model: torch.nn.Module, name: str) -> str:
    match = re.match(r"decoder\.layers\.(\d+)\.(.*)", name)
    if match:
        # megatron-core counts layers from 1 over all stages.
        layer = model.decoder.layers[int(match[1])].layer_number - 1
        rest = match[2]
        mlp = model.decoder.layers[int(match[1])].mlp
        if isinstance(mlp, MoELayer):
            # With experts Transformer Engine's layers keep the norm before them apart as well.
            rest = _LOCAL_EXPERT.sub(
                lambda found: f"mlp.experts.{mlp.local_expert_indices[int(found[1])]}.{found[2]}",
                rest,
            )
            if rest.startswith("pre_mlp_layernorm."):
                return f"decoder.layers.{layer}.{rest}"
        for local, te in _TE_NAMES:
            rest = te + rest.removeprefix(local) if rest.startswith(local) else rest
        return f"decoder.layers.{layer}.{rest}"
    if name == HEAD and model.share_embeddings_and_output_weights:
        return EMBEDDING
    return name


def _is_cut(parameter: torch.nn.Parameter) -> bool:
    if getattr(parameter, "of_expert", False):
        return False
    tp = parallel_state.get_tensor_model_parallel_world_size()
    return tp > 1 and bool(getattr(parameter, "tensor_model_parallel", False))


def full_shape(parameter: torch.nn.Parameter) -> torch.Size:
    """The shape of the whole tensor of which this process holds a slice."""
    shape = list(parameter.shape)
    if _is_cut(parameter):
        shape[parameter.partition_dim] *= parallel_state.get_tensor_model_parallel_world_size()
    return torch.Size(shape)


def part_of(full: torch.Tensor, parameter: torch.nn.Parameter) -> torch.Tensor:
    """This process's part. A gated linear_fc1 is [gate; up]; process r holds [gate_r; up_r]."""
    if not _is_cut(parameter):
        return full
    tp, r, dim = (
        parallel_state.get_tensor_model_parallel_world_size(),
        parallel_state.get_tensor_model_parallel_rank(),
        parameter.partition_dim,
    )
    if getattr(parameter, "gate_and_up", False):
        return torch.cat([half.chunk(tp, dim)[r] for half in full.chunk(2, dim)], dim)
    return full.chunk(tp, dim)[r]


def join(parameter: torch.nn.Parameter, part: torch.Tensor) -> torch.Tensor:
    """The whole tensor of which each tensor-parallel process holds a part; collective."""
    if not _is_cut(parameter):
        return part
    dim = parameter.partition_dim
    tp = parallel_state.get_tensor_model_parallel_world_size()
    parts = [torch.empty_like(part) for _ in range(tp)]
    dist.all_gather(
        parts, part.contiguous(), group=parallel_state.get_tensor_model_parallel_group()
    )
    if getattr(parameter, "gate_and_up", False):
        halves = [part.chunk(2, dim) for part in parts]
        return torch.cat([half[0] for half in halves] + [half[1] for half in halves], dim)
    return torch.cat(parts, dim)


def _bring_to_main(full: torch.Tensor | None, leader: int) -> torch.Tensor | None:
    """The tensor that process `leader` holds, on process 0; None elsewhere."""
    me = processes.rank()
    if leader == 0 or me not in (0, leader):
        return full if me == 0 else None
    if me == leader:
        assert full is not None
        dist.send_object_list([(tuple(full.shape), full.dtype)], dst=0)
        dist.send(full.contiguous(), dst=0)
        return None
    box = [None]
    dist.recv_object_list(box, src=leader)
    shape, dtype = box[0]  # type: ignore[misc]
    received = torch.empty(shape, dtype=dtype, device=processes.device())
    dist.recv(received, src=leader)
    return received
