"""documents, contents -> DIR/tokens/tokenizer: a byte-level BPE for the corpus.

    spark-submit spark_jobs/train_tokenizer.py --config conf/curate/local.yaml output=DIR

The tokenizer is trained on a sample of the training documents (seedbed/kernels/tokens/bpe.py), or
copied from the folder tokens.tokenizer. lineage.json beside it is written last; it records the
inputs of the tokenizer.

The sample holds the training documents with the smallest document_id, which is a hash, up to
tokens.train_bytes. Validation documents are never in it.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from pyspark.sql import functions as F
from tokenizers import Tokenizer

from conf.errors import SeedbedError, run_cli
from conf.schema.curate import TokenSettings
from seedbed import storage
from seedbed.files import TOKENIZER_FILES
from seedbed.kernels.tokens import bpe
from seedbed.kernels.tokens.packing import SPECIAL_TOKENS
from spark_jobs.documents.special_tokens import FOLDER, names_of
from spark_jobs.documents.text import with_text
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, Summary, main


def run(ctx: Context) -> Summary | None:
    """Write the tokenizer; None where it exists and nothing that it depends on has changed."""
    setting = ctx.cfg.tokens
    if setting.tokenizer:
        files = given_files(setting)
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
        lineage = ctx.lineage("train_tokenizer", {"given": digests}, ())
        if _is_current(ctx, lineage):
            return None
        documents = size = 0
    else:
        params = {
            "vocab_size": setting.vocab_size,
            "train_bytes": setting.train_bytes,
            "words": bpe.WORDS,
        }
        lineage = ctx.lineage("train_tokenizer", params, ("documents",))
        if _is_current(ctx, lineage):
            return None
        if setting.vocab_size < bpe.SMALLEST_VOCABULARY:
            raise SeedbedError(
                f"tokens.vocab_size={setting.vocab_size} is below 256 bytes + "
                f"{len(SPECIAL_TOKENS)} special tokens = {bpe.SMALLEST_VOCABULARY}",
                "set tokens.vocab_size to about 4,096 for a demo, 100,000 and up for a real model",
            )
        ctx.start_engine()
        last, documents, size = sample_bound(ctx)
        files = {
            "tokenizer.json": bpe.train(_texts(ctx, last), setting.vocab_size),
            **bpe.companion_files(),
        }
    # What an earlier tokenizer had and this one has not would be taken for its own.
    for name in ("lineage.json", *(one for one in TOKENIZER_FILES if one not in files)):
        storage.delete(ctx.cfg.output, f"{FOLDER}/{name}")
    for name, text in files.items():
        storage.write_text(ctx.cfg.output, f"{FOLDER}/{name}", text)
    storage.write_text(
        ctx.cfg.output, f"{FOLDER}/lineage.json", json.dumps(lineage, sort_keys=True)
    )
    vocabulary = Tokenizer.from_str(files["tokenizer.json"]).get_vocab_size()
    return Summary(
        "train_tokenizer", documents, vocabulary, bytes_in=size, notes={"vocab_size": vocabulary}
    )


def sample_bound(ctx: Context) -> tuple[str, int, int]:
    """(largest document_id, number of documents, bytes) of the sample.

    It takes training documents in the order of their ids, which are hashes.
    """
    wanted = ctx.cfg.tokens.train_bytes
    train = ctx.inputs["documents"].filter(F.col("split") == "train").select("document_id", "bytes")
    total = train.agg(F.sum("bytes")).first()[0]
    if not total:
        raise SeedbedError(
            "table documents holds no training document, so no tokenizer can be trained",
            "loosen select.* (python -m spark_jobs funnel output=DIR shows the drops) "
            "or give more input",
        )
    # Ids are uniform, so twice the share of the corpus surely holds the sample. The rest is not
    # collected on the driver.
    share = min(2 * wanted / total, 1.0)
    near = (
        train if share == 1 else train.filter(F.col("document_id") < f"{int(share * 2**64):016x}")
    )
    rows = near.orderBy("document_id").collect() or train.orderBy("document_id").limit(1).collect()
    sizes = list(accumulate(row["bytes"] for row in rows))
    taken = max(bisect_right(sizes, wanted), 1)
    return rows[taken - 1]["document_id"], taken, sizes[taken - 1]


def given_files(setting: TokenSettings) -> dict[str, str]:
    """The tokenizer files of the folder tokens.tokenizer by name, its chat template among them.

    Raises SeedbedError where a file is missing, and for special tokens that packing cannot name.
    """
    folder = setting.tokenizer
    texts = {name: storage.read_text(folder, name) for name in TOKENIZER_FILES}
    files = {name: text for name, text in texts.items() if text is not None}
    missing = [name for name in TOKENIZER_FILES[:2] if name not in files]
    if missing:
        raise SeedbedError(
            f"tokens.tokenizer={folder} lacks {', '.join(missing)}",
            "give a folder that transformers' save_pretrained wrote, "
            "or leave tokens.tokenizer empty to train one",
        )
    names_of(files["tokenizer.json"], files["tokenizer_config.json"], setting)
    return files


def _texts(ctx: Context, last: str) -> Iterator[str]:
    sample = ctx.inputs["documents"].filter(
        (F.col("split") == "train") & (F.col("document_id") <= last)
    )
    for row in (
        with_text(sample, ctx.inputs["contents"])
        .select("text")
        .toLocalIterator(prefetchPartitions=True)
    ):
        yield row["text"]


def _is_current(ctx: Context, lineage: dict[str, Any]) -> bool:
    written = storage.read_text(ctx.cfg.output, f"{FOLDER}/lineage.json")
    return written is not None and json.loads(written) == lineage


JOB = CustomJob("train_tokenizer", (), run, ("documents", "contents"))

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
