"""Adapters as a folder that PEFT loads: adapter_config.json and adapter_model.safetensors.

    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), FOLDER)

PEFT's adapters stand on Hugging Face's layers. Where megatron-core fuses some of these into one,
they get the same A and each its rows of B.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from megatron_train.checkpoint.hf_export import written_by_main
from megatron_train.checkpoint.hf_names import module_names, to_hf
from megatron_train.checkpoint.hf_side_files import SideFiles
from megatron_train.model import lora
from megatron_train.training.state import TrainState
from seedbed.files import fresh_partial, replace_folder

_PARENTS = {
    "linear_qkv": "self_attention",
    "linear_proj": "self_attention",
    "linear_fc1": "mlp",
    "linear_fc2": "mlp",
}


def tensors(state: TrainState) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (PEFT's name, matrix) of all adapters on process 0; collective."""
    first: dict[str, torch.Tensor] = {}
    for name, full in lora.gather(state.chunks):
        stem, which = name.rsplit(".", 1)
        if which == "a":
            first[stem] = full
            continue
        _, layer, kind = stem.split("_", 2)
        ours = f"decoder.layers.{layer}.{_PARENTS[kind]}.{kind}.weight"
        for theirs, rows in to_hf(ours, full, state.model, state.vocab_size):
            prefix = f"base_model.model.{theirs.removesuffix('.weight')}"
            yield f"{prefix}.lora_A.weight", first[stem].clone()
            yield f"{prefix}.lora_B.weight", rows.contiguous()


def hub_name(folder: Path) -> str:
    """OWNER/NAME of a folder in the cache of huggingface_hub; "" for any other."""
    for part in Path(folder).absolute().parts:
        kind, _, name = part.partition("--")
        if kind == "models" and name.count("--") == 1:
            return name.replace("--", "/")
    return ""


def export(state: TrainState, folder: Path, base: Path, card: str = "") -> None:
    """Write the adapters; collective, process 0 writes. The folder appears, or is replaced, whole.

    base: the folder whose weights they add to. Its tokenizer stands beside them, and what
    generation_config.json says of stopping. card: README.md (hf_side_files.py).
    """
    assert state.lora is not None
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": hub_name(base) or str(Path(base).resolve()),
        "r": state.lora.rank,
        "lora_alpha": state.lora.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": [
            name.rsplit(".", 1)[-1]
            for one in state.lora.layers
            for name in module_names(state.model, f"{_PARENTS[one]}.{one}")
        ],
    }

    def write(pairs: Iterator[tuple[str, torch.Tensor]]) -> None:
        partial = fresh_partial(folder)
        save_file(dict(pairs), partial / "adapter_model.safetensors", {"format": "pt"})
        (partial / "adapter_config.json").write_text(
            json.dumps(config, indent=2, sort_keys=True) + "\n"
        )
        SideFiles(base, card).write_beside(partial, {})
        replace_folder(partial, folder)

    written_by_main(tensors(state), folder, write)
