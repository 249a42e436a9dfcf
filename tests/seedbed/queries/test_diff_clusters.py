"""Survivor flips between two versions of `clusters`."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from spark_jobs.__main__ import main
from tests.report import tiny

SHAS = [letter * 64 for letter in "abcd"]


def write(root, clusters: dict[str, str]) -> None:
    """Member -> survivor."""
    rows = [
        {
            "content_sha256": sha, "cluster_id": keeper, "component_id": keeper, "shard": 0,
            "cluster_size": list(clusters.values()).count(keeper), "survivor": sha == keeper,
            "jaccard": 1.0 if sha == keeper else 0.8,
        }
        for sha, keeper in clusters.items()
    ]  # fmt: skip
    tiny.write_table(root, "clusters", rows)


def test_flips_are_told_one_by_one(tmp_path, capsys):
    a, b, c, d = SHAS
    tiny.write_table(
        tmp_path, "files", [{"doc_id": s, "content_sha256": s, "path": f"{s[0]}.py"} for s in SHAS]
    )
    write(tmp_path, {a: a, b: a, c: c})
    write(tmp_path, {a: d, b: b, c: c, d: d})
    main(["diff", f"output={tmp_path}"])
    assert capsys.readouterr().out.splitlines() == [
        "clusters@0 -> clusters@1: 1 contents came, 0 left; survivors 2 -> 3",
        "1 survivors gave way, 1 dropped contents survive now",
        f"  - {a[:12]} a.py  now a copy of {d[:12]} (0.800)",
        f"  + {b[:12]} b.py",
    ]
    main(["diff", f"output={tmp_path}", "from=1", "to=1"])
    assert "0 survivors gave way, 0 dropped" in capsys.readouterr().out


def test_one_version_has_nothing_to_be_compared_with(tmp_path):
    write(tmp_path, {SHAS[0]: SHAS[0]})
    with pytest.raises(SeedbedError, match="no two versions to compare"):
        main(["diff", f"output={tmp_path}"])
