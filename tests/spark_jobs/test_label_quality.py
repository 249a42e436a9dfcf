"""The rules of the label file, its join with contents, and the card of the shipped labels."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig, LabelSettings
from seedbed.kernels.models.agreement import agreement
from spark_jobs.label_quality import JOB
from spark_jobs.quality import label_file
from spark_jobs.runtime.job import execute
from spark_jobs.runtime.store import Store
from tests.report import tiny

HASHES = [f"{i:x}" * 64 for i in range(4)]
GOOD = {
    "sha256": HASHES[0],
    "score": 6.5,
    "readability": 7,
    "modularity": 6,
    "clarity": 6,
    "reusability": 5,
    "zero": "",
}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": HASHES[1].upper().replace("1", "A")}, "64 lower-case hex"),
        ({"sha256": "ab"}, "64 lower-case hex"),
        ({"score": 10.5}, "score=10.5 is not a number from 0 to 10"),
        ({"score": None}, "score=None"),
        ({"score": True}, "score=True"),
        ({"clarity": "5"}, "clarity='5'"),
        ({"zero": "boring"}, "zero='boring' is unknown"),
        ({"zero": "data"}, "score=6.5 beside zero='data'"),
        ({"second_score": -1}, "second_score=-1"),
        ({"sha256": HASHES[0]}, "has a label already, on line 1"),
    ],
)
def test_a_line_that_breaks_a_rule_is_refused_with_its_place(tmp_path, change, message):
    path = write(tmp_path / "labels.jsonl", GOOD, {**GOOD, "sha256": HASHES[1], **change})
    with pytest.raises(SeedbedError, match=r"labels\.jsonl:2: ") as error:
        label_file.read(path)
    assert message in error.value.problem


@pytest.mark.parametrize(("line", "message"), [("{", "is not JSON"), ("[1]", "is no JSON object")])
def test_a_line_that_is_no_object_is_refused(tmp_path, line, message):
    (tmp_path / "labels.jsonl").write_text(line + "\n")
    with pytest.raises(SeedbedError, match=rf"labels\.jsonl:1 {message}"):
        label_file.read(str(tmp_path / "labels.jsonl"))


def test_a_missing_file_is_named_and_the_shipped_one_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert label_file.locate(LabelSettings().path).is_file()
    with pytest.raises(SeedbedError, match=r"labels\.path=nowhere\.jsonl does not exist"):
        label_file.read("nowhere.jsonl")


def test_the_shipped_labels_are_what_their_card_says():
    labels = label_file.read(LabelSettings().path)
    assert Counter(label["zero_reason"] for label in labels) == {
        "": 523, "generated": 86, "nologic": 45, "data": 44, "config": 13,
    }  # fmt: skip
    assert all((label["score"] == 0) == bool(label["zero_reason"]) for label in labels)
    twice = [label for label in labels if label["second_score"] is not None]
    first, second = (
        np.array([label[name] for label in twice]) for name in ("score", "second_score")
    )
    assert agreement(first, second) == {
        "files": 96,
        "mae": 0.3958,
        "cmae": 0.5231,
        "spearman": 0.963,
        "within_1": 0.9479,
        "zero_recall": 0.9259,
    }


def test_labels_land_on_the_contents_they_were_given_for(spark, tmp_path):
    store = Store(lambda: spark, str(tmp_path))
    content = {"text": "x", "bytes": 1, "language": "C", "shard": 0}
    tiny.write_table(tmp_path, "contents", [{"content_sha256": h, **content} for h in HASHES[:2]])
    zero = {
        **GOOD,
        "sha256": HASHES[1],
        "score": 0,
        "zero": "data",
        "second_score": 1.5,
        "second_zero": "",
        "path": "p",
    }
    path = write(tmp_path / "labels.jsonl", GOOD, zero, {**GOOD, "sha256": HASHES[2]})
    cfg = load(CurateConfig, None, [f"output={tmp_path}", f"labels.path={path}", "labels.oracle=o"])
    summary = execute(JOB, cfg)
    assert (summary.rows_in, summary.rows_out) == (2, 2)
    got = [tuple(row) for row in store.read("labels").orderBy("content_sha256").collect()]
    assert got == [
        (HASHES[0], "o", 6.5, 7.0, 6.0, 6.0, 5.0, "", None, None, None, 0),
        (HASHES[1], "o", 0.0, 7.0, 6.0, 6.0, 5.0, "data", 1.5, None, None, 0),
    ]
    assert execute(JOB, cfg) is None
    write(tmp_path / "labels.jsonl", {**GOOD, "score": 9})
    with pytest.raises(SeedbedError, match="rows of two parameter sets must not mix"):
        execute(JOB, cfg)
    again = [f"output={tmp_path}", f"labels.path={path}"]
    # Rows of another name stand beside those of the first.
    assert execute(JOB, load(CurateConfig, None, [*again, "labels.oracle=other"]))
    assert execute(JOB, load(CurateConfig, None, [*again, "labels.oracle=o", "rebuild=[labels]"]))
    assert {(row["oracle"], row["score"]) for row in store.read("labels").collect()} == {
        ("o", 9.0),
        ("other", 9.0),
    }
