"""whatif answers from the tables what select_documents would write, for every kind of cut."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from seedbed import benchmarks
from seedbed.queries import whatif
from seedbed.queries.whatif import Cut
from seedbed.tables import reasons
from seedbed.tables.reader import DeltaReader
from spark_jobs import select_documents
from spark_jobs.runtime.job import execute
from tests.report import tiny

SIZE = 80
# what select_documents reads
NAMES = ("files", "contents", "clusters", "syntax", "scores", "contamination")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """80 contents that break every rule in every order, with ties among their scores."""
    root = tmp_path_factory.mktemp("whatif")
    draw = random.Random(3)
    keys = [hashlib.sha256(f"content {i}".encode()).hexdigest() for i in range(SIZE)]
    benchmark = benchmarks.identity("humaneval")
    tables: dict[str, list[dict]] = {name: [] for name in NAMES}
    for i, key in enumerate(keys):
        one = {"content_sha256": key, "shard": 0}
        language = draw.choice(["Python", "C", "PHP", None])
        size = draw.choice([10, 100, 1000])
        licence = draw.choice(["MIT", "GPL-3.0-only", None])
        survivor = draw.random() > 0.2
        place = {
            "repo": f"r{i % 7}",
            "path": f"{i}.py",
            "license": licence,
            "bytes": size,
            "language": language,
        }
        tables["files"].append(
            {"doc_id": f"{i:03}", "content_sha256": key, "drop_reason": None, **place}
        )
        tables["contents"].append({**one, "text": "x" * size, "bytes": size, "language": language})
        tables["clusters"].append(
            {**one, "cluster_id": key, "cluster_size": 1, "survivor": survivor}
        )
        status = draw.choice(["ok", "ok", "ok", "no_parser", "timeout"])
        tables["syntax"].append(
            {**one, "status": status, "error_share": draw.choice([0.0, 0.01, 0.5])}
        )
        tables["scores"].append(
            {
                **one,
                "scorer": "s1",
                "quality": draw.choice([0.0, 0.2, 0.25, 0.25, 0.6, draw.random()]),
            }
        )
        item = draw.choice([None, None, None, "HumanEval/1"])
        tables["contamination"].append(
            {**one, "benchmark": benchmark, "item": item, "ngram": item and "a b"}
        )
    for name, rows in tables.items():
        tiny.write_table(root, name, rows)
    tiny.write_json(root / "scorers/s1/scorer.json", {"kind": "structural", "version": "s1"})
    return root


def select(spark, root, *overrides):
    base = [
        f"output={root}",
        f"score.scorer={root}/scorers/s1",
        "select.licenses_denied=[gpl-3.0-only]",
    ]
    execute(
        select_documents.JOB,
        load(CurateConfig, None, [*base, "select.languages_denied=[PHP]", *overrides]),
    )
    return DeltaReader(str(root))


def kept(db):
    return {row["k"] for row in db.sql("SELECT content_sha256 AS k FROM ranked WHERE kept")}


@pytest.mark.slow
def test_it_keeps_what_select_documents_keeps(spark, run):
    """Each cut is foretold from the tables that the one before it left, so the policy in force
    never is the one asked for.
    """
    cuts = [
        (
            Cut(share=0.2, threshold=0.1, per="language", threshold_of={"C": 0.5}),
            [
                "select.drop_lowest=0.2",
                "select.cut_per=language",
                "select.min_quality=0.1",
                "select.min_quality_of.C=0.5",
            ],
        ),
        (Cut(share=0.15), ["select.drop_lowest=0.15"]),
    ]
    db = select(spark, run, "select.drop_lowest=0")
    for cut, overrides in cuts:
        whatif.rank(db, cut)
        foretold = kept(db)
        db = select(spark, run, *overrides)
        written = {
            row["k"]
            for row in db.sql("SELECT content_sha256 AS k FROM decisions WHERE reason IS NULL")
        }
        assert foretold == written, cut
        assert 0 < len(written) < SIZE
        counts = {
            row["reason"]: row["n"]
            for row in db.sql("SELECT reason, count(*) AS n FROM decisions GROUP BY 1")
        }
        told = whatif.what_if(db, cut)
        assert (told.kept, told.kept_now) == (counts.pop(None),) * 2
        assert told.reasons == counts
        details = "SELECT content_sha256 AS k, detail FROM {} WHERE reason = ANY($names) ORDER BY 1"
        names = {"names": list(told.reasons)[2:]}
        assert db.sql(details.format("ranked"), names) == db.sql(details.format("decisions"), names)
    assert set(counts) == set(reasons.names()) - {"duplicate_repository"}
    answer = str(whatif.what_if(db, Cut(share=0.15)))
    totals = {
        line[:16].strip(): int(line[16:28].replace(",", "")) for line in answer.splitlines()[2:7]
    }
    assert (
        totals["candidates"] == totals["below the cut"] + totals["other reasons"] + totals["kept"]
    )
    assert totals["kept"] == totals["kept now"] == len(written)
    shown = [float(line.split()[0]) for line in answer.splitlines() if line.startswith("  0.")]
    assert shown == sorted(shown)
    assert len(shown) == min(totals["below the cut"], 10) + 10
    assert "select.drop_lowest=0.15 select.cut_per=all" in answer
    with pytest.raises(SeedbedError, match="candidates have no score by s2") as error:
        whatif.what_if(db, Cut(), "s2")
    assert "give one of: s1" in error.value.fix
    code = (
        "import sys; from seedbed.queries import whatif; "
        f"whatif.main(['output={run}']); sys.exit('pyspark' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
        == 0
    )


def test_before_the_first_selection_it_says_what_to_run(tmp_path):
    tiny.write_ingested(tmp_path)
    with pytest.raises(SeedbedError, match="needs table scores"):
        whatif.what_if(DeltaReader(str(tmp_path)), Cut())


@pytest.mark.parametrize(
    "words",
    [
        ["--cut", "1.5"],
        ["cut=1.5"],
        ["--threshold-of", "Python"],
        ["threshold_of=Python"],
        ["--threshold-of", "C=7"],
    ],
)
def test_a_cut_that_is_none_is_refused(words):
    with pytest.raises(SeedbedError):
        whatif.main(["output=x", *words])


def test_settings_are_given_as_key_and_value_or_as_flags(finished, capsys):
    answers = []
    for words in (["cut=0.4", "per=language"], ["--cut", "0.4", "--per", "language"]):
        whatif.main([f"output={finished}", *words])
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]
    assert "drop the lowest 40.0% of each language" in answers[0]


def test_decisions_of_an_earlier_version_are_refused_by_the_setting_they_lack(tmp_path):
    tiny.write_run(tmp_path)
    tiny.write_table(tmp_path, "decisions", [], {"params": {"scorer": "s", "epochs": 1}})
    with pytest.raises(SeedbedError, match="does not say by which dedup it was written"):
        whatif.what_if(DeltaReader(str(tmp_path)), Cut())
