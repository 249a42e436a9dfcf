"""What ranks a content among its near duplicates, from the files and repositories that hold it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

# Each is the best of all files that hold the content; larger is better, and null is the worst.
STANDING = ("licensed", "stars", "last_commit")


def standing(contents: DataFrame, files: DataFrame, repos: DataFrame) -> DataFrame:
    """(content_sha256, *STANDING) of those of `contents` (content_sha256) that a file holds."""
    facts = repos.select("repo", "revision", "stars", "last_commit")
    return (
        files.join(contents, "content_sha256", "left_semi")
        .join(facts, ["repo", "revision"], "left")
        .groupBy("content_sha256")
        .agg(
            F.max(F.col("license").isNotNull()).alias("licensed"),
            F.max("stars").alias("stars"),
            F.max("last_commit").alias("last_commit"),
        )
    )
