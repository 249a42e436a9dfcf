"""contents, an oracle -> labels: a quality rating per content that the oracle was asked about.

    spark-submit spark_jobs/label_quality.py --config conf/curate/local.yaml output=DIR

The oracle is one of three kinds, by labels.source:

- file: JSON lines at labels.path with the content's SHA-256, so that the file holds no code. Lines
  without a content in the table are skipped.
- endpoint: an OpenAI-compatible server at labels.endpoint.url, asked for labels.model.
- vllm: a model folder labels.model, served in the executors.

The last two are asked with a rubric prompt about labels.per_language contents of each language,
those with the smallest hashes. So a larger sample contains the smaller one. An answer without a
rating is a row too, with its text, the reason in `failure` and no score.

All that a label depends on is a parameter of the oracle's rows: the file's hash, or the prompt,
model, sampling and engine. Rows of different parameters never mix under one labels.oracle. A new
oracle is first asked about the gold set, contents that the label file also rates. Its error there
is recorded. If it is above labels.max_gold_error, the oracle is asked about nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from tqdm import tqdm

from conf.errors import SeedbedError, run_cli
from conf.loader import config_hash
from seedbed.inference import endpoint, fingerprint, in_process, prompt
from seedbed.inference.journal import Journal
from seedbed.kernels.models.agreement import agreement
from spark_jobs.quality import label_file, rating, vllm_oracle
from spark_jobs.runtime import gpu_stage
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, ShardJob, Summary, main
from spark_jobs.runtime.store import TABLES, shard_of

# Columns of a label file's row that are no numbers.
TEXT = ("content_sha256", "zero_reason")


def part(ctx: Context) -> dict[str, str]:
    """The part of `labels` that this run writes: the rows of one oracle."""
    return {"oracle": ctx.cfg.labels.oracle}


def run(ctx: Context) -> Summary | None:
    """Add the missing labels from the file, or ask for them; None where none are missing."""
    return FROM_FILE.run(ctx) if ctx.cfg.labels.source == "file" else ask(ctx)


# Labels from a file.


def file_parameters(ctx: Context) -> dict[str, Any]:
    """All that a label from a file depends on besides the content."""
    return {
        "oracle": ctx.cfg.labels.oracle,
        "labels_sha256": label_file.digest(ctx.cfg.labels.path),
    }


def file_due(ctx: Context) -> DataFrame:
    """Contents that have a label, with the label's columns and `oracle`."""
    labels = label_file.read(ctx.cfg.labels.path)
    types = [(name, pa.string() if name in TEXT else pa.float64()) for name in label_file.COLUMNS]
    frame = ctx.spark.createDataFrame(pa.Table.from_pylist(list(labels), pa.schema(types)))
    contents = ctx.inputs["contents"].select("content_sha256", "bytes", "shard")
    return contents.join(F.broadcast(frame), "content_sha256").withColumn(
        "oracle", F.lit(ctx.cfg.labels.oracle)
    )


def file_labels(due_rows: DataFrame, ctx: Context) -> DataFrame:
    """Rows of `labels` for the due rows of one shard."""
    return due_rows.withColumns({"answer": F.lit(None), "failure": F.lit(None)}).select(
        *TABLES["labels"].columns
    )


# Labels that an oracle is asked for.


def parameters(ctx: Context) -> dict[str, Any]:
    """All that an answer depends on besides the content: the oracle's identity."""
    labels = ctx.cfg.labels
    names = ("oracle", "source", "model", "max_chars", "max_answer_tokens", "temperature", "seed")
    facts = {name: getattr(labels, name) for name in names}
    if labels.source == "vllm":
        facts |= {
            "engine": in_process.version(),
            "weights": fingerprint.identity(labels.model),
            "dtype": labels.dtype,
        }
    else:
        facts["structured"] = labels.endpoint.structured
    return {**facts, "prompt": prompt.load(labels.prompt).version}


