"""The recall: seeds, hard negatives, and the contents that the second round adds."""

from __future__ import annotations

import hashlib
import random
import re

import numpy as np
import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from spark_jobs import recall_quality
from spark_jobs.runtime.job import execute
from spark_jobs.runtime.store import Store
from tests.report import tiny

PATHS = [
    "graph",
    "node",
    "edge",
    "path",
    "shortest",
    "queue",
    "visited",
    "neighbour",
    "weight",
    "tree",
    "search",
]
HACKS = ["todo", "hack", "tmp", "foo", "xxx", "broken", "later"]
PAGES = [
    "button",
    "click",
    "color",
    "page",
    "window",
    "style",
    "layout",
    "mouse",
    "menu",
    "scroll",
    "header",
]


def text(draw, words, comment):
    lines = [
        f"{draw.choice(words)} = {draw.choice(words)}({draw.choice(words)})" for _ in range(12)
    ]
    return ("# about it\n" if comment else "") + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Commented files about graphs score high; some that nearly do are there to be found, and some
    that are hacked score low. Most files are about pages, a few of them well scored without a
    comment.
    """
    root, draw = tmp_path_factory.mktemp("recall"), random.Random(1)
    kinds = {
        "seed": (30, PATHS, 0.8, 0.2),
        "hidden": (10, PATHS, 0.65, 0.2),
        "low": (10, PATHS + HACKS, 0.2, 0.2),
        "page": (40, PAGES, 0.75, 0.0),
        "other": (200, PAGES, 0.4, 0.1),
    }
    tables: dict[str, list[dict]] = {
        name: [] for name in ("files", "contents", "clusters", "syntax", "scores")
    }
    kind_of = {}
    for number, kind in enumerate(
        kind for kind, (count, *_) in kinds.items() for _ in range(count)
    ):
        _, words, quality, comments = kinds[kind]
        body = text(draw, words, comments > 0)
        key = hashlib.sha256(f"{number}{body}".encode()).hexdigest()
        kind_of[key] = kind
        one = {"content_sha256": key, "shard": 0}
        tables["files"].append(
            {"doc_id": str(number), "content_sha256": key, "repo": f"r{number % 3}", "path": "p.py"}
        )
        tables["contents"].append({**one, "text": body, "bytes": len(body), "language": "Python"})
        tables["clusters"].append({**one, "cluster_id": key, "cluster_size": 1, "survivor": True})
        tables["syntax"].append({**one, "status": "ok", "comment_share": comments})
        tables["scores"].append({**one, "scorer": "s1", "quality": quality})
    for name, rows in tables.items():
        tiny.write_table(root, name, rows)
    tiny.write_json(root / "scorers/s1/scorer.json", {"kind": "structural", "version": "s1"})
    base = [f"output={root}", f"score.scorer={root}/scorers/s1", "recall.threshold=0.6"]
    return lambda *o: load(CurateConfig, None, [*base, *o]), kind_of, root


@pytest.mark.slow
def test_what_reads_like_the_seeds_is_found_unless_the_scorer_rates_it_low(spark, run):
    cfg, kind_of, root = run
    # The job is off by default.
    assert execute(recall_quality.JOB, cfg()) is None
    assert not Store(lambda: spark, str(root)).exists("recall")
    summary = execute(recall_quality.JOB, cfg("recall.rounds=2"))
    rows = Store(lambda: spark, str(root)).read("recall").collect()
    assert len(rows) == 290
    found: dict[str, list[bool]] = {}
    for row in rows:
        found.setdefault(kind_of[row["content_sha256"]], []).append(row["positive"])
    assert all(found["seed"])
    assert np.mean(found["hidden"]) >= 0.8
    assert not any(found["low"] + found["page"] + found["other"])
    assert summary.notes["positives"] == sum(row["positive"] for row in rows)
    assert {kind_of[row["content_sha256"]] for row in rows if row["seed"]} == {"seed"}
    assert execute(recall_quality.JOB, cfg("recall.rounds=2")) is None


def test_conditions_that_leave_too_few_seeds_are_told_with_their_figures(spark, run):
    cfg, _, _ = run
    with pytest.raises(SeedbedError, match=re.escape("0 contents have quality >= 0.95")):
        execute(recall_quality.JOB, cfg("recall.rounds=1", "recall.min_quality=0.95"))
