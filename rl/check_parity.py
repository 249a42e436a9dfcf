"""Do transformers, megatron-core and vLLM give the same log-probabilities for one model? Asked
before a run starts.

    python -m rl.check_parity --model HF_FOLDER [--dtype fp32] [--limit 1e-3] [--tokens 48]
        [--layout tp=2 pp=2 sequence_parallel=true]

A few random token sequences are scored by transformers (the reference), by megatron-core in the
layout given (its processes are started here) and by vLLM: at temperature 1, and, for tokens that
vLLM sampled, at 0.6, and at 0.6 within the most likely 0.8 (top-p), where what is left must be
scaled up to 1. vLLM starts from a copy of the model with other weights and is then
given the real ones, the way a training run hands them over: what it keeps of the old ones shows.
Where a log-probability differs by more than the limit (default 1e-3, for bf16 0.1) the command
fails and names the first layer whose output differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from conf.errors import SeedbedError, run_cli
from conf.loader import load
from conf.schema.pretrain import ParallelConfig
from conf.schema.rl import EngineConfig
from megatron_train.checkpoint import hf
from seedbed.inference import layer_outputs
from seedbed.inference.engine import Sampling
from seedbed.inference.process_engine import Engine

SEQUENCES = 3
LIMIT = {"fp32": 1e-3, "bf16": 0.1}
ENGINE_DTYPE = {"fp32": "float32", "bf16": "bfloat16"}
TORCH_DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16}
# the report's (Sec 3.2)
TEMPERATURE = 0.6
# 0.8 is what its authors give for inference
TOP_P = (1.0, 0.8)


@dataclass(frozen=True)
class _Layout:
    parallel: ParallelConfig = field(default_factory=ParallelConfig)


def main(argv: list[str]) -> int:
    args = _arguments(argv)
    model, layout = (
        Path(args.model),
        load(_Layout, None, [f"parallel.{item}" for item in args.layout]).parallel,
    )
    config, vocab_size = hf.model_config(model)
    layout.check(config)
    if layout.cp != 1:
        raise SeedbedError(
            f"--layout cp={layout.cp}: layers cut along the sequence are not compared",
            "leave cp out, and keep tp and pp",
        )
    limit = LIMIT[args.dtype] if args.limit is None else args.limit
    length = min(args.tokens, config.seq_length - 8)
    sequences = random_sequences(vocab_size, length)
    with tempfile.TemporaryDirectory() as scratch:
        reference = Reference(model, args.dtype)
        found = {"megatron-core": by_megatron(model, layout, args.dtype, sequences, Path(scratch))}
        found["vLLM"], sampled = by_vllm(model, args.dtype, sequences, Path(scratch))
        expected = [reference.logprobs(ids) for ids in sequences]
        failed = []
        for name, (logprobs, outputs) in found.items():
            difference = worst(logprobs, expected)
            print(
                f"{name:<14} differs from transformers by at most {difference:.1e} in a token's log-probability"
            )
            if not difference <= limit:
                where = layer_outputs.first_difference(
                    outputs,
                    reference.layers(sequences[0][:-1]),
                    layer_outputs.TOLERANCE[args.dtype],
                )
                failed.append(f"{name} by {difference:.1e}, first in {where}")
        for top_p, (ids, theirs) in zip(TOP_P, sampled, strict=True):
            tempered = worst(
                [theirs], [reference.logprobs(ids, TEMPERATURE, top_p)[-len(theirs) :]]
            )
            how = f"sampled at temperature {TEMPERATURE}, top-p {top_p}"
            print(f"{'vLLM':<14} differs by at most {tempered:.1e} for tokens that it {how}")
            if not tempered <= limit:
                failed.append(f"vLLM by {tempered:.1e} in tokens {how}")
    if failed:
        raise SeedbedError(
            f"log-probabilities of {model} differ from transformers' by more than {limit:g}: {'; '.join(failed)}",
            "do not train on rollouts of this model here; look at the layer named, or at the weights given to it",
        )
    return 0


def nucleus(logprobs: Tensor, top_p: float) -> Tensor:
    """Log-probabilities [..., vocabulary] after top-p (arXiv 1904.09751 Sec 3.1): the fewest most
    likely tokens that hold at least top_p together, scaled to sum to 1; -inf for the others.
    """
    if top_p >= 1:
        return logprobs
    ordered, places = logprobs.sort(descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    left = torch.zeros_like(logprobs, dtype=torch.bool).scatter(-1, places, before >= top_p)
    return torch.log_softmax(logprobs.masked_fill(left, -torch.inf), -1)


def random_sequences(vocab_size: int, length: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, vocab_size, (SEQUENCES, length), generator=generator).tolist()


def worst(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """The largest difference of two sets of log-probabilities; infinite where one has no number."""
    pairs = [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True)]
    differences = [abs(a - b) for a, b in pairs]
    return max(d if d == d else float("inf") for d in differences)


class Reference:
    """transformers' LlamaForCausalLM."""

    def __init__(self, folder: Path, dtype: str):
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=TORCH_DTYPE[dtype], local_files_only=True
        ).eval()

    @torch.no_grad()
    def logprobs(
        self, ids: Sequence[int], temperature: float = 1.0, top_p: float = 1.0
    ) -> list[float]:
        """log p of each token but the first, in the distribution that is sampled from."""
        logits = self._model(torch.tensor([ids])).logits[0, :-1].float() / temperature
        kept = nucleus(torch.log_softmax(logits, -1), top_p)
        return kept.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()

    @torch.no_grad()
    def layers(self, ids: Sequence[int]) -> dict[str, Tensor]:
        def rows(output: Any) -> Tensor:
            return (output[0] if isinstance(output, tuple) else output).reshape(len(ids), -1)

        with layer_outputs.recorded(layer_outputs.llama_modules(self._model), rows) as found:
            self._model(torch.tensor([ids]))
        return found


