"""Settings of the Spark jobs.

Paper sections are those of the Seed-Coder report (arXiv 2506.03524).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError


@dataclass(frozen=True)
class SparkSettings:
    """How a session starts when the job is not launched by spark-submit (which brings its own
    master).
    """

    master: str = "local[*]"
    driver_memory: str = "4g"
    # the least; about two a core. Jobs that shuffle text raise it with its size
    shuffle_partitions: int = 4
    # GPUs that a task of a model's stage holds (scoring, labelling by vLLM); 0: the CPU
    gpus_per_task: float = 0.0
    # any further spark.* key
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class IngestSettings:
    """Limits of what is read. The paper gives none (Sec 2.2.1): these are ours."""

    # larger source files are data or generated; recorded as too_large
    max_file_bytes: int = 1_000_000
    max_archive_members: int = 200_000
    # sum of the unpacked sizes an archive may claim or deliver
    max_archive_bytes: int = 4_000_000_000
    # unpacked / packed of the whole archive; real source trees stay under 20
    max_compression_ratio: int = 200
    # repositories a commit: what a kill can cost
    batch_repos: int = 256


@dataclass(frozen=True)
class NearSettings:
    """MinHash near dedup.

    The paper names MinHash (Sec 2.2.1) but no numbers; these follow BigCode's usual setting.
    """

    num_perm: int = 256
    # with rows: datasketch's optimum for threshold 0.7 at 256 permutations, both errors weighing
    # alike
    bands: int = 25
    rows: int = 10
    # tokens a shingle
    shingle: int = 5
    # true Jaccard that makes an edge
    threshold: float = 0.7
    # members of a star; a fuller bucket is cut into stars whose hubs are linked in turn
    bucket_cap: int = 1_000
    # up to as many the driver joins components; more go through distributed rounds
    driver_edges: int = 10_000_000
    # contents that one task compares with their survivors; larger components are cut
    component_cap: int = 10_000
    # share of contents that makes two repositories near, or one vendored in the other
    repo_threshold: float = 0.7
    seed: int = 1


@dataclass(frozen=True)
class SyntaxSettings:
    # a file: some grammars loop on tiny inputs
    timeout_s: float = 5.0


@dataclass(frozen=True)
class EndpointSettings:
    """An OpenAI-compatible server that is asked for labels or problems.

    The limits are the server's to name; 0 means none.
    """

    # up to and with /v1
    url: str = ""
    # the environment variable that holds the key; a config never does
    key_variable: str = "OPENAI_API_KEY"
    # requests in flight
    concurrency: int = 16
    requests_per_minute: float = 0.0
    # of prompt and answer, estimated before asking
    tokens_per_minute: float = 0.0
    # an attempt
    timeout_s: float = 120.0
    # with exponential back-off, of what a server may get over (429, 5xx, connection)
    retries: int = 6
    # contents whose retries ran out, before asking stops
    max_failures: int = 3
    # send the form of a grade as vLLM's `structured_outputs` regex: for vLLM servers
    structured: bool = False
    # a million prompt tokens
    price_in: float = 0.0
    # a million answer tokens
    price_out: float = 0.0
    # of one run, in the prices' currency
    max_cost: float = 0.0


@dataclass(frozen=True)
class LabelSettings:
    """Where labels come from: a file that ships them, or an oracle asked by the rubric (Sec 2.2.1,
    App A.2).
    """

    # the name that the rows carry, and that fits and reports ask for
    oracle: str = "seedbed-labels-v1"
    # file | endpoint | vllm (in the executors)
    source: str = "file"
    # of source=file
    path: str = "conf/oracle/labels.jsonl"
    prompt: str = "conf/prompts/rubric-v1.txt"
    # endpoint: its name there; vllm: a local Hugging Face folder
    model: str = ""
    # contents asked about in each language; the paper has about 10,000 (Table 17)
    per_language: int = 500
    # of a file; of a longer one the middle is left out
    max_chars: int = 60_000
    max_answer_tokens: int = 400
    temperature: float = 0.0
    # of the sample of contents, and of the sampling where the temperature is not 0
    seed: int = 1
    # answers a commit
    commit_every: int = 256
    # contents with a label in `path` that are asked first; 0 = none
    gold: int = 64
    # mean error on them, in points of 10, beyond which nothing else is asked
    max_gold_error: float = 3.0
    # vllm: of prompt and answer together
    max_tokens: int = 32_768
    # vllm: prompts at a time
    batch_size: int = 16
    # vllm: of the model's weights
    dtype: str = "auto"
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)


@dataclass(frozen=True)
class ScoreSettings:
    """Which scorer writes `scores`, and over what."""

    # "structural" (fitted on the labels by fit_scorer) or a folder that holds a scorer.json
    scorer: str = "structural"
    # all | survivors | labelled
    scope: str = "all"
    # tokens a window of a language-model scorer
    max_tokens: int = 512
    windows: int = (
        # of a longer file: 1 = its leading tokens; more = spread evenly from start to end, their
        # mean counts
        1
    )
    student: str = (
        # a first pass that saves the language model the clear cases: "structural", or a folder of
        # that kind
        ""
    )
    # what the student scores lower keeps the student's score
    student_below: float = 0.05
    batch_size: int = 64
    # of a language-model scorer; bfloat16 where the processor has it
    dtype: str = "float32"
    # contents with a label by labels.oracle that a new scorer version or engine scores first; 0 =
    # none
    gold: int = 64
    # mean move of their quality from the scorer before it of the same name
    max_gold_shift: float = 0.15
    # largest move of one of them, where the same scorer runs on another engine
    max_engine_shift: float = 0.02


@dataclass(frozen=True)
class RecallSettings:
    """Seeds and rounds of the recall of high-quality contents (Sec 2.2.4: about 100,000 seeds a
    source, 2-3 rounds).
    """

    # 0 = off
    rounds: int = 0
    # of a seed
    min_quality: float = 0.7
    # of a seed's bytes
    min_comment_share: float = 0.05
    # of seeds; none = all
    languages: list[str] = field(default_factory=list)
    # packages of which a seed imports one; none = any
    imports: list[str] = field(default_factory=list)
    # at most, and at most as many again found in each round
    seeds: int = 100_000
    seeds_per_repo: int = 100
    # probability that makes a content found
    threshold: float = 0.9
    # what is found but scored lower is a hard negative, and never a positive
    max_hard_quality: float = 0.5
    seed: int = 1


@dataclass(frozen=True)
class DecontaminateSettings:
    """Any 10-gram word overlap with a benchmark drops the content (Sec 4)."""

    ngram: int = 10
    # "humaneval" or a path to a .jsonl file
    benchmarks: list[str] = field(default_factory=lambda: ["humaneval"])


@dataclass(frozen=True)
class SelectSettings:
    """The policy that turns verdicts into `documents`. Retuning it rescores nothing."""

    dedup: str = (
        # file: survivors of clusters; repository: contents of surviving repositories (Sec 2.2.1 has
        # both)
        "file"
    )
    # share of scored contents that the quality cut drops (Sec 2.2.1)
    drop_lowest: float = 0.10
    # all: the lowest of the whole set, as in the paper; language: the lowest of each language
    cut_per: str = "all"
    # and everything below this score, 0-1; 0 drops nothing
    min_quality: float = 0.0
    # language -> its own min_quality
    min_quality_of: dict[str, float] = field(default_factory=dict)
    # share of bytes under tree-sitter ERROR nodes
    max_error_share: float = 0.02
    # SPDX names
    licenses_denied: list[str] = field(default_factory=list)
    languages_denied: list[str] = field(default_factory=list)
    min_bytes: int = 32
    # of kept bytes, by whole repositories
    val_fraction: float = 0.02
    # validate these, instead of drawing by val_fraction
    val_repos: list[str] = field(default_factory=list)
    epochs: int = 1
    seed: int = 1


@dataclass(frozen=True)
class TokenSettings:
    vocab_size: int = 4096
    # folder with a tokenizer.json to use instead of training one
    tokenizer: str = ""
    # sample of the documents that the tokenizer is trained on
    train_bytes: int = 20_000_000
    # share of documents in fill-in-the-middle form, regular pretraining (Sec 2.2.6)
    fim_rate: float = 0.5
    shard_tokens: int = 50_000_000
    seed: int = 1


@dataclass(frozen=True)
class VerifySettings:
    """Bulk judging of samples by the sandbox (spark_jobs/verify_solutions.py).

    Limits are those of seedbed/sandbox/verdict.py.
    """

    # JSONL, in a form that the sandbox reads
    problems: str = ""
    # JSONL file, folder of them, or Delta table
    samples: str = ""
    cpu_seconds: float = 5.0
    memory_mb: int = 512
    # rlimits-only: for hosts without namespaces, weaker, stamped on each verdict
    isolation: str = "full"


@dataclass(frozen=True)
class CurateConfig:
    input: str = ""
    output: str = ""
    # units of work, resume and join: leading bits of content_sha256. 4 on a laptop, 4096 on a
    # cluster
    shards: int = 4
    # Parquet files a shard and commit: the parallelism inside a shard
    files_per_shard: int = 2
    # tables to write anew although their parameters changed
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

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        near = self.near
        if near.bands * near.rows > near.num_perm:
            raise SeedbedError(
                f"bands*rows must not exceed num_perm: {near.bands}*{near.rows}={near.bands * near.rows}, "
                f"num_perm={near.num_perm}",
                "lower near.bands or near.rows, or raise near.num_perm",
            )
        for name, value in (
            ("near.threshold", near.threshold),
            ("near.repo_threshold", near.repo_threshold),
        ):
            if not 0 < value <= 1:
                raise SeedbedError(
                    f"{name}={value} is not in (0, 1]", "give a Jaccard similarity such as 0.7"
                )
        if self.shards < 1 or self.shards & (self.shards - 1) or self.shards > 65536:
            raise SeedbedError(
                f"shards={self.shards} is not a power of two from 1 to 65536: a shard is the leading bits of a SHA-256",
                "use 4 on a laptop, 4096 on a cluster",
            )
        for name, value in (
            ("select.drop_lowest", self.select.drop_lowest),
            ("select.min_quality", self.select.min_quality),
            *(
                (f"select.min_quality_of.{name}", value)
                for name, value in self.select.min_quality_of.items()
            ),
            ("select.val_fraction", self.select.val_fraction),
            ("select.max_error_share", self.select.max_error_share),
            ("tokens.fim_rate", self.tokens.fim_rate),
        ):
            if not 0 <= value <= 1:
                raise SeedbedError(
                    f"{name}={value} is not a share between 0 and 1",
                    f"set {name} to a number from 0 to 1",
                )
        if self.select.dedup not in ("file", "repository"):
            raise SeedbedError(
                f"select.dedup={self.select.dedup!r} is unknown", "use file or repository"
            )
        if self.select.cut_per not in ("all", "language"):
            raise SeedbedError(
                f"select.cut_per={self.select.cut_per!r} is unknown", "use all or language"
            )
        if self.verify.isolation not in ("full", "rlimits-only"):
            raise SeedbedError(
                f"verify.isolation={self.verify.isolation!r} is unknown", "use full or rlimits-only"
            )
        if self.score.windows < 1:
            raise SeedbedError(
                f"score.windows={self.score.windows} is less than 1",
                "give the windows of a long file, 1 or more",
            )
        self._check_labels()
        if self.score.scope not in ("all", "survivors", "labelled"):
            raise SeedbedError(
                f"score.scope={self.score.scope!r} is unknown", "use all, survivors or labelled"
            )

    def _check_labels(self) -> None:
        labels = self.labels
        if labels.source not in ("file", "endpoint", "vllm"):
            raise SeedbedError(
                f"labels.source={labels.source!r} is unknown", "use file, endpoint or vllm"
            )
        if labels.source == "file":
            return
        if labels.oracle == LabelSettings().oracle:
            raise SeedbedError(
                f"labels.oracle={labels.oracle} is the name of the label file; labels.source={labels.source} asks another oracle",
                "give its labels a name of their own: labels.oracle=NAME",
            )
        if not labels.model:
            raise SeedbedError(f"labels.source={labels.source} has no model", "set labels.model")
        if labels.source == "endpoint" and not labels.endpoint.url.startswith(
            ("http://", "https://")
        ):
            raise SeedbedError(
                f"labels.endpoint.url={labels.endpoint.url!r} is no address",
                "give one such as http://HOST:8000/v1",
            )
        if min(labels.per_language, labels.commit_every, labels.endpoint.concurrency) < 1:
            raise SeedbedError(
                f"labels.per_language={labels.per_language}, labels.commit_every={labels.commit_every} and "
                f"labels.endpoint.concurrency={labels.endpoint.concurrency} must be at least 1",
                "raise the one that is not",
            )
