"""transformers' log-probabilities of a folder's model, with one layer in memory at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from conf.schema.layout import ModelConfig
from megatron_train.checkpoint.hf_config import model_config
from megatron_train.checkpoint.hf_names import module_names
from megatron_train.checkpoint.safetensors_files import SafetensorsReader

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
# transformers holds the experts of a layer as one tensor, and files hold each expert by itself.
_EXPERTS = {"mlp.experts.gate_up_proj": "linear_fc1", "mlp.experts.down_proj": "linear_fc2"}
_ROUTER = "mlp.gate.weight"


@torch.no_grad()
def reference_logprobs(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    """log p of each token but the first, fp32 [n - 1]. ids: [n].

    The model is built without memory. Each layer gets its weights in fp32 when it is reached, and
    is emptied behind it. So the largest layer, or the embedding, must fit this process's memory.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    # It has no weights, and its frequencies are computed where it is made.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    ours, _ = model_config(folder)
    with SafetensorsReader(folder) as read:
        for prefix, module in _parts(model):
            _fill_on_the_way(module, prefix, read, ours)
        logits = model(ids[None], use_cache=False).logits[0, :-1]
    return torch.log_softmax(logits, -1).gather(-1, ids[1:, None])[:, 0]


def _parts(model: Any) -> list[tuple[str, torch.nn.Module]]:
    """(prefix of its tensors' names, module) of all that has weights, in parts of a layer."""
    layers = [(f"model.layers.{i}.", layer) for i, layer in enumerate(model.model.layers)]
    return [
        ("model.embed_tokens.", model.model.embed_tokens),
        *layers,
        ("model.norm.", model.model.norm),
        ("lm_head.", model.lm_head),
    ]


def _fill_on_the_way(
    module: torch.nn.Module, prefix: str, read: SafetensorsReader, ours: ModelConfig
) -> None:
    empty = dict(module.state_dict())

    def fill(*_: Any) -> None:
        module.load_state_dict(
            {name: _tensor(prefix, name, read, ours).float() for name in empty}, assign=True
        )

    module.register_forward_pre_hook(fill)
    module.register_forward_hook(lambda *_: _emptied(module, empty))


def _tensor(prefix: str, name: str, read: SafetensorsReader, ours: ModelConfig) -> torch.Tensor:
    """A tensor of transformers' model out of the files, which may hold it in parts."""
    if name in _EXPERTS:
        each = [
            module_names(ours, f"mlp.experts.{i}.{_EXPERTS[name]}")
            for i in range(ours.experts.number)
        ]
        return torch.stack(
            [torch.cat([read(f"{prefix}{one}.weight") for one in names]) for names in each]
        )
    if name == _ROUTER:
        [router] = module_names(ours, "mlp.router")
        return read(f"{prefix}{router}.weight")
    full = prefix + name
    # A tied output layer is stored once.
    return read(full if full in read.files or full != _HEAD else _EMBEDDING)


def _emptied(module: torch.nn.Module, empty: dict[str, torch.Tensor]) -> None:
    module.load_state_dict(empty, assign=True)
