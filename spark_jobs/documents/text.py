"""The text of documents: a document names its parts by hash, the text itself is stored once, in
`contents`.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def with_text(documents: DataFrame, contents: DataFrame) -> DataFrame:
    """`documents` (with the column parts) and a column `text`.

    Fails on a document that is not of exactly one part.
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