def ask(ctx: Context) -> Summary | None:
    """Ask about the missing contents, the gold set first; None where none are missing.

    Every labels.commit_every answers are one commit.
    """
    ctx.start_engine()
    labels, params = ctx.cfg.labels, parameters(ctx)
    lineage = ctx.lineage("label_quality", params, ("contents",)) | {"part": part(ctx)}
    ctx.refuse_other_params("labels", lineage)
    gold = gold_set(ctx)
    missing = _missing(ctx, gold)
    if not missing:
        return None
    meter = endpoint.Meter(labels.endpoint)
    written = {"labels": ctx.inputs.version("labels")}
    with tqdm(
        total=len(missing), desc="label_quality", unit=" rows", mininterval=1, leave=False
    ) as bar:

        def ask_about(keys: list[str]) -> None:
            for i in range(0, len(keys), labels.commit_every):
                batch = keys[i : i + labels.commit_every]
                answers = _ask_batch(ctx, batch, config_hash(params), meter, bar)
                rows = ctx.spark.createDataFrame(label_rows(answers, labels.oracle, ctx.cfg.shards))
                commit = ctx.store.append(
                    "labels", rows, lineage, step=f"{labels.oracle}/{batch[0]}"
                )
                written["labels"] = commit.version
                if meter.cost:
                    bar.set_postfix_str(f"cost {meter.cost:.2f}")

        ask_about([key for key in missing if key in gold])
        found = check_gold(ctx, gold, params) if gold else {}
        ask_about([key for key in missing if key not in gold])
    mine = ctx.store.read("labels").filter(F.col("oracle") == labels.oracle)
    failures = mine.filter(F.col("failure").isNotNull()).count()
    notes = {
        "tokens_in": meter.tokens_in,
        "tokens_out": meter.tokens_out,
        "cost": round(meter.cost, 4),
    }
    notes |= {"failures": failures, "gold": found}
    return Summary("label_quality", len(missing), len(missing), tables=written, notes=notes)


def sample(ctx: Context) -> DataFrame:
    """(content_sha256) of the sample: labels.per_language contents of each language.

    They are those with the smallest sha256(seed, content_sha256).
    """
    draw = F.sha2(F.concat(F.lit(f"{ctx.cfg.labels.seed}:"), "content_sha256"), 256)
    order = Window.partitionBy(F.coalesce("language", F.lit(""))).orderBy(draw, "content_sha256")
    ranked = ctx.inputs["contents"].select(
        "content_sha256", F.row_number().over(order).alias("place")
    )
    return ranked.filter(F.col("place") <= ctx.cfg.labels.per_language).select("content_sha256")


def gold_set(ctx: Context) -> dict[str, float]:
    """Content hash -> score in the label file, for the gold set.

    The gold set are the labels.gold contents with the smallest hashes that the label file rates.
    """
    if not ctx.cfg.labels.gold:
        return {}
    known = {row["content_sha256"]: row["score"] for row in label_file.read(ctx.cfg.labels.path)}
    frame = ctx.spark.createDataFrame([(key,) for key in known], "content_sha256 string")
    here = (
        ctx.inputs["contents"].join(F.broadcast(frame), "content_sha256").select("content_sha256")
    )
    keys = sorted(
        row[0] for row in here.orderBy("content_sha256").limit(ctx.cfg.labels.gold).collect()
    )
    return {key: known[key] for key in keys}


def check_gold(ctx: Context, gold: dict[str, float], params: dict[str, Any]) -> dict[str, Any]:
    """Agreement with the label file on the gold set, for each oracle that was asked about it.

    Raises SeedbedError where this oracle's error is above labels.max_gold_error, or where it rated
    less than half of the gold set.
    """
    rows = ctx.store.read("labels").filter(
        F.col("content_sha256").isin(list(gold)) & F.col("score").isNotNull()
    )
    by_oracle: dict[str, list[tuple[float, float]]] = {}
    for row in rows.select("oracle", "content_sha256", "score").orderBy("content_sha256").collect():
        by_oracle.setdefault(row["oracle"], []).append((gold[row["content_sha256"]], row["score"]))
    found = {
        name: agreement(*(np.array(side) for side in zip(*pairs, strict=True)))
        for name, pairs in by_oracle.items()
    }
    mine, limit = (
        found.get(ctx.cfg.labels.oracle, {"files": 0, "mae": 10.0}),
        ctx.cfg.labels.max_gold_error,
    )
    if mine["files"] < len(gold) / 2 or mine["mae"] > limit:
        raise SeedbedError(
            f"oracle {ctx.cfg.labels.oracle} ({params}) rated {mine['files']} of {len(gold)} gold "
            f"files, off by {mine['mae']:.2f} of 10 on the mean from {ctx.cfg.labels.path}; "
            f"labels.max_gold_error is {limit:g}",
            "read its answers in table labels; take a better model or prompt under another "
            "labels.oracle, or raise the limit",
        )
    return found


