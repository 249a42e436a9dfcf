"""The catalogue of tables: each table is declared here once, without Spark and without Arrow.

Spark's schemas (spark_jobs/runtime/store.py), Arrow's (seedbed/tables/arrow.py), the names that the
queries read, the report's section on tables and docs/tables.md are all derived from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TableSpec:
    """One table: what a row says, its columns, its key, and who writes it.

    row: one sentence for people.
    writer: the job of spark_jobs, or the programs of rl, that write the table.
    ddl: "name type, name type", with the type names of Spark's DDL.
    key: the columns whose values are unique in the table.
    partitions: the columns by which the files are partitioned.
    added: columns that tables of earlier versions lack. They read as null there, and the next
        append adds them.
    """

    name: str
    row: str
    writer: str
    ddl: str
    key: tuple[str, ...]
    partitions: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def fields(self) -> list[tuple[str, str]]:
        """(name, type) of each column, in order."""
        return split_fields(self.ddl)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return [name for name, _ in self.fields]


def split_fields(ddl: str) -> list[tuple[str, str]]:
    """The (name, type) pairs of a DDL string; commas inside <> separate nothing."""
    depth, start, parts = 0, 0, []
    for at, letter in enumerate(ddl):
        depth += (letter == "<") - (letter == ">")
        if letter == "," and depth == 0:
            parts.append(ddl[start:at])
            start = at + 1
    pairs = (re.split(r"[ :]+", part.strip(), maxsplit=1) for part in [*parts, ddl[start:]])
    return [(name, kind) for name, kind in pairs]


# A shard is the leading bits of the content hash: the unit of work, of resume and of join.
SHARD = ("shard",)

# The tables of the curate line, in the order of the graph.
_CURATE = (
    TableSpec(
        "files",
        "One occurrence of a file: where it stands, its language, license and size, "
        "and the hash of its content or the reason why there is none.",
        "ingest",
        "doc_id string, source string, repo string, revision string, path string, "
        "language string, license string, bytes long, content_sha256 string, drop_reason string",
        key=("doc_id",),
    ),
    TableSpec(
        "repos",
        "One repository at one revision: its archive with its hash, license and file count, "
        "or why the whole archive was refused.",
        "ingest",
        "repo string, revision string, source string, license string, origin string, "
        "origin_sha256 string, stars int, forks int, commits int, first_commit string, "
        "last_commit string, files long, drop_reason string",
        key=("repo", "revision"),
    ),
    TableSpec(
        "contents",
        "The text of one content, stored once: this table is exact deduplication.",
        "ingest",
        "content_sha256 string, text string, bytes long, language string, shard int",
        key=("content_sha256",),
        partitions=SHARD,
    ),
    TableSpec(
        "signatures",
        "The MinHash signature of the token shingles of one content.",
        "sign_contents",
        "content_sha256 string, signature binary, shingles int, shard int",
        key=("content_sha256",),
        partitions=SHARD,
    ),
    TableSpec(
        "near_misses",
        "A pair that was proposed and fell short of the threshold, so that later runs need not "
        "compare it again.",
        "find_near_pairs",
        "a string, b string, band int, jaccard_estimate double, jaccard double",
        key=("a", "b"),
    ),
    TableSpec(
        "near_edges",
        "A near-duplicate pair with its evidence: the band that found it, and the estimated and "
        "the true Jaccard similarity.",
        "find_near_pairs",
        "a string, b string, band int, jaccard_estimate double, jaccard double",
        key=("a", "b"),
    ),
    TableSpec(
        "clusters",
        "The near-duplicate cluster of one content, whether it survives, its true Jaccard "
        "similarity to the survivor, and the component it was linked in.",
        "cluster_near_dups",
        "content_sha256 string, cluster_id string, cluster_size int, survivor boolean, "
        "jaccard double, component_id string, shard int",
        key=("content_sha256",),
        partitions=SHARD,
    ),
    TableSpec(
        "repo_overlaps",
        "Two repositories with contents in common: how many, Jaccard similarity, containment, and "
        "whether the overlap is exact, near or contained.",
        "compare_repos",
        "repo_a string, revision_a string, repo_b string, revision_b string, kind string, "
        "common long, contents_a int, contents_b int, jaccard double, containment double",
        key=("repo_a", "revision_a", "repo_b", "revision_b"),
    ),
    TableSpec(
        "repo_clusters",
        "The cluster of one repository, its root hash, and whether it survives.",
        "compare_repos",
        "repo string, revision string, root_hash string, contents int, cluster_id string, "
        "cluster_size int, survivor boolean, jaccard double",
        key=("repo", "revision"),
    ),
    TableSpec(
        "syntax",
        "What tree-sitter says of one content: the share of bytes in error, functions, classes, "
        "comments and line statistics.",
        "check_syntax",
        "content_sha256 string, parser string, status string, has_error boolean, "
        "error_share double, functions int, classes int, comment_share double, lines int, "
        "max_line int, mean_line double, shard int",
        key=("content_sha256",),
        partitions=SHARD,
    ),
    TableSpec(
        "labels",
        "What one oracle says of one content: a score from 0 to 10, four aspects and the reason "
        "for a zero; or its answer, and why that holds no rating.",
        "label_quality",
        "content_sha256 string, oracle string, score double, readability double, "
        "modularity double, clarity double, reusability double, zero_reason string, "
        "second_score double, answer string, failure string, shard int",
        key=("content_sha256", "oracle"),
        partitions=SHARD,
        added=("answer", "failure"),
    ),
    TableSpec(
        "gold_scores",
        "What one scorer said of a rated content before it scored anything else, and what the "
        "scorer before it had said.",
        "score_quality",
        "content_sha256 string, scorer string, engine string, label double, quality double, "
        "previous string, previous_quality double, shard int",
        key=("content_sha256", "scorer", "engine"),
        partitions=SHARD,
    ),
    TableSpec(
        "scores",
        "The quality of one content, from 0 to 1, by one version of a scorer. Versions are rows.",
        "score_quality",
        "content_sha256 string, scorer string, quality double, shard int",
        key=("content_sha256", "scorer"),
        partitions=SHARD,
    ),
    TableSpec(
        "recall",
        "How much one content reads like the seeds of high quality, and whether it is a seed or a "
        "positive.",
        "recall_quality",
        "content_sha256 string, probability double, seed boolean, positive boolean, shard int",
        key=("content_sha256",),
        partitions=SHARD,
    ),
    TableSpec(
        "contamination",
        "The first 10-gram that one content shares with one benchmark; null where it was looked at "
        "and shares none.",
        "decontaminate",
        "content_sha256 string, benchmark string, item string, ngram string, shard int",
        key=("content_sha256", "benchmark"),
        partitions=SHARD,
    ),
    TableSpec(
        "decisions",
        "The first reason why one content was dropped, with the figures that decided; null where "
        "it was kept.",
        "select_documents",
        "content_sha256 string, reason string, detail string, shard int",
        key=("content_sha256",),
        partitions=SHARD,
    ),
    TableSpec(
        "documents",
        "One document of the training corpus: its contents, license, repository, split and epochs.",
        "select_documents",
        "document_id string, category string, "
        "parts array<struct<path: string, content_sha256: string>>, language string, "
        "license string, repo string, split string, epochs int, bytes long, quality double",
        key=("document_id",),
    ),
    TableSpec(
        "token_index",
        "Where the tokens of one document stand in one epoch: shard file, document number, offset "
        "and count.",
        "pack_tokens",
        "document_id string, epoch int, split string, shard_file string, document_number long, "
        "offset long, tokens long",
        key=("document_id", "epoch"),
    ),
)

# The tables beside the curate line: bulk verdicts, and what post-training writes.
_OTHER = (
    TableSpec(
        "solutions",
        "One sample that is to be judged.",
        "verify_solutions",
        "task_id string, solution_sha256 string, sample string, shard int",
        key=("task_id", "solution_sha256"),
        partitions=SHARD,
    ),
    TableSpec(
        "verdicts",
        "What the sandbox said of one sample: verdict, reason, resources, CPU limit, and what "
        "weakened the isolation.",
        "verify_solutions",
        "task_id string, solution_sha256 string, verdict string, reason string, "
        "cpu_seconds double, wall_seconds double, max_rss_bytes long, cpu_limit_seconds double, "
        "weakened string, shard int",
        key=("task_id", "solution_sha256"),
        partitions=SHARD,
    ),
    TableSpec(
        "problems",
        "A problem that a stage draws, as the stage read it: prompt, solution, difficulty, and "
        "its row with the tests as JSON.",
        "rl.sft, rl.dpo, rl.grpo",
        "stage string, split string, task_id string, prompt string, code string, problem string, "
        "difficulty double",
        key=("stage", "split", "task_id"),
        partitions=("stage", "split"),
    ),
    TableSpec(
        "rollouts",
        "A judged sample: prompt, tokens, log-probabilities, verdict and reason, reward, "
        "advantage, and the version of the policy.",
        "rl.dpo, rl.grpo",
        "stage string, task_id string, prompt string, completion string, verdict string, "
        "reason string, step long, place long, policy long, reward double, advantage double, "
        "trains boolean, finished boolean, prompt_tokens array<long>, tokens array<long>, "
        "logprobs array<double>, turns long, masked_tokens long, ended string, "
        "spans array<long>, turn_rewards array<double>",
        added=("turns", "masked_tokens", "ended", "spans", "turn_rewards"),
        key=("stage", "step", "place"),
        partitions=("stage",),
    ),
    TableSpec(
        "pairs",
        "A response that is preferred to another, and why the other was rejected.",
        "rl.dpo",
        "task_id string, prompt string, chosen string, rejected string, verdict string, "
        "reason string, place long, prompt_tokens array<long>, chosen_tokens array<long>, "
        "rejected_tokens array<long>",
        key=("place",),
    ),
    TableSpec(
        "synthetic",
        "A snippet: the problem that it became, or the step where it ended and why.",
        "rl.synthesize",
        "task_id string, document_id string, content_sha256 string, language string, task string, "
        "prompt string, code string, topic string, step string, reason string, detail string, "
        "first_line long, last_line long, correctness long, rounds long, tokens_in long, "
        "tokens_out long, difficulty double, styles array<string>, test_list array<string>",
        key=("task_id",),
    ),
    TableSpec(
        "demonstrations",
        "A teacher's response to a problem, which is kept where the sandbox passed it, or why it "
        "is not.",
        "rl.distill",
        "task_id string, prompt string, response string, verdict string, reason string, "
        "detail string, problem string, place long, tokens long",
        key=("task_id", "place"),
    ),
)

CURATE_TABLES = tuple(spec.name for spec in _CURATE)
OTHER_TABLES = tuple(spec.name for spec in _OTHER)
TABLES: dict[str, TableSpec] = {spec.name: spec for spec in (*_CURATE, *_OTHER)}
