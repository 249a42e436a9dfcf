"""Settings of the Spark jobs. Paper sections are those of the Seed-Coder report (arXiv 2506.03524)."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError


@dataclass(frozen=True)
class SparkSettings:
    """How a session starts when the job is not launched by spark-submit (which brings its own master)."""

    master: str = "local[*]"
    driver_memory: str = "4g"
    shuffle_partitions: int = 4  # local runs: about two a core; a cluster sets 2-3 x its cores
    extra: dict[str, str] = field(default_factory=dict)  # any further spark.* key


@dataclass(frozen=True)
class IngestSettings:
    """Limits of what is read. The paper gives none (Sec 2.2.1): these are ours."""

    max_file_bytes: int = 1_000_000  # larger source files are data or generated; recorded as too_large
    max_archive_members: int = 200_000
    max_archive_bytes: int = 4_000_000_000  # sum of the unpacked sizes an archive may claim or deliver
    max_compression_ratio: int = 200  # unpacked / packed of the whole archive; real source trees stay under 20
    batch_repos: int = 256  # repositories a commit: what a kill can cost


@dataclass(frozen=True)
class NearSettings:
    """MinHash near dedup. The paper names MinHash (Sec 2.2.1) but no numbers; these follow BigCode's usual setting."""

    num_perm: int = 256
    bands: int = 25  # with rows: datasketch's optimum for threshold 0.7 at 256 permutations, both errors weighing alike
    rows: int = 10
    shingle: int = 5  # tokens a shingle
    threshold: float = 0.7  # true Jaccard that makes an edge
    bucket_cap: int = 1_000  # members of a star; a fuller bucket is cut into stars whose hubs are linked in turn
    driver_edges: int = 10_000_000  # up to as many the driver joins components; more go through distributed rounds
    component_cap: int = 10_000  # contents that one task compares with their survivors; larger components are cut
    repo_threshold: float = 0.7  # share of contents that makes two repositories near, or one vendored in the other
    seed: int = 1


@dataclass(frozen=True)
class SyntaxSettings:
    timeout_s: float = 5.0  # a file: some grammars loop on tiny inputs


@dataclass(frozen=True)
class LabelSettings:
    path: str = "conf/oracle/labels.jsonl"
    oracle: str = "seedbed-labels-v1"


@dataclass(frozen=True)
class ScoreSettings:
    """Which scorer writes `scores`, and over what."""

    scorer: str = "structural"  # "structural" (fitted on the labels by fit_scorer) or a folder that holds a scorer.json
    scope: str = "all"  # all | survivors | labelled
    max_tokens: int = 512  # a language-model scorer reads this many leading tokens
    batch_size: int = 64
    dtype: str = "float32"  # of a language-model scorer; bfloat16 where the processor has it


@dataclass(frozen=True)
class DecontaminateSettings:
    """Any 10-gram word overlap with a benchmark drops the content (Sec 4)."""

    ngram: int = 10
    benchmarks: list[str] = field(default_factory=lambda: ["humaneval"])  # "humaneval" or a path to a .jsonl file


@dataclass(frozen=True)
class SelectSettings:
    """The policy that turns verdicts into `documents`. Retuning it rescores nothing."""

    dedup: str = (
        "file"  # file: survivors of clusters; repository: contents of surviving repositories (Sec 2.2.1 has both)
    )
    drop_lowest: float = 0.10  # share of scored contents that the quality cut drops, over the whole set (Sec 2.2.1)
    max_error_share: float = 0.02  # share of bytes under tree-sitter ERROR nodes
    licenses_denied: list[str] = field(default_factory=list)  # SPDX names
    languages_denied: list[str] = field(default_factory=list)
    min_bytes: int = 32
    val_fraction: float = 0.02  # of kept bytes, by whole repositories
    epochs: int = 1
    seed: int = 1


@dataclass(frozen=True)
class TokenSettings:
    vocab_size: int = 4096
    tokenizer: str = ""  # folder with a tokenizer.json to use instead of training one
    train_bytes: int = 20_000_000  # sample of the documents that the tokenizer is trained on
    fim_rate: float = 0.5  # share of documents in fill-in-the-middle form, regular pretraining (Sec 2.2.6)
    shard_tokens: int = 50_000_000
    seed: int = 1


@dataclass(frozen=True)
class CurateConfig:
    input: str = ""
    output: str = ""
    shards: int = 4  # units of work, resume and join: leading bits of content_sha256. 4 on a laptop, 4096 on a cluster
    files_per_shard: int = 2  # Parquet files a shard and commit: the parallelism inside a shard
    rebuild: list[str] = field(default_factory=list)  # tables to write anew although their parameters changed
    spark: SparkSettings = field(default_factory=SparkSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    near: NearSettings = field(default_factory=NearSettings)
    syntax: SyntaxSettings = field(default_factory=SyntaxSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    score: ScoreSettings = field(default_factory=ScoreSettings)
    decontaminate: DecontaminateSettings = field(default_factory=DecontaminateSettings)
    select: SelectSettings = field(default_factory=SelectSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        near = self.near
        if near.bands * near.rows > near.num_perm:
            raise SeedbedError(
                f"bands*rows must not exceed num_perm: {near.bands}*{near.rows}={near.bands * near.rows}, "
                f"num_perm={near.num_perm}",
                "lower near.bands or near.rows, or raise near.num_perm",
            )
        for name, value in (("near.threshold", near.threshold), ("near.repo_threshold", near.repo_threshold)):
            if not 0 < value <= 1:
                raise SeedbedError(f"{name}={value} is not in (0, 1]", "give a Jaccard similarity such as 0.7")
        if self.shards < 1 or self.shards & (self.shards - 1) or self.shards > 65536:
            raise SeedbedError(
                f"shards={self.shards} is not a power of two from 1 to 65536: a shard is the leading bits of a SHA-256",
                "use 4 on a laptop, 4096 on a cluster",
            )
        for name, value in (
            ("select.drop_lowest", self.select.drop_lowest),
            ("select.val_fraction", self.select.val_fraction),
            ("select.max_error_share", self.select.max_error_share),
            ("tokens.fim_rate", self.tokens.fim_rate),
        ):
            if not 0 <= value <= 1:
                raise SeedbedError(
                    f"{name}={value} is not a share between 0 and 1", f"set {name} to a number from 0 to 1"
                )
        if self.select.dedup not in ("file", "repository"):
            raise SeedbedError(f"select.dedup={self.select.dedup!r} is unknown", "use file or repository")
        if self.score.scope not in ("all", "survivors", "labelled"):
            raise SeedbedError(f"score.scope={self.score.scope!r} is unknown", "use all, survivors or labelled")
