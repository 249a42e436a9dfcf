"""Settings of the jobs from the archives to the token shards, except for quality.

Paper sections are those of the Seed-Coder report (arXiv 2506.03524).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.checks import one_of
from conf.schema.problem_files import ProblemFileConfig
from conf.schema.ranges import (
    Amount,
    AmountAboveNone,
    Count,
    CountOrNone,
    Few,
    Seed,
    Several,
    Share,
    ShareAboveNone,
)


@dataclass(frozen=True)
class SparkSettings:
    """The engine that runs the jobs, where spark-submit does not bring one."""

    # sail: embedded, without Java. spark: a JVM on this machine, or what spark-submit brings.
    # connect: the server at `remote`.
    engine: str = "sail"
    # connect: the server's address, sc://HOST:PORT.
    remote: str = ""
    # spark: the master.
    master: str = "local[*]"
    # Of the engine on this machine: the memory pool of sail, or the heap of the JVM.
    memory: str = "4g"
    # The least number of partitions, about two per core. Jobs that shuffle text raise it with the
    # size of the text.
    shuffle_partitions: Few = 4
    # GPUs that one task of a model's stage holds (scoring, labelling by vLLM). 0 means the CPU.
    gpus_per_task: Amount = 0.0
    # spark, connect: any further spark.* keys.
    extra: dict[str, str] = field(default_factory=dict)
    # sail: any further variables of its environment, SAIL_*.
    sail: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Refuses an unknown engine, a size that is none, and settings of another engine."""
        one_of("spark.engine", self.engine, "sail", "spark", "connect")
        if not re.fullmatch(r"[1-9]\d*[kmgt]", self.memory):
            raise SeedbedError(f"spark.memory={self.memory} is no size", "give one such as 4g")
        if self.engine == "connect" and not self.remote.startswith("sc://"):
            raise SeedbedError(
                f"spark.remote={self.remote!r} is no address of a Spark Connect server",
                "give one such as sc://HOST:15002",
            )
        if self.gpus_per_task and self.engine != "spark":
            raise SeedbedError(
                f"spark.gpus_per_task={self.gpus_per_task:g} needs stage-level scheduling, "
                f"which spark.engine={self.engine} lacks",
                "set spark.engine=spark on a cluster, or spark.gpus_per_task=0",
            )


@dataclass(frozen=True)
class IngestSettings:
    """Limits of what is read. The paper gives none (Sec 2.2.1), so these are ours."""

    # Larger source files are data or generated. They are recorded as too_large.
    max_file_bytes: Count = 1_000_000
    max_archive_members: Count = 200_000
    # Sum of the unpacked sizes that an archive may claim or deliver.
    max_archive_bytes: Count = 4_000_000_000
    # Unpacked over packed bytes of the whole archive. Real source trees stay under 20.
    max_compression_ratio: Count = 200
    # Repositories per commit. A kill costs at most so many.
    batch_repos: Count = 256


@dataclass(frozen=True)
class NearSettings:
    """MinHash near dedup.

    The paper names MinHash (Sec 2.2.1) but gives no numbers. These follow BigCode's usual setting.
    """

    num_perm: Few = 256
    # With `rows`: datasketch's optimum for threshold 0.7 at 256 permutations, where both kinds of
    # error weigh the same.
    bands: Few = 25
    rows: Few = 10
    # Tokens per shingle.
    shingle: Few = 5
    # True Jaccard similarity that makes an edge.
    threshold: ShareAboveNone = 0.7
    # Members of a star. A fuller bucket is cut into stars whose hubs are linked in turn.
    bucket_cap: Several = 1_000
    # Up to so many edges the driver joins components by itself. More take distributed rounds.
    driver_edges: CountOrNone = 10_000_000
    # Contents that one task compares with their survivors. Larger components are cut.
    component_cap: Several = 10_000
    # Share of contents that makes two repositories near, or one vendored in the other.
    repo_threshold: ShareAboveNone = 0.7
    seed: Seed = 1

    def check(self) -> None:
        """Refuses bands that need more permutations."""
        used = self.bands * self.rows
        if used > self.num_perm:
            raise SeedbedError(
                f"bands*rows must not exceed num_perm: {self.bands}*{self.rows}={used}, "
                f"num_perm={self.num_perm}",
                "lower near.bands or near.rows, or raise near.num_perm",
            )


