"""Do transformers, megatron-core and vLLM give the same log-probabilities for one model?

    python -m rl.check_parity --model HF_FOLDER [--dtype fp32] [--limit 1e-3] [--tokens 48]
        [--layout tp=2 pp=2 sequence_parallel=true]

It is asked before a run starts. transformers (the reference), megatron-core in the given layout and
vLLM score a few random token sequences at temperature 1. vLLM also samples tokens at temperature
0.6, with top-p 1 and 0.8, and their log-probabilities are compared as well.

vLLM starts from a copy of the model with other weights. It is then given the real ones as a
training run gives them, so that old weights that it keeps become visible.

Where a log-probability differs by more than the limit (by default 1e-3, for bf16 0.1), the command
fails and names the first layer whose output differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from conf.errors import SeedbedError, run_cli
from conf.flags import flag_parser, parse_flags
from conf.loader import load
from conf.schema.pretrain import ParallelConfig
from conf.schema.rl import EngineConfig
from megatron_train.checkpoint import hf_folder
from rl.parity.reference import Reference, worst
from seedbed.dtypes import ENGINE_NAME
from seedbed.inference import layer_outputs
from seedbed.inference.engine import Sampling
from seedbed.inference.process_engine import Engine

SEQUENCES = 3
LIMIT = {"fp32": 1e-3, "bf16": 0.1}
# The sampling temperature of Seed-Coder's RL (arXiv 2506.03524 Sec 3.2).
TEMPERATURE = 0.6
# Besides no top-p at all, the value that the model's authors recommend for inference.
TOP_P = (1.0, 0.8)


@dataclass(frozen=True)
class _Layout:
    """Makes the fields of a layout settable, as parallel.tp=2."""

    parallel: ParallelConfig = field(default_factory=ParallelConfig)


def main(argv: list[str]) -> int:
    args = _arguments(argv)
    model = Path(args.model)
    layout = load(_Layout, None, [f"parallel.{item}" for item in args.layout]).parallel
    config, vocab_size = hf_folder.examine(model, tokenizer=False)
    layout.check(config)
    if layout.cp != 1:
        raise SeedbedError(
            f"--layout cp={layout.cp}: layers cut along the sequence are not compared",
            "leave cp out, and keep tp and pp",
        )
    limit = LIMIT[args.dtype] if args.limit is None else args.limit
    length = min(args.tokens, config.seq_length - 8)
    sequences = random_sequences(vocab_size, length)
    with _scratch() as scratch:
        reference = Reference(model, args.dtype)
        found = {"megatron-core": by_megatron(model, layout, args.dtype, sequences, scratch)}
        found["vLLM"], sampled = by_vllm(model, args.dtype, sequences, scratch)
        expected = [reference.logprobs(ids) for ids in sequences]
        failed = []
        for name, (logprobs, outputs) in found.items():
            difference = worst(logprobs, expected)
            print(
                f"{name:<14} differs from transformers by at most {difference:.1e} "
                "in a token's log-probability"
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
            f"log-probabilities of {model} differ from transformers' by more than {limit:g}: "
            f"{'; '.join(failed)}",
            "do not train on rollouts of this model here; look at the layer named, or at the "
            "weights given to it",
        )
    return 0


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for weights and logs. After an error its logs stay, since the error names them."""
    folder = Path(tempfile.mkdtemp(prefix="seedbed-parity-"))
    try:
        yield folder
    except BaseException:
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.suffix != ".log":
                entry.unlink()
        raise
    shutil.rmtree(folder)


def random_sequences(vocab_size: int, length: int) -> list[list[int]]:
    """SEQUENCES lists of `length` token ids, always the same."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, vocab_size, (SEQUENCES, length), generator=generator).tolist()


def by_megatron(
    model: Path, layout: ParallelConfig, dtype: str, sequences: list[list[int]], scratch: Path
) -> tuple[list[list[float]], dict[str, Tensor]]:
    """Log-probabilities of all sequences, and layers' outputs for the first, from megatron-core.

    Processes in `layout` are started for it; `scratch` holds what they read and write.
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
            f"megatron-core could not score {model} in {processes} processes: "
            f"{done.stderr.strip()[-600:]}",
            "read the message above, which its own processes wrote",
        )
    return json.loads((scratch / "logprobs.json").read_text()), load_file(
        scratch / "megatron.safetensors"
    )


def by_vllm(
    model: Path, dtype: str, sequences: list[list[int]], scratch: Path
) -> tuple[tuple[list[list[float]], dict[str, Tensor]], list[tuple[list[int], list[float]]]]:
    """The same from vLLM, which held other weights before, and what vLLM sampled.

    For each of TOP_P that is (all tokens, log-probabilities of the sampled ones).
    """
    other = scratch / "other"
    write_other_weights(model, other)
    with Engine(
        other,
        len(sequences[0]) + 8,
        EngineConfig(dtype=ENGINE_NAME[dtype]),
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
    """Writes a copy of a Hugging Face folder in which every tensor has its rows reversed.

    Shapes and sizes stay, but the model computes another function.
    """
    folder.mkdir()
    for file in model.iterdir():
        if file.suffix == ".safetensors":
            tensors = {name: value.flip(0).contiguous() for name, value in load_file(file).items()}
            save_file(tensors, folder / file.name, metadata={"format": "pt"})
        elif file.is_file():
            (folder / file.name).symlink_to(file.resolve())


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = flag_parser("rl.check_parity", __doc__)
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--dtype", choices=sorted(LIMIT), default="fp32")
    parser.add_argument(
        "--limit",
        type=float,
        help="largest allowed difference of a token's log-probability (1e-3; bf16: 0.1)",
    )
    parser.add_argument("--tokens", type=int, default=48, help="tokens per sequence")
    parser.add_argument(
        "--layout",
        nargs="*",
        default=[],
        metavar="key=value",
        help="fields of ParallelConfig, such as tp=2 pp=2",
    )
    parser.add_argument(
        "fields", nargs="*", metavar="key=value", help="the same fields, without --layout"
    )
    args = parse_flags(parser, argv)
    args.layout = [*args.layout, *args.fields]
    return args


if __name__ == "__main__":
    run_cli(main)
