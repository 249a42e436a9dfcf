"""Draws the validation documents: whole repositories, by hash, so that none is on both sides.

A repository counts with its own bytes, those of kept contents that occur in no other repository,
because only they leave training with it. Repositories are taken in the order of sha256(seed, repo)
until `fraction` of the kept bytes is reached. One that would raise the total above OVERSHOOT times
the goal is skipped. At least one is taken where there are two.

An input with one repository cannot be split so. Its contents are drawn by hash instead, and the job
prints a note. With `select.val_repos` the named repositories validate, so that several selections
can share one validation set.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

OVERSHOOT = 4


def assign(copies: DataFrame, fraction: float, seed: int, named: Sequence[str] = ()) -> DataFrame:
    """`copies` with a column `split`, train or val.

    copies: (content_sha256, repo, bytes) and more, one row per occurrence of a kept content.
    fraction: share of the kept bytes that validate. named: repositories that validate instead.
    """
    if named:
        return copies.withColumn("split", _split(F.col("repo").isin(list(named))))
    by_content = copies.groupBy("content_sha256").agg(
        F.min("repo").alias("repo"), F.max("repo").alias("last"), F.max("bytes").alias("bytes")
    )
    own = F.when(F.col("repo") == F.col("last"), F.col("bytes")).otherwise(0)
    # All repositories count, also those without bytes of their own.
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

    own_bytes: repository -> its own bytes. goal: bytes to draw.
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
    """A condition: the content's hash with the seed is among the lowest `fraction`.

    It holds for at least one content where there are two.
    """
    drawn = F.sha2(F.concat(F.lit(f"{seed}\0"), "content_sha256"), 256)
    smallest, contents = by_content.agg(F.min(drawn), F.count("*")).first()
    # Every hexadecimal digit sorts below "g".
    bound = f"{int(fraction * 2**64):016x}" if fraction < 1 else "g"
    return (drawn < bound) | (drawn == smallest if contents > 1 else F.lit(False))


def _split(validates: Column) -> Column:
    return F.when(validates, "val").otherwise("train")
