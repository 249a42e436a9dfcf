"""The packed corpus: documents, tokens, fill-in-the-middle share and how long documents are."""

from __future__ import annotations

import numpy as np

from report import svg
from report.blocks import Bar, Bars, Block, Chart, Fact, Figures, Section, SideBySide
from report.run import Missing, RunFolder
from seedbed.tables.reader import DeltaReader

SHOWN = 10
FIM_MIDDLE = "<[fim-middle]>"
# So many tokens give the share of fill-in-the-middle to a percent.
COUNTED_TOKENS = 8_000_000


def section(run: RunFolder) -> Section:
    db = run.tables("documents", "token_index")
    splits = {
        row["split"]: row
        for row in db.sql(
            "SELECT split, count(*) AS documents, sum(tokens)::BIGINT AS tokens "
            "FROM token_index GROUP BY 1 ORDER BY 1"
        )
    }
    if not splits:
        raise Missing(
            "a row in table token_index",
            "python -m spark_jobs run ... (the table is there, with no document in it)",
        )
    size = db.one(
        "SELECT sum(d.bytes)::BIGINT AS bytes "
        "FROM token_index t JOIN documents d USING (document_id)"
    )["bytes"]
    tokens = sum(row["tokens"] for row in splits.values())
    items = [
        Fact(f"{row['tokens'] / 1e6:.2f} M", f"{split} tokens in {row['documents']:,} documents")
        for split, row in splits.items()
    ]
    items.append(Fact(f"{size / tokens:.2f}", "bytes per token"))
    items += _from_manifest(run)
    blocks: list[Block] = [Figures(items), SideBySide([_lengths(db), _languages(db)])]
    lead = f"{tokens / 1e6:.1f} million tokens, train and validation disjoint by repository."
    return Section("tokens", "Tokens", lead, blocks, "documents, token_index, tokens/manifest.json")


def _from_manifest(run: RunFolder) -> list[Fact]:
    """The vocabulary, and the share of documents in fill-in-the-middle form.

    The share is counted in the first training shard.
    """
    try:
        manifest = run.document("tokens/manifest.json")
    except Missing:
        return []
    facts = [Fact(f"{manifest['tokenizer']['vocab_size']:,}", "vocabulary")]
    ids = manifest["tokenizer"]["special_tokens"]
    first = next((shard for shard in manifest["shards"] if shard["split"] == "train"), None)
    dtype = np.dtype(manifest["dtype"])
    path = f"tokens/{first['prefix']}.bin" if first else ""
    data = run.head(path, COUNTED_TOKENS * dtype.itemsize) if first else None
    if data is not None and FIM_MIDDLE in ids:
        tokens = np.frombuffer(data, dtype)
        documents = int((tokens == manifest["tokenizer"]["eod"]).sum())
        middles = int((tokens == ids[FIM_MIDDLE]).sum())
        facts.append(
            Fact(
                f"{middles / max(documents, 1):.0%}",
                f"of {documents:,} counted documents fill in the middle",
            )
        )
    return facts


def _lengths(db: DeltaReader) -> Chart:
    rows = db.sql(
        "SELECT floor(log2(greatest(tokens, 1)))::INT AS power, count(*) AS n "
        "FROM token_index GROUP BY 1"
    )
    counts = {row["power"]: row["n"] for row in rows}
    powers = range(min(counts), max(counts) + 1)
    values = [(str(2**p) if p < 10 else f"{2 ** (p - 10)}k", counts.get(p, 0)) for p in powers]
    caption = "Each column holds lengths from its label up to the next."
    return Chart(
        "Document lengths",
        svg.columns("Document lengths", values, "tokens", "documents"),
        caption=caption,
    )


def _languages(db: DeltaReader) -> Bars:
    rows = db.sql(
        "SELECT coalesce(d.language, 'unknown') AS language, "
        "sum(t.tokens)::BIGINT AS tokens, count(*) AS n "
        "FROM token_index t JOIN documents d USING (document_id) GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    total, widest = sum(row["tokens"] for row in rows), rows[0]["tokens"]
    bars = [
        Bar(
            row["language"],
            [(row["tokens"] / widest, "c1", f"{row['tokens']:,} tokens")],
            f"{row['tokens'] / total:.1%}",
            f"{row['n']:,} documents",
        )
        for row in rows[:SHOWN]
    ]
    return Bars("Tokens by language", bars)
