"""DIR/hf -> DIR/pretrain/holdout.json: bits per byte on the validation documents of a run.

    python -m megatron_train.bits_per_byte --config conf/pretrain/demo.yaml output=DIR \\
        [--holdout OTHER_DIR]

Bits per byte can be compared between models with different tokenizers. It reads the tables
documents and contents of OTHER_DIR (default: DIR): the `val` split, which is decontaminated and
free of near duplicates, as all documents are. Bits per byte = sum of -log2 p(token) / UTF-8 bytes.
The tokens of a byte-level tokenizer spell the text exactly, so the sum is what the text costs.
holdout=OTHER_DIR is the same as --holdout OTHER_DIR.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.dataset as arrow
import torch
import torch.nn.functional as F
from deltalake import DeltaTable

from conf.errors import SeedbedError, run_cli
from conf.flags import parse_flags
from conf.loader import cli_parser, load, to_yaml
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint.hf_side_files import document_end
from seedbed.files import write_whole
from seedbed.kernels.tokens.plain_text import plain_tokenizer_of

# Bytes of whole documents, in order of their id, that are read: enough for three digits.
MAX_BYTES = 400_000
BATCH = 16


def main(argv: list[str]) -> int:
    parser = cli_parser("megatron_train.bits_per_byte", __doc__)
    parser.add_argument(
        "--holdout", metavar="DIR", help="the run whose validation documents are read"
    )
    args = parse_flags(parser, argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    run = Path(cfg.output)
    if not (run / "hf" / "config.json").is_file():
        raise SeedbedError(
            f"{run / 'hf'} holds no model", "pretrain first: DIR/hf is written at the end"
        )
    texts = validation_texts(Path(args.holdout or cfg.output))
    result = measure(run / "hf", texts) | {
        "holdout": str(args.holdout or cfg.output),
        "documents": len(texts),
    }
    write_whole(run / "pretrain" / "holdout.json", json.dumps(result, indent=1) + "\n")
    print(
        f"{result['bits_per_byte']:.4f} bits per byte over {result['bytes']:,} bytes of "
        f"{len(texts)} documents"
    )
    return 0


def validation_texts(run: Path) -> list[str]:
    """Texts of the val documents in order of document_id, up to MAX_BYTES.

    Raises:
        SeedbedError: where there is none.
    """
    tables = {name: run / "tables" / name for name in ("documents", "contents")}
    for name, path in tables.items():
        if not path.is_dir():
            raise SeedbedError(
                f"{path} does not exist",
                f"curate first: python -m spark_jobs run --config FILE output=DIR until={name}",
            )
    wanted = arrow.field("split") == "val"
    found = (
        DeltaTable(str(tables["documents"]))
        .to_pyarrow_dataset()
        .to_table(filter=wanted)
        .sort_by("document_id")
    )
    rows, total = [], 0
    for row in found.select(["parts", "bytes"]).to_pylist():
        if total and total + row["bytes"] > MAX_BYTES:
            break
        rows.append([part["content_sha256"] for part in row["parts"]])
        total += row["bytes"]
    if not rows:
        raise SeedbedError(
            f"{tables['documents']} has no val documents", "set select.val_fraction above 0"
        )
    keys = arrow.field("content_sha256").isin([key for row in rows for key in row])
    texts = (
        DeltaTable(str(tables["contents"]))
        .to_pyarrow_dataset()
        .to_table(["content_sha256", "text"], filter=keys)
    )
    text_of = dict(zip(texts["content_sha256"].to_pylist(), texts["text"].to_pylist(), strict=True))
    return ["".join(text_of[key] for key in row) for row in rows]


@torch.no_grad()
def measure(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Bits per byte of `texts` by the model in `folder`, each text after the end-of-document token.

    A text longer than the context is cut into windows that follow each other. A window's first
    token is predicted from the last token of the window before alone.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = plain_tokenizer_of(folder)
    start, width = document_end(folder), model.config.max_position_embeddings
    if start is None:
        raise SeedbedError(
            f"{folder} names no end-of-document token",
            "export the model again: python -m megatron_train.export_hf",
        )
    windows = []
    for text in texts:
        ids = [start, *tokenizer.encode(text, add_special_tokens=False).ids]
        windows += [ids[i : i + width + 1] for i in range(0, len(ids) - 1, width)]
    windows.sort(key=len)
    nats, tokens = 0.0, 0
    for i in range(0, len(windows), BATCH):
        batch = windows[i : i + BATCH]
        longest = max(map(len, batch))
        ids = torch.tensor([window + [start] * (longest - len(window)) for window in batch])
        targets = torch.tensor([window[1:] + [-100] * (longest - len(window)) for window in batch])
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        nats += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        tokens += sum(len(window) - 1 for window in batch)
    size = sum(len(text.encode()) for text in texts)
    return {"bits_per_byte": round(nats / math.log(2) / size, 5), "bytes": size, "tokens": tokens}


if __name__ == "__main__":
    run_cli(main)