def label_rows(answers: list[endpoint.Answer], oracle: str, shards: int) -> pa.Table:
    """Rows of `labels`, in order of hash: a rating, or the reason why there is none."""
    rows = []
    for answer in sorted(answers, key=lambda a: a.content_sha256):
        rated = answer.failure or rating.parse(answer.text)
        row: dict[str, Any] = {
            "content_sha256": answer.content_sha256,
            "oracle": oracle,
            "answer": answer.text,
        }
        row["shard"] = int(answer.content_sha256[:4], 16) * shards >> 16
        if isinstance(rated, str):
            row["failure"] = rated
        else:
            row |= {"score": rated.score, "zero_reason": rated.zero_reason}
            row |= dict(zip(label_file.ASPECTS, rated.aspects, strict=True))
        rows.append(row)
    text = ("content_sha256", "oracle", "zero_reason", "answer", "failure")
    kinds = {
        name: pa.string() if name in text else pa.float64() for name in TABLES["labels"].columns
    } | {"shard": pa.int32()}
    return pa.Table.from_pylist(rows, pa.schema(list(kinds.items())))


def _missing(ctx: Context, gold: dict[str, float]) -> list[str]:
    """Content hashes to ask about, in order: gold set and sample without the oracle's rows."""
    wanted = sample(ctx)
    if gold:
        wanted = wanted.union(
            ctx.spark.createDataFrame([(key,) for key in gold], "content_sha256 string")
        ).distinct()
    have = (
        ctx.store.read_or_empty("labels")
        .filter(F.col("oracle") == ctx.cfg.labels.oracle)
        .select("content_sha256")
    )
    return sorted(row[0] for row in wanted.join(have, "content_sha256", "left_anti").collect())


def _ask_batch(
    ctx: Context, keys: list[str], params_hash: str, meter: endpoint.Meter, bar: Any
) -> list[endpoint.Answer]:
    labels = ctx.cfg.labels
    text = prompt.load(labels.prompt)
    rows = ctx.inputs["contents"].filter(F.col("content_sha256").isin(keys))
    rows = rows.filter(F.col("shard") == shard_of(F.col("content_sha256"), ctx.cfg.shards))
    prompts = [
        (
            row["content_sha256"],
            text.text(row["text"], row["language"], row["content_sha256"], labels.max_chars),
        )
        for row in rows.select("content_sha256", "text", "language")
        .orderBy("content_sha256")
        .toLocalIterator()
    ]
    if labels.source == "vllm":
        frame = ctx.spark.createDataFrame(prompts, "content_sha256 string, prompt string")
        asked = gpu_stage.map_in_arrow(
            frame, vllm_oracle.answering(labels), vllm_oracle.ANSWERS, ctx.cfg.spark
        ).collect()
        answers = [endpoint.Answer(**row.asDict()) for row in asked]
        for answer in answers:
            meter.add(answer.tokens_in, answer.tokens_out)
        bar.update(len(answers))
        return answers
    with Journal(_journal_path(ctx), params_hash) as journal:
        body: dict[str, Any] = {
            "model": labels.model,
            "temperature": labels.temperature,
            "seed": labels.seed,
            "max_tokens": labels.max_answer_tokens,
        }
        if labels.endpoint.structured:
            body["extra_body"] = {"structured_outputs": {"regex": rating.ANSWER}}

        def keep(answer: endpoint.Answer) -> None:
            journal.add(**answer.__dict__)
            bar.update()

        bar.update(sum(key in journal.answers for key, _ in prompts))
        endpoint.ask(
            [p for p in prompts if p[0] not in journal.answers], body, labels.endpoint, meter, keep
        )
        fields = endpoint.Answer.__dataclass_fields__
        return [
            endpoint.Answer(**{f: journal.answers[key][f] for f in fields}) for key, _ in prompts
        ]


def _journal_path(ctx: Context) -> Path:
    """The journal of answers on the driver's disk: DIR/labels/<oracle>.jsonl.

    Where DIR is a URI, the folder is seedbed-labels in the working directory.
    """
    root = Path("seedbed-labels") if "://" in ctx.store.root else Path(ctx.store.root) / "labels"
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in ctx.cfg.labels.oracle)
    return root / f"{safe}.jsonl"


FROM_FILE = ShardJob(
    name="label_quality",
    output="labels",
    params=file_parameters,
    transform=file_labels,
    due=file_due,
    part=part,
)
JOB = CustomJob(name="label_quality", writes=("labels",), run=run, reads=("contents",))

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
