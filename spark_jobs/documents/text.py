"""Adds the text to documents.

A document names its parts by hash. The text itself is stored once, in the table `contents`.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def with_text(documents: DataFrame, contents: DataFrame) -> DataFrame:
    """`documents`, which have the column `parts`, with a column `text`.

    The query fails on a document that does not have exactly one part.
    """
    only = F.when(F.size("parts") == 1, F.col("parts")[0]["content_sha256"]).otherwise(
        F.raise_error(F.concat(F.lit("document without exactly one part: "), "document_id"))
    )
    texts = contents.select("content_sha256", "text")
    return (
        documents.withColumn("content_sha256", only)
        .join(texts, "content_sha256")
        .drop("content_sha256")
    )
