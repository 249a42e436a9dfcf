"""archives, folders -> files, repos, contents: reads source code; exact dedup happens here.

    spark-submit spark_jobs/ingest.py --config conf/curate/local.yaml input=PATH output=DIR

Executors identify every unit: its hash, name, licence and limits. The driver drops the units that
`repos` already has. The others are read in batches of repositories, and each batch is committed in
the order contents, files, repos. A row in `repos` says that all rows of that repository are
written. So a killed run repeats at most one batch, and anti-joins skip the rows that the batch had
written. The input must not change while a run reads it.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from dataclasses import asdict, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from tqdm import tqdm

from conf.errors import SeedbedError, run_cli
from conf.schema.curate import IngestSettings
from spark_jobs.runtime import python_map, session
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, Summary, main
from spark_jobs.runtime.joins import having
from spark_jobs.runtime.store import TABLES, shard_of
from spark_jobs.sources import reading
from spark_jobs.sources import units as sources
from spark_jobs.sources.units import Offer, Unit

NAME = "ingest"


def run(ctx: Context) -> Summary | None:
    """Ingest the repositories that `repos` lacks; None where there are none."""
    root, units, state = sources.find_units(ctx.cfg.input)
    lineage = ctx.lineage(NAME, _params(ctx.cfg.ingest), reads=())
    _refuse_other_params(ctx, lineage["params"])
    # The last commit of a run says what the input looked like. While it does, no file is read.
    complete = lineage | {"complete": {"input": state}}
    last = ctx.store.last_commit("repos")
    if last is not None and last.lineage == complete and ctx.store.holds_rows("contents"):
        return None
    ctx.start_engine()
    offers = _new_offers(_identified(ctx, root, units), ctx)
    if not offers:
        _require_code(ctx)
        return None
    totals: Counter[str] = Counter()
    with tqdm(total=len(offers), desc=NAME, unit=" repos", mininterval=1, leave=False) as bar:
        for start in range(0, len(offers), ctx.cfg.ingest.batch_repos):
            batch = offers[start : start + ctx.cfg.ingest.batch_repos]
            record = complete if batch[-1] is offers[-1] else lineage
            totals += _ingest_batch(ctx, root, batch, record)
            bar.update(len(batch))
    _require_code(ctx)
    dropped = {
        reason.removeprefix("drop:"): count
        for reason, count in totals.items()
        if reason.startswith("drop:")
    }
    return Summary(
        NAME,
        rows_in=totals["rows"],
        rows_out=totals["contents"],
        dropped={
            **dropped,
            "duplicate_exact": totals["rows"] - totals["contents"] - sum(dropped.values()),
        },
        bytes_in=sum(offer.size for offer in offers),
        tables={table: ctx.store.last_commit(table).version for table in JOB.writes},  # type: ignore[union-attr]
        notes={"repos": len(offers), "refused": sum(offer.refused is not None for offer in offers)},
    )


def read_rows(ctx: Context, root: str, offers: list[Offer]) -> DataFrame:
    """One row per member of `offers`: the columns of `files`, and the `text` of kept ones."""
    limits = ctx.cfg.ingest
    taken = [offer for offer in offers if offer.refused is None]

    def read(batches: reading.Batches) -> reading.Batches:
        return reading.rows(root, batches, limits)

    # The largest come first, so that a batch does not wait for one of them at its end.
    largest_first = sorted(taken, key=lambda offer: (-offer.size, offer.name))
    return python_map.map_in_arrow(_spread(ctx, largest_first, reading.OFFER), read, reading.ROW)


def _identified(ctx: Context, root: str, units: list[Unit]) -> list[Offer]:
    limits = ctx.cfg.ingest

    def identify(batches: reading.Batches) -> reading.Batches:
        return reading.offers(root, batches, limits)

    spread = _spread(ctx, units, reading.UNIT)
    ctx.describe(f"{NAME}: identify {len(units)} repositories")
    rows = python_map.map_in_arrow(spread, identify, reading.OFFER).collect()
    return sorted(
        (Offer(**row.asDict()) for row in rows), key=lambda offer: (offer.source, offer.name)
    )


def _new_offers(offers: list[Offer], ctx: Context) -> list[Offer]:
    """The offers that `repos` lacks.

    Of several offers with one (repo, revision) but different bytes, the one in the table stays,
    else the first by name. The others are refused. A refused archive is recorded under
    `revision@digest`, so that a repaired one can still be ingested.
    """
    rows = (
        ctx.store.read_or_empty("repos")
        .select("repo", "revision", "origin", "origin_sha256")
        .collect()
    )
    done = {(row["repo"], row["origin_sha256"]) for row in rows}
    holder = {(row["repo"], row["revision"]): row["origin"] for row in rows}
    fresh = []
    for offer in offers:
        if (offer.repo, offer.origin_sha256) in done:
            continue
        done.add((offer.repo, offer.origin_sha256))
        key = (offer.repo, offer.revision)
        if offer.refused is None and key in holder:
            refused = (
                f"refused: {offer.repo} {offer.revision} is already in, "
                f"from {holder[key]} with other bytes"
            )
            offer = replace(offer, refused=refused)
        if offer.refused is None:
            holder[key] = offer.name
        else:
            offer = replace(offer, revision=f"{offer.revision}@{offer.origin_sha256[:12]}")
        fresh.append(offer)
    return fresh


def _ingest_batch(ctx: Context, root: str, batch: list[Offer], lineage: dict) -> Counter[str]:
    """Commit one batch of repositories; returns the counts rows, contents and drop:<reason>."""
    identity = "".join(
        f"{offer.repo}\0{offer.revision}\0{offer.origin_sha256}\0" for offer in batch
    )
    step = hashlib.sha256(identity.encode()).hexdigest()[:16]
    with ctx.materialize(NAME) as materialize:
        rows = materialize(
            read_rows(ctx, root, batch), f"{batch[0].name} and {len(batch) - 1} more"
        )
        contents = ctx.store.append("contents", _contents(ctx, rows), lineage, step).rows_added
        of_these = F.col("repo").isin(sorted({offer.repo for offer in batch}))
        have = ctx.store.read_or_empty("files").filter(of_these).select("doc_id")
        files = rows.drop("text").join(have, "doc_id", "left_anti")
        ctx.store.append("files", files.coalesce(ctx.cfg.files_per_shard), lineage, step)
        counts = rows.groupBy("repo", "revision", "drop_reason").count().collect()
    members: Counter[tuple[str, str]] = Counter()
    totals = Counter({"contents": contents})
    for row in counts:
        members[row["repo"], row["revision"]] += row["count"]
        totals["rows"] += row["count"]
        if row["drop_reason"]:
            totals[f"drop:{row['drop_reason']}"] += row["count"]
    records = [_repo_record(offer, members[offer.repo, offer.revision]) for offer in batch]
    ctx.store.append(
        "repos",
        ctx.spark.createDataFrame(records, TABLES["repos"].schema).coalesce(1),
        lineage,
        step,
    )
    return totals


def _contents(ctx: Context, rows: DataFrame) -> DataFrame:
    """The distinct contents that the table lacks.

    Of several paths of a content, the one with the smallest doc_id gives the language.
    """
    kept = rows.filter("content_sha256 is not null")
    have = ctx.store.read_or_empty("contents").select("content_sha256")
    first = (
        kept.groupBy("content_sha256")
        .agg(F.min("doc_id").alias("doc_id"))
        .join(have, "content_sha256", "left_anti")
    )
    shard = shard_of(F.col("content_sha256"), ctx.cfg.shards)
    pieces = ctx.cfg.files_per_shard
    tasks = session.engine().sorting_tasks(ctx.cfg.shards * pieces)
    piece = F.conv(F.substring("content_sha256", 5, 4), 16, 10).cast("int") % pieces
    return (
        having(kept, first, ["doc_id"])
        .select("content_sha256", "text", "bytes", "language", shard.alias("shard"))
        .repartition(tasks, "shard", piece)
    )


def _repo_record(offer: Offer, members: int) -> dict:
    record = dict.fromkeys(TABLES["repos"].columns)
    return {
        **record,
        "repo": offer.repo,
        "revision": offer.revision,
        "source": offer.source,
        "license": offer.license,
        "origin": offer.name,
        "origin_sha256": offer.origin_sha256,
        "files": members,
        "drop_reason": offer.refused,
    }


def _params(settings: IngestSettings) -> dict:
    """The settings that the rows depend on."""
    limits = asdict(settings)
    del limits["batch_repos"]
    return limits


def _refuse_other_params(ctx: Context, params: dict) -> None:
    last = ctx.store.last_commit("repos")
    if last is not None and last.lineage.get("params") != params:
        raise SeedbedError(
            f"table repos was written with {last.lineage.get('params')}, "
            f"the config asks for {params}: rows read under two sets of limits must not mix",
            "restore the old ingest settings or choose another output=",
        )


def _require_code(ctx: Context) -> None:
    if ctx.store.read("contents").head(1):
        return
    looked = (
        ctx.store.read("repos")
        .agg(F.sum("files"), F.count("drop_reason"), F.min("drop_reason"))
        .first()
    )
    files, refused, example = looked
    raise SeedbedError(
        f"no code in {ctx.cfg.input}: {files:,} files looked at, "
        f"none is text in a known language; {refused:,} archives refused"
        + (f" ({example})" if example else ""),
        "give a folder that holds source files or archives of them; "
        "tables files and repos tell why each was dropped",
    )


def _spread(ctx: Context, items: list, ddl: str) -> DataFrame:
    """`items` (dataclasses) as rows, spread over as many partitions."""
    numbered = [(*asdict(item).values(), index) for index, item in enumerate(items)]
    frame = ctx.spark.createDataFrame(numbered, f"{ddl}, task int")
    return frame.repartition(max(len(items), 1), "task").drop("task")


JOB = CustomJob(NAME, writes=("contents", "files", "repos"), run=run)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv), sys.argv[1:])
