"""The job that fits and records a scorer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conf.loader import load
from conf.schema.curate import CurateConfig
from spark_jobs import fit_scorer
from spark_jobs.quality import scorers
from spark_jobs.quality.structural_scorer import quality_of, targets
from spark_jobs.runtime.job import execute
from spark_jobs.runtime.store import Store
from tests.report import tiny


def test_quality_is_near_zero_and_in_order_where_zero_is_the_likelier():
    assert targets(np.array([0.0, 6.5])).tolist()[0][0] == 1.0
    np.testing.assert_array_equal(targets(np.array([0.0, 6.5])), [[1.0, np.nan], [0.0, 0.65]])
    outputs = np.array([[1.2, 0.7], [0.8, 0.1], [0.51, 0.9], [0.5, 0.9], [-0.3, 1.4], [0.1, -0.2]])
    np.testing.assert_allclose(quality_of(outputs), [0.0, 0.02, 0.049, 0.9, 1.0, 0.0])


def corpus(spark, root, shards, count=130, repos=6):
    """`count` labelled contents in `repos` repositories: longer functions get better labels."""
    contents, labels, files = [], [], []
    # With several shards the rows also lie in another order.
    for i in list(range(count))[:: 1 if shards == 1 else -1]:
        text = f"def f{i}(x):\n" + f"    x = x + {i}\n" * (i % 10) + "    return x\n"
        key = f"{i:02x}" * 32
        one = {"content_sha256": key, "shard": i * shards >> 8}
        contents.append({**one, "text": text, "bytes": len(text), "language": "Python"})
        labels.append({**one, "oracle": "o", "score": float(i % 10), "zero_reason": ""})
        files.append({"doc_id": key, "content_sha256": key, "repo": f"repo{i % repos}"})
    store = Store(lambda: spark, str(root))
    for table, rows in (("contents", contents), ("labels", labels), ("files", files)):
        tiny.write_table(root, table, rows)
    return load(
        CurateConfig, None, [f"output={root}", f"shards={shards}", "labels.oracle=o"]
    ), store


@pytest.mark.slow
def test_a_fit_is_recorded_once_and_is_the_same_however_the_rows_lie(spark, tmp_path, capsys):
    cfg, store = corpus(spark, tmp_path / "one", 1)
    summary = execute(fit_scorer.JOB, cfg)
    assert "cross-validated over 6 repositories" in capsys.readouterr().out
    version = scorers.resolve_version(cfg, store)
    assert (
        version
        == summary.notes["scorer"]
        == json.loads((tmp_path / "one" / scorers.POINTER).read_text())["version"]
    )
    card = json.loads((tmp_path / "one/scorers" / version / "scorer.json").read_text())
    assert (card["kind"], card["labels"]["count"], card["labels"]["repositories"]) == (
        "structural",
        130,
        6,
    )
    figures = card["metrics"]
    assert figures["cross_validated"]["mae"] < 0.6 < figures["mean_of_labels"]["mae"]
    assert execute(fit_scorer.JOB, cfg) is None
    other, _ = corpus(spark, tmp_path / "two", 2)
    assert execute(fit_scorer.JOB, other).notes["scorer"] == version


def test_too_few_labels_fall_back_to_the_shipped_scorer_and_say_so(spark, tmp_path, capsys):
    cfg, store = corpus(spark, tmp_path, 1, count=20)
    summary = execute(fit_scorer.JOB, cfg)
    assert summary.notes["shipped"]
    assert "20 labels in 6 repositories (a fit needs 100 in 5)" in capsys.readouterr().out
    assert (
        scorers.resolve_version(cfg, store) == json.loads(fit_scorer.SHIPPED.read_text())["version"]
    )
