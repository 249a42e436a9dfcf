"""A checkpoint of the shape of a large model -> the time and memory of its export by N processes.

    python -m benchmarks.export --folder SCRATCH [--size 1b|8b] [--processes 8] [--parts 8]

The checkpoint has the form of torch's distributed checkpoints, as a run with tp = PARTS leaves it,
without Adam's state. All layers point to the same bytes, and so do embedding and head. So 8b, which
has the shape of Llama 3 8B (arXiv 2407.21783, Table 3), takes 0.2 GB here. Its export has 16 GB.
Memory is the proportional set of all processes together, and of the largest one.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import shutil
import sys
from pathlib import Path

import torch
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from benchmarks import usage
from conf.loader import to_dict
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.model import weights
from megatron_train.model.gpt import padded_vocab

# (model, vocabulary)
SIZES = {
    "1b": (
        ModelConfig(layers=16, hidden=2048, ffn=8192, heads=32, kv_heads=8, seq_length=4096),
        32_000,
    ),
    "8b": (
        ModelConfig(layers=32, hidden=4096, ffn=14336, heads=32, kv_heads=8, seq_length=8192),
        128_256,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="takes tokens/ of a small run")
    parser.add_argument("--size", choices=SIZES, default="1b")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16")
    args = parser.parse_args()
    model, vocab_size = SIZES[args.size]
    root = args.folder / "pretrain" / "checkpoints"
    shutil.rmtree(root, ignore_errors=True)
    size = write_checkpoint(root / "step_00000001", model, vocab_size, args.parts)
    (root / "latest").write_text("step_00000001\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(args.processes), "-m", "megatron_train.export_hf"]
    found = usage.measure([*command, f"output={args.folder}", f"dtype={args.dtype}"], pss=True)
    told = {"size": args.size, "checkpoint_gb": round(size / 1e9, 2), "processes": args.processes}
    told |= {key: round(found[key], 1) for key in ("wall", "cpu", "MB", "Python worker")}
    print(json.dumps(told))
    shutil.rmtree(root)
    shutil.rmtree(args.folder / "hf")


def write_checkpoint(folder: Path, model: ModelConfig, vocab_size: int, parts: int) -> int:
    """Write a checkpoint; returns the bytes of its tensors."""
    folder.mkdir(parents=True)
    head = model.hidden // model.heads
    outer = {
        weights.EMBEDDING: (padded_vocab(vocab_size), model.hidden),
        weights.HEAD: (padded_vocab(vocab_size), model.hidden),
        "decoder.final_layernorm.weight": (model.hidden,),
    }
    inner = {
        "self_attention.linear_qkv.layer_norm_weight": (model.hidden,),
        "self_attention.linear_qkv.weight": (
            (model.heads + 2 * model.kv_heads) * head,
            model.hidden,
        ),
        "self_attention.linear_proj.weight": (model.hidden, model.hidden),
        "mlp.linear_fc1.layer_norm_weight": (model.hidden,),
        "mlp.linear_fc1.weight": (2 * model.ffn, model.hidden),
        "mlp.linear_fc2.weight": (model.hidden, model.ffn),
    }
    stacked = {f"decoder.layers.{k}": (model.layers, *shape) for k, shape in inner.items()}
    entries, written = {}, []
    places: dict[tuple[int, ...], _StorageInfo] = {}
    total = 0
    with (folder / "__0_0.distcp").open("wb") as file:

        def place(box: tuple[int, ...]) -> _StorageInfo:
            if box not in places:
                offset = file.tell()
                held = io.BytesIO()
                torch.save(torch.full(box, 0.02, dtype=torch.bfloat16), held)
                file.write(held.getbuffer())
                name = Path(file.name).name
                places[box] = _StorageInfo(name, offset, file.tell() - offset)
            return places[box]

        for name, shape in {**outer, **stacked}.items():
            chunks = []
            for layer in range(model.layers) if name in stacked else [None]:
                own = shape if layer is None else shape[1:]
                pieces = parts if len(own) > 1 else 1
                rows = own[0] // pieces
                for piece in range(pieces):
                    box = (rows, *own[1:])
                    at = (piece * rows, *(0 for _ in own[1:]))
                    if layer is not None:
                        box, at = (1, *box), (layer, *at)
                    chunk = ChunkStorageMetadata(torch.Size(at), torch.Size(box))
                    chunks.append(chunk)
                    found = place(box)
                    total += found.length
                    index = MetadataIndex(name, chunk.offsets)
                    written.append(WriteResult(index, found.length, found))
            properties = TensorProperties(dtype=torch.bfloat16)
            entries[name] = TensorStorageMetadata(properties, torch.Size(shape), chunks)
    FileSystemWriter(folder).finish(Metadata(entries), [written])
    architecture = to_dict(model) | {"vocab_size": vocab_size, "dtype": "bf16"}
    cfg = dataclasses.replace(PretrainConfig(), model=model, output=str(folder.parents[2]))
    manifest = {
        "step": 1,
        "architecture": architecture,
        "made_with": {},
        "extra": {"config": to_dict(cfg), "config_hash": "none"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return total


if __name__ == "__main__":
    main()
