"""A token set as the packer writes it, and ways to start processes.

megatron-core's own IndexedDatasetBuilder makes the shards.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

# 256 bytes, <|endoftext|>, <|pad|> and merges: small, and a multiple of 128, so nothing is padded.
VOCAB = 384
ROOT = Path(__file__).resolve().parents[2]


def write_tokens(
    folder: Path,
    train_documents: list[str],
    val_documents: list[str],
    vocab_size: int = VOCAB,
    shards: int = 2,
    trained_on: list[str] | None = None,
) -> None:
    """Write a token folder: tokenizer/, shards and manifest.json.

    trained_on: the documents that the tokenizer learns from, if they are others. Two folders with
    the same ones have the same tokenizer.
    """
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(trained_on or train_documents, trainer)
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": "<|endoftext|>",
                "pad_token": "<|pad|>",
            }
        )
    )
    entries = []
    for split, documents in (("train", train_documents), ("val", val_documents)):
        parts = shards if split == "train" else 1
        for number in range(parts):
            prefix = folder / f"{split}-{number:05d}"
            mine = documents[number::parts]
            builder = IndexedDatasetBuilder(str(prefix) + ".bin", dtype=np.uint16)
            tokens = 0
            for text in mine:
                ids = [*tokenizer.encode(text).ids, 0]
                builder.add_document(np.array(ids, dtype=np.uint16), [len(ids)])
                tokens += len(ids)
            builder.finalize(str(prefix) + ".idx")
            entries.append(
                {
                    "split": split,
                    "prefix": prefix.name,
                    "tokens": tokens,
                    "documents": len(mine),
                    "bin_bytes": prefix.with_suffix(".bin").stat().st_size,
                    "bin_sha256": _sha256(prefix.with_suffix(".bin")),
                    "idx_sha256": _sha256(prefix.with_suffix(".idx")),
                }
            )
    manifest = {
        "version": 1,
        "tokenizer": {
            "path": "tokenizer",
            "sha256": _sha256(folder / "tokenizer" / "tokenizer.json"),
            "vocab_size": tokenizer.get_vocab_size(),
            "eod": 0,
            "pad": 1,
            "special_tokens": {"<|endoftext|>": 0, "<|pad|>": 1},
        },
        "dtype": "uint16",
        "shards": entries,
        "tables": {},
        "config_hash": "test",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def documents(count: int, seed: int = 0) -> list[str]:
    """Small functions with names and numbers that differ.

    They have enough structure to be learnt in a few steps.
    """
    rng = np.random.default_rng(seed)
    verbs, nouns = ["add", "take", "scale", "find", "join"], ["item", "row", "node", "word", "edge"]
    out = []
    for _ in range(count):
        verb, noun = (words[rng.integers(5)] for words in (verbs, nouns))
        lines = [
            f"    {noun}_{i} = {verb}({noun}, {rng.integers(100)})"
            for i in range(rng.integers(3, 12))
        ]
        out.append(f"def {verb}_{noun}({noun}):\n" + "\n".join(lines) + f"\n    return {noun}\n")
    return out


def launcher(processes: int) -> list[str]:
    """The command up to the program. One process starts as itself, which is faster."""
    if processes == 1:
        return [sys.executable]
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]


def launch(processes: int, *args: str, timeout: float = 240, gpu: bool = False) -> str:
    """Run a program on `processes` processes from the repository, and return what it printed.

    It raises with that output where the program fails or hangs.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(
        [*launcher(processes), *args],
        cwd=ROOT,
        env=environment(gpu),
        start_new_session=True,
        **pipes,
    )
    try:
        said, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, f"exit {process.returncode}\n{said[-8000:]}"
    return said


def environment(gpu: bool = False) -> dict[str, str]:
    """The environment of a program under test.

    Without `gpu` it sees no CUDA device, so that golden losses are the same on all machines.
    """
    kept = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept if gpu else kept | {"CUDA_VISIBLE_DEVICES": ""}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
