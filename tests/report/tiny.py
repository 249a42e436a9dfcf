"""A tiny finished run, written without Spark: eight files of two repositories, and every metric.

One of the files has a hostile name and hostile text.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from conf.loader import to_dict
from conf.schema.curate import SelectSettings
from seedbed.tables.arrow import arrow_schema

HOSTILE_NAME = "</code><script>alert('name')</script>.py"
HOSTILE_TEXT = 'x = "</pre><script>alert(1)</script>" # \u202e reversed\n' * 12
SCORER = "structural-00000000"
# What `decisions` was written by.
POLICY = {**to_dict(SelectSettings()), "scorer": SCORER, "benchmarks": []}

BODY = "".join(f"def function_{i}(value):\n    return value + {i}\n\n\n" for i in range(12))
TEXTS = {
    "first/a.py": BODY,
    # a near duplicate of a.py
    "first/b.py": BODY.replace("value + 3", "value * 3"),
    "first/c.py": "import os\n" * 40,
    f"first/{HOSTILE_NAME}": HOSTILE_TEXT,
    "second/d.js": "export const one = 1;\n" * 30,
    "second/e.css": "body { color: red; }\n" * 30,
    # an exact copy
    "second/copy_of_c.py": "import os\n" * 40,
}
DROPPED = {"second/empty.py": "empty"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_table(
    root: Path, name: str, rows: list[dict[str, Any]], lineage: dict[str, Any] | None = None
) -> None:
    """`rows` as table `name` with its declared columns; what a row does not give is null."""
    metadata = CommitProperties(
        custom_metadata={"userMetadata": json.dumps(lineage or {"job": "test", "inputs": {}})}
    )
    table = pa.Table.from_pylist(rows, schema=arrow_schema(name))
    write_deltalake(
        str(root / "tables" / name), table, mode="overwrite", commit_properties=metadata
    )


def write_ingested(root: Path) -> None:
    """files, repos and contents: what a run that stopped after ingest leaves."""
    files = [
        {
            "doc_id": f"{i:02}", "source": "archives", "revision": "1.0",
            "repo": repo_of(path), "path": inner(path),
            "language": language_of(path), "license": "MIT" if path.startswith("first") else None,
            "bytes": len(TEXTS.get(path, "").encode()),
            "content_sha256": sha(TEXTS[path]) if path in TEXTS else None,
            "drop_reason": DROPPED.get(path),
        }
        for i, path in enumerate([*TEXTS, *DROPPED])
    ]  # fmt: skip
    write_table(root, "files", files)
    contents = [
        {
            "content_sha256": sha(text),
            "text": text,
            "bytes": len(text.encode()),
            "language": language_of(path),
            "shard": 0,
        }
        for path, text in TEXTS.items()
        if path != "second/copy_of_c.py"
    ]
    write_table(root, "contents", contents)


def write_clusters(root: Path) -> None:
    a, b = sorted((sha(TEXTS["first/a.py"]), sha(TEXTS["first/b.py"])))
    edge = {"a": a, "b": b, "band": 3, "jaccard": 0.82, "jaccard_estimate": 0.8}
    lineage = {"job": "cluster_near_dups", "params": {"threshold": 0.7, "shingle": 5}, "inputs": {}}
    write_table(root, "near_edges", [edge], lineage)
    rows = [
        {
            "content_sha256": one,
            "cluster_id": a if one in (a, b) else one,
            "cluster_size": 2 if one in (a, b) else 1,
            "survivor": one != b,
            "jaccard": 0.82 if one == b else 1.0,
            "component_id": a if one in (a, b) else one,
            "shard": 0,
        }
        for one in distinct()
    ]
    write_table(root, "clusters", rows, lineage)


def write_verdicts(root: Path) -> None:
    """syntax to documents: d.js and e.css are below the cut, b.py or a.py is a near duplicate."""
    js, css, copy = (
        sha(TEXTS["second/d.js"]),
        sha(TEXTS["second/e.css"]),
        max(sha(TEXTS["first/a.py"]), sha(TEXTS["first/b.py"])),
    )
    low = {js: 0.05, css: 0.1}
    quality = {one: low.get(one, 0.4 + i / 20) for i, one in enumerate(distinct())}
    syntax = [
        {
            "content_sha256": one, "parser": "p", "status": "ok", "has_error": one == css,
            "error_share": 0.01 if one == css else 0.0, "functions": 1, "classes": 0,
            "comment_share": 0.0, "lines": 30,
            "max_line": 20, "mean_line": 10.0, "shard": 0,
        }
        for one in distinct()
    ]  # fmt: skip
    write_table(root, "syntax", syntax)
    labels = [
        {"content_sha256": one, "oracle": "o", "score": 10 * q, "shard": 0}
        for one, q in quality.items()
    ]
    write_table(root, "labels", labels)
    scores = [
        {"content_sha256": one, "scorer": SCORER, "quality": q, "shard": 0}
        for one, q in quality.items()
    ]
    write_table(root, "scores", scores)
    write_table(root, "contamination", [])
    reasons = {one: ("low_quality", f"quality {low[one]:.4f} <= cut 0.1000") for one in low}
    reasons[copy] = ("duplicate_near", "cluster")
    decisions = [
        dict(
            zip(
                ("content_sha256", "reason", "detail", "shard"),
                (one, *reasons.get(one, (None, None)), 0),
                strict=True,
            )
        )
        for one in distinct()
    ]
    lineage = {"job": "select_documents", "params": POLICY, "inputs": {"files": 0}}
    write_table(root, "decisions", decisions, lineage)
    documents = [
        {
            "document_id": sha(one), "category": "file",
            "parts": [{"path": inner(path), "content_sha256": one}],
            "language": language_of(path), "license": "MIT", "repo": repo_of(path),
            "quality": quality[one], "split": "val" if path.startswith("second") else "train",
            "epochs": 1, "bytes": len(TEXTS[path]),
        }
        for path, one in places().items()
        if one not in reasons
    ]  # fmt: skip
    write_table(root, "documents", documents, lineage)


def write_tokens(root: Path) -> None:
    documents = sorted(
        sha(one)
        for path, one in places().items()
        if path in ("first/c.py", f"first/{HOSTILE_NAME}")
    )
    rows = [
        {
            "document_id": document, "epoch": 0, "split": "train",
            "shard_file": "train-00000.bin", "document_number": i,
            "offset": 4 * i, "tokens": 4,
        }
        for i, document in enumerate(documents)
    ]  # fmt: skip
    write_table(root, "token_index", rows, {"job": "pack_tokens", "inputs": {"documents": 0}})
    (root / "tokens").mkdir()
    # One of the two documents fills a middle.
    np.array([5, 6, 7, 0, 3, 6, 7, 0], np.uint16).tofile(root / "tokens" / "train-00000.bin")
    tokenizer = {"vocab_size": 300, "eod": 0, "special_tokens": {"<[fim-middle]>": 3}}
    shards = [{"split": "train", "prefix": "train-00000", "tokens": 8, "documents": 2}]
    write_json(
        root / "tokens/manifest.json", {"dtype": "uint16", "tokenizer": tokenizer, "shards": shards}
    )


def write_training(root: Path) -> None:
    """Metrics and samples of pretraining, the scorers, SFT, GRPO and the demo."""
    pretrain = [
        {
            "step": i, "loss": 5.0 / i, "val_loss": 5.5 / i if i % 5 == 0 else None, "lr": 1e-3,
            "grad_norm": 1.0,
            "tokens": i * 64, "tokens_per_s": 1000.0, "seconds": 0.1,
        }
        for i in range(1, 11)
    ]  # fmt: skip
    write_lines(root / "pretrain/metrics.jsonl", pretrain)
    samples = [
        {"step": step, "completions": [{"prompt": "def f(", "completion": text}]}
        for step, text in ((0, "<b>noise</b>"), (10, "x):"))
    ]
    write_json(root / "pretrain/samples.json", samples)
    measured = {
        "files": 6,
        "mae": 1.25,
        "cmae": 1.5,
        "spearman": 0.8,
        "within_1": 0.5,
        "zero_recall": 0.0,
    }
    card = {
        "kind": "structural",
        "version": SCORER,
        "metrics": {"cross_validated": measured, "by_language": {}},
    }
    curve = [[1.0, 0.5, 10], [6.0, 6.5, 10]]
    card["metrics"]["by_language"] = {
        "Python": measured | {"files": 20, "calibration": curve},
        "C": measured,
    }
    write_json(root / f"scorers/{SCORER}/scorer.json", card)
    card = {
        "kind": "language_model",
        "version": "language_model-1",
        "mae": 1.4,
        "mae_of_the_mean": 2.0,
        "spearman": 0.5,
    }
    write_json(root / "scorers/language_model/scorer.json", card)
    sft = [
        {"step": i, "loss": 3.0 / i, "lr": 1e-3, "heldout_loss": 0.9 if i == 4 else None}
        for i in range(1, 5)
    ]
    write_lines(root / "rl/sft/metrics.jsonl", sft)
    dpo = [
        {"step": i, "loss": 0.6931 / i, "margin": 0.1 * i - 0.1, "accuracy": 0.5}
        for i in range(1, 4)
    ]
    write_lines(root / "rl/dpo/metrics.jsonl", dpo)
    pair = {
        "prompt": "Write <f>.",
        "chosen": "return right",
        "rejected": "return wrong",
        "reason": "fail, <why>",
    }
    write_lines(root / "rl/dpo/pairs.jsonl", [pair])
    shares = {"pass": 0.25, "wrong": 0.5, "error": 0.25, "timeout": 0.0, "infrastructure": 0.0}
    grpo = [{"step": 0, "heldout_reward": 0.1, "shares": shares}]
    grpo += [
        {
            "step": i, "reward": 0.2 * i, "heldout_reward": 0.5 if i == 3 else None,
            "shares": shares, "groups": 4,
            "groups_with_signal": 2, "response_tokens": 9.5,
        }
        for i in range(1, 4)
    ]  # fmt: skip
    write_lines(root / "rl/grpo/metrics.jsonl", grpo)
    for name, verdict, completion in (
        ("sft", "fail", "return wrong"),
        ("grpo", "pass", "return right"),
    ):
        samples = [{"completion": completion, "verdict": verdict, "reason": ""}]
        items = [{"task_id": "t/1", "prompt": "Write <f>.", "reference": "", "samples": samples}]
        passed = {"pass@1": float(verdict == "pass")}
        result = {
            "samples": 1,
            "temperature": 0.6,
            "pass_at": passed,
            "shares": shares,
            "items": items,
        }
        write_json(root / f"rl/eval_{name}.json", {**result, "reward": passed["pass@1"]})
    stages = [{"name": "curate", "command": ["python"], "seconds": 61.0, "expected_seconds": 60}]
    write_json(root / "demo/stages.json", stages)
    write_json(
        root / "demo/results.json",
        [{"what": "funnel.seen", "expected": "8", "obtained": "8", "ok": True}],
    )
    rounds = [
        {
            "round": f"round-{k}", "selected_by": SCORER, "documents": 3, "train_tokens": 8,
            "mix": {"Python": 1.0},
            "licenses": {"MIT": 1.0}, "bits_per_byte": 2.5 - k / 10, "label_mae": 1.4,
        }
        for k in range(2)
    ]  # fmt: skip
    write_json(root / "rounds.json", rounds)
    job = {
        "job": "ingest",
        "rows_in": 8,
        "rows_out": 6,
        "dropped": {},
        "bytes_in": 4000,
        "seconds": 1.5,
    }
    write_lines(root / "curate/metrics.jsonl", [job])


def write_run(root: Path) -> Path:
    """All of it."""
    for write in (write_ingested, write_clusters, write_verdicts, write_tokens, write_training):
        write(root)
    return root


def repo_of(path: str) -> str:
    return path.split("/")[0]


def inner(path: str) -> str:
    return path.split("/", 1)[1]


def language_of(path: str) -> str:
    return {"py": "Python", "js": "JavaScript", "css": "CSS"}[path.rsplit(".", 1)[1]]


def places() -> dict[str, str]:
    """path -> sha256 of the contents, each at its first path."""
    first: dict[str, str] = {}
    for path, text in TEXTS.items():
        if sha(text) not in first.values():
            first[path] = sha(text)
    return first


def distinct() -> list[str]:
    return sorted(places().values())


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
