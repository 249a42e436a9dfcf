"""The config of the Spark jobs, and the rules between its sections."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.curate.corpus import (
    DecontaminateSettings,
    IngestSettings,
    NearSettings,
    SelectSettings,
    SparkSettings,
    SyntaxSettings,
    TokenSettings,
    VerifySettings,
)
from conf.schema.curate.quality import LabelSettings, RecallSettings, ScoreSettings
from conf.schema.interpreter import InterpreterConfig
from conf.schema.ranges import Count, Few
from conf.schema.storage import StorageSettings


@dataclass(frozen=True)
class CurateConfig:
    """All settings of the Spark jobs."""

    # Archives and folders to read: a path, or a URI (docs/storage.md).
    input: str = ""
    # The folder of the run: a path, or a URI such as s3://BUCKET/RUN.
    output: str = ""
    storage: StorageSettings = field(default_factory=StorageSettings)
    # Units of work, resume and join, by the leading bits of content_sha256. Use 4 on a laptop, and
    # 4096 on a cluster.
    shards: Count = 4
    # Parquet files per shard and commit, which are written in parallel.
    files_per_shard: Few = 2
    # Tables to write anew although their parameters changed.
    rebuild: list[str] = field(default_factory=list)
    spark: SparkSettings = field(default_factory=SparkSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    near: NearSettings = field(default_factory=NearSettings)
    syntax: SyntaxSettings = field(default_factory=SyntaxSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    score: ScoreSettings = field(default_factory=ScoreSettings)
    recall: RecallSettings = field(default_factory=RecallSettings)
    decontaminate: DecontaminateSettings = field(default_factory=DecontaminateSettings)
    select: SelectSettings = field(default_factory=SelectSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    # What judges the samples of `verify`.
    sandbox: InterpreterConfig = field(default_factory=InterpreterConfig)

    def check(self) -> None:
        """The rules of each section, and those of the fields above."""
        self.spark.check()
        self.storage.check()
        self.near.check()
        if self.shards < 1 or self.shards & (self.shards - 1) or self.shards > 65536:
            raise SeedbedError(
                f"shards={self.shards} is not a power of two from 1 to 65536: "
                "a shard is the leading bits of a SHA-256",
                "use 4 on a laptop, 4096 on a cluster",
            )
        self.select.check()
        self.verify.check()
        self.sandbox.check()
        self.labels.check()
        self.score.check()
