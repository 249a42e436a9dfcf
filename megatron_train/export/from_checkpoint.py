"""A checkpoint -> a Hugging Face folder, by any number of processes and without its model.

Each file is the work of one process, which reads the tensors that the file holds, one at a time.
So the memory of a process is about twice its largest tensor, and the files are the same for any
number of processes.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from conf.errors import SeedbedError, disk_faults
from conf.loader import from_dict, to_dict
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint.hf_names import to_hf
from megatron_train.checkpoint.hf_side_files import SideFiles
from megatron_train.checkpoint.safetensors_files import SHARD_BYTES
from megatron_train.checkpoint.step_folders import read_manifest
from megatron_train.data.manifest import read_sources
from megatron_train.export import safetensors_stream
from megatron_train.export.model_card import card
from megatron_train.export.safetensors_stream import Planned
from megatron_train.export.stored_tensors import StoredTensors
from megatron_train.model.gpt import padded_vocab
from megatron_train.model.shapes import tensor_shapes
from megatron_train.parallel import processes
from seedbed.dtypes import torch_dtype
from seedbed.files import fresh_partial, partial_of, replace_folder, write_whole


@dataclass(frozen=True)
class StoredModel:
    """What is exported: a checkpoint folder, its model, and the size of its vocabulary."""

    checkpoint: Path
    model: ModelConfig
    vocab_size: int


def export(
    source: StoredModel, folder: Path, dtype: str, side: SideFiles, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write `folder`; collective. It appears, or is replaced, whole.

    dtype: fp32 or bf16. Weights of the other type are rounded, or widened.

    Raises:
        SeedbedError: on every process, for a damaged checkpoint and for a disk without room.
    """
    stored = StoredTensors(source.checkpoint)
    wanted = torch_dtype(dtype)
    shards = safetensors_stream.cut(planned(source, stored), wanted, shard_bytes)
    names = safetensors_stream.file_names(len(shards))
    needed = sum(tensor.bytes(wanted) for shard in shards for tensor in shard)
    processes.on_main(lambda: _begin(folder, needed))
    partial = partial_of(folder)
    sums: dict[str, str] = {}
    fault: SeedbedError | None = None
    try:
        with disk_faults(folder):
            for number in range(processes.rank(), len(shards), processes.world()):
                cut = part_of(source, stored, shards[number])
                sums[names[number]] = safetensors_stream.write(
                    partial / names[number], shards[number], wanted, cut
                )
    except SeedbedError as error:
        fault = error
    told = processes.gather_object((sums, (fault.problem, fault.fix) if fault else None))
    for _, theirs in told:
        if theirs is not None:
            if processes.is_main():
                shutil.rmtree(partial, ignore_errors=True)
            raise SeedbedError(*theirs)
    all_sums = {name: value for one, _ in told for name, value in one.items()}

    def finish() -> None:
        with disk_faults(folder):
            if len(shards) > 1:
                text = safetensors_stream.index(shards, wanted)
                write_whole(partial / "model.safetensors.index.json", text)
            side.write(partial, source.model, source.vocab_size, dtype, all_sums)
            replace_folder(partial, folder)

    processes.on_main(finish)


def described(checkpoint: Path, run: Path, dtype: str | None) -> tuple[StoredModel, SideFiles, str]:
    """What a checkpoint of pretraining records of itself: its model, files beside it, its dtype.

    run: where the tokens of a run without a blend lie; it may have been moved. dtype: None for
    that of the run.

    Raises:
        SeedbedError: for a checkpoint of post-training, and for tokens that are gone.
    """
    found = read_manifest(checkpoint)
    recorded = found["extra"].get("config")
    if recorded is None:
        raise SeedbedError(
            f"{checkpoint} is not of a pretraining run: it records no settings of one",
            "post-training exports its model itself, to the folder hf beside its checkpoints",
        )
    manifest = str(checkpoint / "manifest.json")
    cfg = from_dict(PretrainConfig, recorded, manifest)
    architecture = dict(found["architecture"])
    vocab_size, trained = architecture.pop("vocab_size"), architecture.pop("dtype")
    # Neither sequence length nor init_std shapes a tensor, so the architecture has neither.
    shape = to_dict(cfg.model) | architecture
    cfg = dataclasses.replace(cfg, model=from_dict(ModelConfig, shape, manifest))
    sources = read_sources(cfg.data, run)
    dtype = dtype or trained
    text = card(found, cfg, sources, dtype)
    tokenizer = next(iter(sources.values())).tokenizer
    return StoredModel(checkpoint, cfg.model, vocab_size), SideFiles(tokenizer, text), dtype


def planned(source: StoredModel, stored: StoredTensors) -> list[Planned]:
    """The Hugging Face tensors of a checkpoint, in the order of the model.

    Raises:
        SeedbedError: where the checkpoint does not hold the tensors of its model.
    """
    wanted = dict(tensor_shapes(source.model, padded_vocab(source.vocab_size)))
    there = {name: tuple(shape) for name, shape in stored.shapes.items()}
    for name in sorted({*wanted, *there}):
        if wanted.get(name) != there.get(name):
            raise SeedbedError(
                f"{source.checkpoint}: {name} has the shape {there.get(name)}, and its model wants "
                f"{wanted.get(name)}",
                "give a checkpoint that this version wrote",
            )
    return [
        Planned(name, tuple(cut.shape), own)
        for own, shape in stored.shapes.items()
        for name, cut in to_hf(
            own, torch.empty(shape, device="meta"), source.model, source.vocab_size
        )
    ]


def _begin(folder: Path, needed: int) -> None:
    with disk_faults(folder):
        partial = fresh_partial(folder)
        free = shutil.disk_usage(partial).free
        if free < needed:
            partial.rmdir()
            raise SeedbedError(
                f"the export takes {needed / 1e9:.3f} GB and {folder.parent} has "
                f"{free / 1e9:.3f} GB free",
                "free space there, or name another folder by to=FOLDER of export_hf",
            )


def part_of(
    source: StoredModel, stored: StoredTensors, shard: list[Planned]
) -> Iterator[torch.Tensor]:
    """The tensors of one file, in its order; of each megatron tensor one copy at a time."""
    for own, group in groupby(shard, key=lambda tensor: tensor.source):
        parts = dict(to_hf(own, stored.read(own), source.model, source.vocab_size))
        for tensor in group:
            yield parts.pop(tensor.name)
