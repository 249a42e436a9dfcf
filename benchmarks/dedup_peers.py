"""Runs datatrove and text-dedup for benchmarks/dedup.py, which says how to install them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.usage import measure

THRESHOLD = 0.7
DATATROVE = """
import sys
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter,
    MinhashDedupSignature)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

class Words(WordTokenizer):
    def word_tokenize(self, text):
        return text.split()
    # They are abstract, and MinHash does not call them.
    sent_tokenize = span_tokenize = None

if __name__ == "__main__":
    source, work, tokenizer = sys.argv[1:]
    hashing = HashConfig(precision=64)
    config = MinhashConfig(
        n_grams=5, num_buckets=25, hashes_per_bucket=10, hash_config=hashing)
    sign = MinhashDedupSignature(f"{work}/signatures", config=config)
    if tokenizer == "white space":
        sign.word_tokenizer = Words()
    def stage(name, pipeline, tasks):
        # datatrove knows finished tasks by their logs.
        logs = f"{work}/logs/{name}"
        LocalPipelineExecutor(
            pipeline=pipeline, tasks=tasks, workers=2, logging_dir=logs).run()
    stage("sign", [JsonlReader(source), sign], 2)
    buckets = MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=config)
    stage("buckets", [buckets], 25)
    cluster = MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=config)
    stage("cluster", [cluster], 1)
    kept = JsonlWriter(f"{work}/kept", compression=None)
    stage("filter", [JsonlReader(source), MinhashDedupFilter(f"{work}/remove"), kept], 2)
"""


def datatrove(
    python: str, table: pa.Table, work: Path, tokenizer: str
) -> tuple[dict[str, float], set[str]]:
    """(figures, hashes of the kept contents) of datatrove's MinHash pipeline."""
    (work / "source").mkdir(parents=True)
    for half in (0, 1):
        rows = (
            table.select(["content_sha256", "text"])
            .take(np.arange(half, len(table), 2))
            .to_pylist()
        )
        lines = (
            json.dumps({"id": row["content_sha256"], "text": row["text"]}) + "\n" for row in rows
        )
        (work / "source" / f"{half}.jsonl").write_text("".join(lines))
    (work / "pipeline.py").write_text(DATATROVE)
    figures = measure(
        [python, str(work / "pipeline.py"), str(work / "source"), str(work), tokenizer]
    )
    kept = set()
    for file in (work / "kept").rglob("*.jsonl"):
        with file.open() as lines:
            kept |= {json.loads(line)["id"] for line in lines}
    return figures, kept


def textdedup(python: str, table: pa.Table, work: Path) -> tuple[dict[str, float], set[str]]:
    """(figures, hashes of the kept contents) of text-dedup's MinHash."""
    work.mkdir()
    pq.write_table(table.select(["content_sha256", "text"]), work / "corpus.parquet")
    options = {
        "path": "parquet",
        "data_files": work / "corpus.parquet",
        "split": "train",
        "column": "text",
        "output": work / "kept",
        "cache_dir": work / "cache",
        "ngram": 5,
        "min_length": 0,
        "num_perm": 256,
        "b": 25,
        "r": 10,
        "threshold": THRESHOLD,
        "num_proc": 2,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    figures = measure([python, "-m", "text_dedup.minhash", *words], cwd=work)
    kept: set[str] = set()
    for file in (work / "kept").glob("*.arrow"):
        kept |= set(pa.ipc.open_stream(file).read_all()["content_sha256"].to_pylist())
    return figures, kept
