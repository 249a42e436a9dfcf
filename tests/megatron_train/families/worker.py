"""OUT OTHER FOLDER... OPTIONS -> OUT/NAME/: each folder's logits in one layout, and its export.

    torchrun --nproc-per-node 2 worker.py OUT OTHER FOLDER [FOLDER...] '{"tp": 2}'

Logits are logits.safetensors, and the export is hf/. OTHER is a folder whose config gives the first
one's weights another meaning; what is said of these two together is OUT/refused.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from megatron.core import parallel_state
from megatron.core.tensor_parallel import gather_from_tensor_model_parallel_region
from safetensors.torch import save_file

from conf.errors import SeedbedError
from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import OptimConfig
from megatron_train.checkpoint import hf_export, hf_folder, hf_import, hf_parity
from megatron_train.model.gpt import unwrap
from megatron_train.parallel import context_parallel, processes
from megatron_train.training.step import build, token_logprobs

LENGTH = 48


def sequences(vocab_size: int) -> torch.Tensor:
    """Two rows of LENGTH + 1 token ids."""
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, vocab_size, (2, LENGTH + 1), generator=generator)


def logits_of(state) -> torch.Tensor | None:
    """[2, LENGTH, vocabulary] on one process of the last stage, None elsewhere; collective."""
    kept = []

    def keep(_module, _inputs, output):
        # The loss writes into the logits.
        whole = gather_from_tensor_model_parallel_region(output[0])
        kept.append(whole.transpose(0, 1).clone())

    last = unwrap(state.chunks[-1])
    if last.post_process:
        last.output_layer.register_forward_hook(keep)
    ids = sequences(state.vocab_size)
    batch = {"tokens": ids[:, :-1], "labels": ids[:, 1:].contiguous()}
    # An interleaved pipeline takes as many micro-batches as it has stages.
    token_logprobs(state, [batch] * (state.layout.pp if state.layout.vpp > 1 else 1))
    if not kept:
        return None
    whole = whole_sequence(kept[0][..., : state.vocab_size].float().contiguous())
    first = parallel_state.get_tensor_model_parallel_rank() == context_parallel.rank() == 0
    return whole if first else None


def whole_sequence(mine: torch.Tensor) -> torch.Tensor:
    """[2, LENGTH / cp, vocabulary] of each context-parallel process -> all positions, in order."""
    size = context_parallel.size()
    if size == 1:
        return mine
    parts = [torch.empty_like(mine) for _ in range(size)]
    torch.distributed.all_gather(parts, mine, group=parallel_state.get_context_parallel_group())
    chunks = {}
    for rank, part in enumerate(parts):
        chunks |= zip(context_parallel.chunks_of(rank), part.chunk(2, 1), strict=True)
    return torch.cat([chunks[number] for number in sorted(chunks)], 1)


def said_of_another(state, folder: Path, other: Path) -> str:
    """The refusal of `other`, where the weights of `folder` were loaded for it; collective."""
    hf_parity.load_weights = lambda state, _: hf_import.load_weights(state, folder)
    try:
        hf_parity.begin_from(state, other)
    except SeedbedError as error:
        return error.problem
    finally:
        hf_parity.load_weights = hf_import.load_weights
    return ""


def main(out: Path, other: Path, folders: list[Path], options: dict) -> None:
    layout = ParallelConfig(**options)
    processes.start(layout, seed=1)
    for folder in folders:
        model, vocab_size = hf_folder.examine(folder, tokenizer=False)
        state = build(model, vocab_size, layout, OptimConfig(), "fp32", seed=1)
        hf_parity.begin_from(state, folder)
        hf_export.export(state, out / folder.name / "hf")
        if folder == folders[0]:
            (out / f"refused-{processes.rank()}").write_text(said_of_another(state, folder, other))
        logits = logits_of(state)
        if logits is not None:
            save_file({"logits": logits.contiguous()}, out / folder.name / "logits.safetensors")
        processes.barrier()
    processes.stop()


if __name__ == "__main__":
    given = [Path(one) for one in sys.argv[1:-1]]
    main(given[0], given[1], given[2:], json.loads(sys.argv[-1]))
