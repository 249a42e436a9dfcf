"""Which documents validate: whole repositories, drawn by hash, so that no repository is on both
sides.

A repository counts with its own bytes: those of kept contents that occur in no other repository,
for only they can leave training with it. Repositories are taken in the order of sha256(seed, repo)
until `fraction` of the kept bytes is reached, passing over any that would carry the total beyond
OVERSHOOT times the goal; at least one is taken where there are two.
An input of one repository has no such split: its contents are drawn by hash instead, and the job
says so. Named repositories (`select.val_repos`) validate instead of drawn ones, so that several
selections can share one hold-out.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

OVERSHOOT = 4


def assign(copies: DataFrame, fraction: float, seed: int, named: Sequence[str] = ()) -> DataFrame:
    """`copies` (content_sha256, repo, bytes, ...: a row for each occurrence of a kept content) with
    a column `split`.
    """
    if named:
        return copies.withColumn("split", _split(F.col("repo").isin(list(named))))
    by_content = copies.groupBy("content_sha256").agg(
        F.min("repo").alias("repo"), F.max("repo").alias("last"), F.max("bytes").alias("bytes")
    )
    own = F.when(F.col("repo") == F.col("last"), F.col("bytes")).otherwise(0)
    # every repository, also one whose kept contents all occur elsewhere too (own bytes 0)
    repos = [row["repo"] for row in copies.select("repo").distinct().collect()]
    sums = (
        by_content.groupBy("repo")
        .agg(F.sum(own).alias("own"), F.sum("bytes").alias("all"))
        .collect()
    )
    own_bytes = dict.fromkeys(repos, 0) | {row["repo"]: row["own"] for row in sums}
    goal = fraction * sum(row["all"] for row in sums)
    if len(repos) == 1 and goal:
        print(
            "note: one repository only, so validation is drawn by content hash, not by repository",
            file=sys.stderr,
        )
        return copies.withColumn("split", _split(_drawn_contents(by_content, fraction, seed)))
    return copies.withColumn(
        "split", _split(F.col("repo").isin(validation_repos(own_bytes, goal, seed)))
    )


def validation_repos(own_bytes: dict[str, int], goal: float, seed: int) -> list[str]:
    """Names of the validation repositories, sorted.

    `own_bytes`: repository -> bytes; `goal`: bytes wanted.
    """
    order = sorted(own_bytes, key=lambda repo: hashlib.sha256(f"{seed}\0{repo}".encode()).digest())
    candidates = [repo for repo in order if own_bytes[repo]]
    if goal <= 0 or len(order) < 2 or not candidates:
        return []
    chosen: list[str] = []
    total = 0
    for repo in candidates:
        if (
            total < goal
            and total + own_bytes[repo] <= OVERSHOOT * goal
            and len(chosen) < len(order) - 1
        ):
            chosen.append(repo)
            total += own_bytes[repo]
    return sorted(chosen or [min(candidates, key=lambda repo: own_bytes[repo])])


def _drawn_contents(by_content: DataFrame, fraction: float, seed: int) -> Column:
    """Condition: the content's hash with the seed is among the lowest `fraction`; one at least,
    where there are two.
    """
    drawn = F.sha2(F.concat(F.lit(f"{seed}\0"), "content_sha256"), 256)
    smallest, contents = by_content.agg(F.min(drawn), F.count("*")).first()
    # every hex digit sorts below "g"
    bound = f"{int(fraction * 2**64):016x}" if fraction < 1 else "g"
    return (drawn < bound) | (drawn == smallest if contents > 1 else F.lit(False))


def _split(validates: Column) -> Column:
    return F.when(validates, "val").otherwise("train")
