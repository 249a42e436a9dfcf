"""Options -> OUT.json: a few steps on random tokens in one layout, with uneven loss masks.

    torchrun --nproc-per-node 4 steps_worker.py OUT.json '{"tp": 2, "pp": 2, "steps": 4}'

Process 0 writes what it saw.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from conf.errors import SeedbedError
from conf.schema.experts import ExpertsConfig
from conf.schema.fp8 import Fp8Config
from conf.schema.layout import ModelConfig, ParallelConfig
from conf.schema.pretrain import OptimConfig, PretrainConfig
from megatron_train.checkpoint import hf_export, hf_import, sharded
from megatron_train.fp8 import guard
from megatron_train.model import layer_spec, weights
from megatron_train.parallel import processes
from megatron_train.training import step
from megatron_train.training.losses import Batch, language_model_loss
from megatron_train.training.state import TrainState

# 500 is padded to 512, and the padding must not reach the loss.
VOCAB, SEQ, BATCH = 500, 32, 8


def micro_batches(number: int, size: int, documents: bool = False) -> list[Batch]:
    generator = torch.Generator().manual_seed(number)
    ids = torch.randint(0, VOCAB, (BATCH, SEQ + 1), generator=generator)
    mask = torch.rand(BATCH, SEQ, generator=generator) > torch.linspace(0.1, 0.9, BATCH)[:, None]
    all_of_them = [
        {
            "tokens": ids[i : i + size, :-1].contiguous(),
            "labels": ids[i : i + size, 1:].contiguous(),
            "loss_mask": mask[i : i + size],
        }
        for i in range(0, BATCH, size)
    ]
    if documents:
        owners = (torch.rand(BATCH, SEQ, generator=generator) < 1 / 12).cumsum(1)
        for i, batch in enumerate(all_of_them):
            batch["document_ids"] = owners[i * size : (i + 1) * size]
    return all_of_them[processes.dp_rank() :: processes.dp_size()]


def in_company_and_alone(state: TrainState) -> list[list[float]]:
    """Log-probabilities of three documents in one sequence, and of each in its own sequence."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, VOCAB, (1, SEQ + 1), generator=generator)
    tokens, labels = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    lengths = [7, SEQ - 16, 9]
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    [company] = step.token_logprobs(
        state, [{"tokens": tokens, "labels": labels, "document_ids": owner}]
    )
    alone = []
    for document in range(3):
        mine = owner[0] == document
        [one] = step.token_logprobs(state, [{"tokens": tokens[:, mine], "labels": labels[:, mine]}])
        alone.append(one)
    return [company[0].tolist(), torch.cat(alone, 1)[0].tolist()]


class PackedAttention(layer_spec.SDPACoreAttention):
    """Attention over rows laid end to end, from its definition, for machines without the package.

    Transformer Engine's attention computes the same.
    """

    def forward(self, query, key, value, attention_mask, packed_seq_params=None, **rest):
        if packed_seq_params is None:
            return super().forward(query, key, value, attention_mask, **rest)
        starts = packed_seq_params.cu_seqlens_q.tolist()
        alone = [part[:, None] for part in (query, key, value)]
        out = [
            super(PackedAttention, self).forward(*(part[begin:end] for part in alone), None)
            for begin, end in itertools.pairwise(starts)
        ]
        return torch.cat(out)[:, 0]


def save(state: TrainState, options: dict) -> str | None:
    """The error of the save, or None."""
    if "file_limit" in options:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options["file_limit"], resource.RLIM_INFINITY))
    writer = sharded.CheckpointWriter(
        Path(options["save"]), options.get("keep", 2), options.get("background", False)
    )
    try:
        writer.save(state, {"note": "kept"})
        writer.finish()
    except SeedbedError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return None


def main(out: str, options: dict) -> None:
    shape = {"layers": 4, "hidden": 32, "ffn": 80, "heads": 4, "kv_heads": 2} | options.get(
        "model", {}
    )
    shape["experts"] = ExpertsConfig(**shape.get("experts", {}))
    model = ModelConfig(**shape, seq_length=SEQ, tie_embeddings=options.get("tie", False))
    layout = ParallelConfig(
        tp=options.get("tp", 1),
        pp=options.get("pp", 1),
        vpp=options.get("vpp", 1),
        cp=options.get("cp", 1),
        ep=options.get("ep", 1),
        sequence_parallel=options.get("sp", False),
        distributed_optimizer=options.get("distopt", False),
        overlap=options.get("overlap", False),
        recompute=options.get("recompute", "none"),
        first_layers=options.get("first", 0),
        last_layers=options.get("last", 0),
    )
    if options.get("packed"):
        layer_spec.SDPACoreAttention = PackedAttention
    processes.start(layout, seed=1)
    cfg = PretrainConfig(
        model=model,
        parallel=layout,
        optim=OptimConfig(lr=1e-2, name=options.get("optim", "adamw")),
        dtype=options.get("dtype", "fp32"),
        fp8=Fp8Config(**options.get("fp8", {})),
    )
    state = step.build_from(cfg, VOCAB)
    # The step then lays rows end to end, as it does for Transformer Engine's layers.
    if options.get("packed"):
        state.fp8.transformer_engine = True
    refused = None
    if "import" in options:
        hf_import.load_weights(state, Path(options["import"]))
    if "flipped" in options:
        try:
            sharded.load(state, Path(options["flipped"]))
        except SeedbedError as error:
            refused = str(error)
    if "load" in options:
        sharded.load(state, Path(options["load"]))
    seen = {"losses": [], "grad_norms": [], "first": state.step, "refused": refused}
    for number in range(state.step, state.step + options.get("steps", 0)):
        if options.get("guard"):
            seen["cosines"] = guard.cosines(state, micro_batches(number, 2)[0], language_model_loss)
        batches = micro_batches(number, 2, options.get("blocked", False))
        result = step.train_step(state, batches, language_model_loss, lr=options.get("lr", 1e-2))
        seen["losses"].append(result.loss)
        seen["grad_norms"].append(result.grad_norm)
        if number == 0 and "gradients" in options:
            weights.finish_gradients(state.chunks)
            gradients = dict(weights.gather(state.chunks, lambda p: p.main_grad))
            if processes.is_main():
                save_file(
                    {name: value.contiguous() for name, value in gradients.items()},
                    options["gradients"],
                )
    if "save" in options:
        seen["problem"] = save(state, options)
    if "export" in options:
        hf_export.export(state, Path(options["export"]))
    if options.get("documents"):
        seen["documents"] = in_company_and_alone(state)
    if options.get("logprobs"):
        masked = micro_batches(0, 2)
        every = [{**batch, "loss_mask": torch.ones(2, SEQ)} for batch in masked]
        # The last of them counts nothing, as a row that only fills up.
        masked[-1] = {**masked[-1], "loss_mask": torch.zeros(2, SEQ)}
        seen["logprobs"] = [t.tolist() for t in step.token_logprobs(state, every)]
        seen["counted"] = [t.tolist() for t in step.token_logprobs(state, masked)]
        seen["masks"] = [batch["loss_mask"].tolist() for batch in masked]
    if processes.is_main():
        Path(out).write_text(json.dumps(seen))
    processes.stop()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
