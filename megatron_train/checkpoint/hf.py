"""Between megatron-core and Hugging Face's LlamaForCausalLM: `load_weights` in, `export` out.

Both work in any layout. They are a renaming on top of `weights.scatter` and `weights.gather`, one
tensor at a time. megatron-core's attention matrix holds, for each key/value group in turn, the
group's query heads, its key head and its value head.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint.safetensors_files import SafetensorsReader, write_safetensors
from megatron_train.model import lora, weights
from megatron_train.model.gpt import padded_vocab
from megatron_train.parallel import processes
from megatron_train.training.state import TrainState
from seedbed.dtypes import torch_dtype
from seedbed.files import copy_tokenizer, fresh_partial, replace_folder


def model_config(folder: Path, seq_length: int | None = None) -> tuple[ModelConfig, int]:
    """(our model settings, vocabulary size) of a LlamaForCausalLM folder.

    Raises:
        SeedbedError: for another architecture.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise SeedbedError(
            f"{folder} holds no config.json",
            "give a folder that LlamaForCausalLM.save_pretrained or our export wrote",
        )
    config = json.loads(path.read_text())
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    head = config["hidden_size"] // config["num_attention_heads"]
    # (setting, its value, the values that are supported)
    settings = [
        ("architectures", config.get("architectures"), (["LlamaForCausalLM"],)),
        ("hidden_act", config.get("hidden_act", "silu"), ("silu",)),
        ("attention_bias", config.get("attention_bias"), (None, False)),
        ("mlp_bias", config.get("mlp_bias"), (None, False)),
        ("rope_type", rope.get("rope_type", "default"), ("default",)),
        ("head_dim", config.get("head_dim"), (None, head)),
    ]
    unsupported = [
        f"{name}={str(value).lower() if value is True else value}"
        for name, value, supported in settings
        if value not in supported
    ]
    if unsupported:
        raise SeedbedError(
            f"{path}: {', '.join(unsupported)} is not supported",
            "use a plain Llama without biases or RoPE scaling",
        )
    model = ModelConfig(
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        ffn=config["intermediate_size"],
        heads=config["num_attention_heads"],
        kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
        seq_length=seq_length or config["max_position_embeddings"],
        rope_base=int(rope.get("rope_theta") or config.get("rope_theta") or 10_000),
        norm_eps=config["rms_norm_eps"],
        tie_embeddings=config.get("tie_word_embeddings", False),
        init_std=config.get("initializer_range", 0.02),
    )
    return model, config["vocab_size"]


def load_weights(state: TrainState, folder: Path) -> None:
    """Hugging Face safetensors -> the live weights and the optimizer's master weights.

    Each process reads only the tensors that it holds a part of.
    """
    found, vocab_size = model_config(folder, state.model.seq_length)
    if (found, vocab_size) != (state.model, state.vocab_size):
        raise SeedbedError(
            f"{folder} holds {found} with {vocab_size} tokens; the model in memory is "
            f"{state.model} with {state.vocab_size}",
            "build the state from hf.model_config(folder)",
        )
    with SafetensorsReader(Path(folder)) as read:
        weights.scatter(state.chunks, lambda name, shape: _from_hf(name, shape, state.model, read))
    state.optimizer.reload_model_params()


def tensors(state: TrainState) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (Hugging Face name, tensor on the CPU) of the live weights on process 0; collective.

    The other processes take part and yield nothing. The order is the same every time. Adapters are
    merged into the weights.
    """
    for name, full in weights.gather(state.chunks, lora.merged):
        yield from to_hf(name, full, state.model, state.vocab_size)


def stored(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (name, tensor) of every tensor of a Hugging Face folder, one at a time."""
    with SafetensorsReader(Path(folder)) as read:
        for name in read.files:
            yield name, read(name)


def export(
    state: TrainState,
    folder: Path,
    tokenizer: Path | None = None,
    watch: Callable[[str, torch.Tensor], None] = lambda name, tensor: None,
) -> None:
    """Write the live weights as a LlamaForCausalLM folder; collective, process 0 writes.

    `tokenizer` is a folder whose tokenizer files are copied. The result appears, or is replaced,
    whole, so a reader never sees half of it. On process 0, `watch` is called with each tensor.
    """
    folder = Path(folder)
    pairs = tensors(state)
    if processes.is_main():
        partial = fresh_partial(folder)
        write_safetensors(partial, _watched(pairs, watch))
        special = _special_ids(tokenizer, partial)
        config = {**_hf_config(state), **special}
        (partial / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        (partial / "generation_config.json").write_text(
            json.dumps({"do_sample": False, **special}, indent=2, sort_keys=True) + "\n"
        )
        replace_folder(partial, folder)
    else:
        # The other processes only take part in the gathering.
        for _ in pairs:
            pass
    processes.barrier()


def _watched(
    pairs: Iterator[tuple[str, torch.Tensor]], watch: Callable[[str, torch.Tensor], None]
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in pairs:
        watch(name, tensor)
        yield name, tensor


def _hf_config(state: TrainState) -> dict[str, Any]:
    model = state.model
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": state.vocab_size,
        "hidden_size": model.hidden,
        "intermediate_size": model.ffn,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.hidden // model.heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": model.seq_length,
        "rms_norm_eps": model.norm_eps,
        # transformers 4 and llama.cpp read rope_theta; transformers 5 reads rope_parameters.
        "rope_theta": float(model.rope_base),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(model.rope_base)},
        "tie_word_embeddings": model.tie_embeddings,
        "initializer_range": model.init_std,
        "dtype": str(torch_dtype(state.dtype)).removeprefix("torch."),
    }