@dataclass(frozen=True)
class SyntaxSettings:
    """Limits of tree-sitter."""

    # Seconds per file. Some grammars loop on tiny inputs.
    timeout_s: AmountAboveNone = 5.0


@dataclass(frozen=True)
class DecontaminateSettings:
    """A content that shares an n-gram of words with a benchmark is dropped (Sec 4)."""

    # Words per n-gram (Sec 4).
    ngram: Few = 10
    # "humaneval", or the path of a .jsonl file.
    benchmarks: list[str] = field(default_factory=lambda: ["humaneval"])


@dataclass(frozen=True)
class SelectSettings:
    """The policy that turns verdicts into `documents`. Another policy scores nothing again."""

    # file keeps the survivors of clusters. repository keeps the contents of surviving repositories.
    # The paper has both (Sec 2.2.1).
    dedup: str = "file"
    # Share of scored contents that the quality cut drops (Sec 2.2.1).
    drop_lowest: Share = 0.10
    # all: the lowest of the whole set, as in the paper. language: the lowest of each language.
    cut_per: str = "all"
    # Contents with a lower score are dropped, too, from 0 to 1. 0 drops none.
    min_quality: Share = 0.0
    # Language -> its own min_quality.
    min_quality_of: dict[str, Share] = field(default_factory=dict)
    # Largest share of bytes under tree-sitter's ERROR nodes.
    max_error_share: Share = 0.02
    # SPDX names.
    licenses_denied: list[str] = field(default_factory=list)
    languages_denied: list[str] = field(default_factory=list)
    min_bytes: CountOrNone = 32
    # Share of the kept bytes, taken as whole repositories.
    val_fraction: Share = 0.02
    # Repositories to validate on, instead of a draw by val_fraction.
    val_repos: list[str] = field(default_factory=list)
    epochs: Few = 1
    seed: Seed = 1

    def check(self) -> None:
        """Refuses unknown policies."""
        one_of("select.dedup", self.dedup, "file", "repository")
        one_of("select.cut_per", self.cut_per, "all", "language")


@dataclass(frozen=True)
class SpecialTokens:
    """What a foreign tokenizer calls the tokens that packing writes.

    An empty name is ours where the tokenizer has it. `end` may also be its eos_token.
    """

    end: str = ""
    pad: str = ""
    fim_suffix: str = ""
    fim_prefix: str = ""
    fim_middle: str = ""


@dataclass(frozen=True)
class TokenSettings:
    """The tokenizer, and the shards of tokens."""

    vocab_size: Count = 4096
    # A folder with a tokenizer.json that is used instead of training one.
    tokenizer: str = ""
    special: SpecialTokens = field(default_factory=SpecialTokens)
    # Bytes of documents that the tokenizer is trained on, as a sample.
    train_bytes: Count = 20_000_000
    # Share of documents in fill-in-the-middle form in regular pretraining (Sec 2.2.6).
    fim_rate: Share = 0.5
    # Tokens per shard.
    shard_tokens: Count = 50_000_000
    seed: Seed = 1


@dataclass(frozen=True)
class VerifySettings(ProblemFileConfig):
    """Judging of samples in bulk by the sandbox (spark_jobs/verify_solutions.py).

    The limits are those of seedbed/sandbox/verdict.py.
    """

    # JSON lines, in a form that the sandbox reads.
    problems: str = ""
    # A file of JSON lines, a folder of them, or a Delta table.
    samples: str = ""
    cpu_seconds: AmountAboveNone = 5.0
    memory_mb: Count = 512
    # rlimits-only is weaker, for hosts without namespaces. Each verdict then says so.
    isolation: str = "full"

    def check(self) -> None:
        """Refuses an unknown isolation."""
        one_of("verify.isolation", self.isolation, "full", "rlimits-only")
