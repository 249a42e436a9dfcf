"""The audit on runs whose faults are known: it must find them, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conf.errors import SeedbedError
from seedbed.queries.audit import audit, precision, recall
from seedbed.tables.reader import DeltaReader
from spark_jobs.__main__ import main
from tests.report import tiny

PARAMS = {"threshold": 0.7, "shingle": 5}
FAMILIES = 40


def texts() -> list[list[str]]:
    """Families of a text and a copy with one word in 200 changed (J about 0.95)."""
    generator = np.random.default_rng(0)
    families = []
    for _ in range(FAMILIES):
        words = [f"w{i}" for i in generator.integers(0, 10**6, 200)]
        families.append([" ".join(words), " ".join([*words[:100], "changed", *words[101:]])])
    return families


def write(
    root: Path, clusters: list[tuple[list[str], float]], lineage: dict | None = None
) -> DeltaReader:
    """contents and clusters; each cluster is its texts, the survivor first, and the similarity that
    its copies claim.
    """
    contents, rows = [], []
    for members, claimed in clusters:
        shas = [tiny.sha(text) for text in members]
        for i, (text, sha) in enumerate(zip(members, shas, strict=True)):
            contents.append(
                {
                    "content_sha256": sha,
                    "text": text,
                    "bytes": len(text),
                    "language": "Python",
                    "shard": 0,
                }
            )
            rows.append(
                {
                    "content_sha256": sha, "cluster_id": min(shas),
                    "cluster_size": len(shas), "survivor": i == 0,
                    "jaccard": claimed if i else 1.0, "component_id": min(shas), "shard": 0,
                }
            )  # fmt: skip
    tiny.write_table(root, "contents", contents)
    tiny.write_table(
        root,
        "clusters",
        rows,
        lineage or {"job": "cluster_near_dups", "params": PARAMS, "inputs": {}},
    )
    return DeltaReader(str(root), ("contents", "clusters"))


def test_a_sound_run_has_nothing_to_answer_for(tmp_path):
    write(tmp_path, [(family, 0.95) for family in texts()])
    text = audit(str(tmp_path), sample=400, pool=1000)
    result = json.loads((tmp_path / "curate/audit.json").read_text())
    assert result["precision"]["dropped"]["all"]["value"] == 1
    assert result["precision"]["dropped"]["all"]["n"] == FAMILIES
    # Wilson at n = 40
    assert 0.9 < result["precision"]["dropped"]["all"]["low"] < 0.95
    assert result["recall"]["resolved"]["value"] == result["recall"]["together"]["value"] == 1
    assert result["recall"]["near_duplicate_pairs"] == 2 * FAMILIES
    assert "1.0000  [0.9124, 1.0000]  n=40" in text


def test_false_merges_lower_the_precision_by_their_share(tmp_path):
    families = texts()
    merged = [([families[i][0], families[i + 1][0]], 0.95) for i in range(0, 10, 2)]
    db = write(tmp_path, [*merged, *((family, 0.95) for family in families[10:])])
    found = precision(db, 400, PARAMS)
    assert found["dropped"]["all"]["value"] == pytest.approx(30 / 35)
    assert found["dropped"]["similarity 0.9-1"]["n"] == 35


def test_missed_pairs_lower_the_recall_by_their_share(tmp_path):
    families = texts()
    apart = [([text], 1.0) for family in families[:8] for text in family]
    db = write(tmp_path, [*apart, *((family, 0.95) for family in families[8:])])
    found = recall(db, 400, 1000, PARAMS)
    assert found["resolved"]["value"] == pytest.approx(32 / 40)
    assert found["together"]["value"] == pytest.approx(32 / 40)


def test_two_dropped_near_duplicates_in_clusters_of_their_own_are_resolved_but_not_together(
    tmp_path,
):
    (a, b), (c, _), *others = texts()
    db = write(tmp_path, [([c, a], 0.75), ([b], 1.0), *((family, 0.95) for family in others)])
    found = recall(db, 400, 1000, PARAMS)
    assert found["resolved"]["value"] == 1
    assert found["together"]["value"] < 1


def test_strata_are_weighed_by_what_they_hold(tmp_path):
    """One merge in a large false cluster, many pairs: an even draw a stratum must not make the
    cluster count for half.
    """
    families = texts()
    # 7 dropped of 39
    wrong = ([f[0] for f in families[:8]], 0.75)
    db = write(tmp_path, [wrong, *((family, 0.95) for family in families[8:])])
    found = precision(db, 10, PARAMS)["dropped"]["all"]
    # the false cluster gives five, the rest its part of ten
    assert found["n"] == 5 + 9
    assert found["value"] == pytest.approx(32 / 39)


def test_the_same_tables_give_the_same_audit(tmp_path, capsys):
    write(tmp_path, [(family, 0.95) for family in texts()])
    main(["audit", f"output={tmp_path}", "sample=15", "pool=50"])
    first = capsys.readouterr().out
    main(["audit", f"output={tmp_path}", "sample=15", "pool=50"])
    assert capsys.readouterr().out == first
    assert "against 50," in first


def test_a_run_without_any_duplicate_is_audited_too(tmp_path):
    write(tmp_path, [([family[0]], 1.0) for family in texts()])
    text = audit(str(tmp_path), sample=10, pool=100)
    assert text.count("nothing to sample") == 4


def test_what_cannot_be_audited_is_refused_with_what_is_missing(tmp_path):
    tiny.write_ingested(tmp_path)
    with pytest.raises(SeedbedError, match="the audit needs table clusters"):
        audit(str(tmp_path), 10, 100)
    write(tmp_path, [(family, 0.95) for family in texts()], {"job": "other", "params": {}})
    with pytest.raises(SeedbedError, match="does not say with which threshold"):
        audit(str(tmp_path), 10, 100)
    with pytest.raises(SeedbedError, match="sample=many is not a number"):
        main(["audit", f"output={tmp_path}", "sample=many"])