def by_megatron(
    model: Path, layout: ParallelConfig, dtype: str, sequences: list[list[int]], scratch: Path
) -> tuple[list[list[float]], dict[str, Tensor]]:
    """Log-probabilities of all sequences and the layers' outputs for the first, from processes in
    that layout.
    """
    request = scratch / "megatron.json"
    request.write_text(
        json.dumps(
            {"model": str(model), "layout": vars(layout), "dtype": dtype, "sequences": sequences}
        )
    )
    processes = str(layout.tp * layout.pp)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        processes,
    ]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    done = subprocess.run(
        [*command, "-m", "rl.parity.worker", str(request)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode != 0:
        raise SeedbedError(
            f"megatron-core could not score {model} in {processes} processes: {done.stderr.strip()[-600:]}",
            "the message above is of its own processes",
        )
    return json.loads((scratch / "logprobs.json").read_text()), load_file(
        scratch / "megatron.safetensors"
    )


def by_vllm(
    model: Path, dtype: str, sequences: list[list[int]], scratch: Path
) -> tuple[tuple[list[list[float]], dict[str, Tensor]], list[tuple[list[int], list[float]]]]:
    """The same from vLLM, which held other weights before; and, for each TOP_P, all tokens and the
    log-probabilities of those that it sampled.
    """
    other = scratch / "other"
    write_other_weights(model, other)
    with Engine(
        other,
        len(sequences[0]) + 8,
        EngineConfig(dtype=ENGINE_DTYPE[dtype]),
        scratch / "engine.log",
    ) as engine:
        engine.load(model)
        scores = engine.score(sequences)
        outputs = engine.layers(sequences[0], scratch / "vllm.safetensors")
        drawn = [
            engine.generate(sequences[:1], [1], Sampling(TEMPERATURE, 8, top_p=top_p))[0]
            for top_p in TOP_P
        ]
    return (scores, outputs), [
        ([*sequences[0], *sample.tokens], sample.logprobs) for sample in drawn
    ]


def write_other_weights(model: Path, folder: Path) -> None:
    """A copy of an HF folder whose matrices have their rows in reverse order: same shapes and
    sizes, another function.
    """
    folder.mkdir()
    for file in model.iterdir():
        if file.suffix == ".safetensors":
            tensors = {name: value.flip(0).contiguous() for name, value in load_file(file).items()}
            save_file(tensors, folder / file.name, metadata={"format": "pt"})
        elif file.is_file():
            (folder / file.name).symlink_to(file.resolve())


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rl.check_parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--dtype", choices=sorted(LIMIT), default="fp32")
    parser.add_argument(
        "--limit",
        type=float,
        help="largest difference of a token's log-probability (1e-3; bf16: 0.1)",
    )
    parser.add_argument("--tokens", type=int, default=48, help="of a sequence")
    parser.add_argument(
        "--layout",
        nargs="*",
        default=[],
        metavar="key=value",
        help="fields of ParallelConfig, such as tp=2 pp=2",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_cli(main)