def _special_ids(tokenizer: Path | None, folder: Path) -> dict[str, int | None]:
    """Copy the tokenizer's files into `folder`, and return the ids of its bos, eos and pad tokens.

    An id is None where the tokenizer names no such token.
    """
    ids: dict[str, int | None] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if tokenizer is None:
        return ids
    tokenizer = Path(tokenizer)
    if not (tokenizer / "tokenizer.json").is_file():
        raise SeedbedError(
            f"{tokenizer} holds no tokenizer.json",
            "give the tokenizer's folder, such as DIR/tokens/tokenizer",
        )
    copy_tokenizer(tokenizer, folder)
    by_content = {
        t["content"]: t["id"]
        for t in json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"]
    }
    config_path = tokenizer / "tokenizer_config.json"
    config = json.loads(config_path.read_text()) if config_path.is_file() else {}
    for role in ("bos", "eos", "pad"):
        token = config.get(f"{role}_token")
        token = token["content"] if isinstance(token, dict) else token
        ids[f"{role}_token_id"] = by_content.get(token)
    return ids


def to_hf(
    name: str, full: torch.Tensor, model: ModelConfig, vocab_size: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """One megatron tensor -> its Hugging Face tensors."""
    simple = {
        weights.EMBEDDING: "model.embed_tokens.weight",
        weights.HEAD: "lm_head.weight",
        "decoder.final_layernorm.weight": "model.norm.weight",
    }
    if name in simple:
        yield simple[name], full[:vocab_size] if name in (weights.EMBEDDING, weights.HEAD) else full
        return
    _, _, layer, rest = name.split(".", 3)
    prefix = f"model.layers.{layer}."
    if rest == "self_attention.linear_qkv.weight":
        groups, per_group, head = (
            model.kv_heads,
            model.heads // model.kv_heads,
            model.hidden // model.heads,
        )
        # An adapter's B has as many columns as its rank.
        columns = full.size(-1)
        qkv = full.view(groups, per_group + 2, head, columns)
        yield prefix + "self_attn.q_proj.weight", qkv[:, :per_group].reshape(-1, columns)
        yield prefix + "self_attn.k_proj.weight", qkv[:, per_group].reshape(-1, columns)
        yield prefix + "self_attn.v_proj.weight", qkv[:, per_group + 1].reshape(-1, columns)
    elif rest == "mlp.linear_fc1.weight":
        yield prefix + "mlp.gate_proj.weight", full[: model.ffn]
        yield prefix + "mlp.up_proj.weight", full[model.ffn :]
    else:
        yield prefix + _LAYER_NAMES[rest], full


def _from_hf(
    name: str, shape: torch.Size, model: ModelConfig, read: SafetensorsReader
) -> torch.Tensor:
    """One megatron tensor <- its Hugging Face tensors; rows of the padded vocabulary are zeros."""
    if name in (weights.EMBEDDING, weights.HEAD):
        rows = read("model.embed_tokens.weight" if name == weights.EMBEDDING else "lm_head.weight")
        return torch.cat(
            [rows, rows.new_zeros(padded_vocab(rows.size(0)) - rows.size(0), rows.size(1))]
        )
    if name == "decoder.final_layernorm.weight":
        return read("model.norm.weight")
    _, _, layer, rest = name.split(".", 3)
    prefix = f"model.layers.{layer}."
    if rest == "self_attention.linear_qkv.weight":
        groups, head = model.kv_heads, model.hidden // model.heads
        parts = [
            read(f"{prefix}self_attn.{p}_proj.weight").view(groups, -1, head, model.hidden)
            for p in "qkv"
        ]
        return torch.cat(parts, dim=1).view(shape)
    if rest == "mlp.linear_fc1.weight":
        return torch.cat(
            [read(prefix + "mlp.gate_proj.weight"), read(prefix + "mlp.up_proj.weight")]
        )
    return read(prefix + _LAYER_NAMES[rest])


_LAYER_NAMES = {
    "self_attention.linear_proj.weight": "self_attn.o_proj.weight",
    "self_attention.linear_qkv.layer_norm_weight": "input_layernorm.weight",
    "mlp.linear_fc1.layer_norm_weight": "post_attention_layernorm.weight",
    "mlp.linear_fc2.weight": "mlp.down_proj.weight",
}
