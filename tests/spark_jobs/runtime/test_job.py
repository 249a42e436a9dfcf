"""The job interface: resume, lineage, refusals and the summary, shown with two small jobs of the
tests' own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.job import CustomJob, ShardJob, Summary, TableJob, execute, main
from spark_jobs.runtime.store import TABLES, Store, shard_of

HASHES = [f"{i:x}" * 64 for i in range(16)]


def sign(due, ctx):
    rows = due.select(
        "content_sha256", F.lit(b"x").alias("signature"), F.lit(1).alias("shingles"), "shard"
    )
    if getattr(sign, "dies_on", None) is not None:
        doomed = F.raise_error(F.lit("killed")).cast("int")
        rows = rows.withColumn(
            "shingles", F.when(F.col("shard") == sign.dies_on, doomed).otherwise(1)
        )
    return rows


SIGN = ShardJob(
    "sign", "signatures", params=lambda ctx: {"num_perm": ctx.cfg.near.num_perm}, transform=sign
)
# the same in one commit, where shards do not matter
ONCE = replace(SIGN, at_once=100)


def cluster(ctx):
    signed = ctx.inputs["signatures"]
    yield "near_edges", ctx.store.read_or_empty("near_edges")
    # written, and readable, before the next is asked for
    assert ctx.inputs["near_edges"].count() == 0
    alone = [F.col("content_sha256").alias(name) for name in ("cluster_id", "component_id")]
    rows = signed.select("content_sha256", *alone, "shard")
    yield (
        "clusters",
        rows.withColumns(
            {"cluster_size": F.lit(1), "survivor": F.lit(True), "jaccard": F.lit(1.0)}
        ),
    )


CLUSTER = TableJob(
    "cluster",
    ("near_edges", "clusters"),
    params=lambda ctx: {"threshold": ctx.cfg.near.threshold},
    transform=cluster,
    reads=("signatures",),
    summarize=lambda ctx: Summary(
        "cluster", ctx.inputs["signatures"].count(), ctx.inputs["clusters"].count()
    ),
)


@pytest.fixture
def run(spark, tmp_path):
    """A run with 16 contents over 4 shards, and `job(JOB, overrides)` to execute on it."""
    cfg = load(CurateConfig, None, [f"output={tmp_path}", "shards=4"])
    store = Store(spark, str(tmp_path))
    add_contents(store, HASHES)
    sign.dies_on = None

    def job(one, *overrides):
        return execute(
            one, load(CurateConfig, None, [f"output={tmp_path}", "shards=4", *overrides])
        )

    return SimpleNamespace(cfg=cfg, store=store, job=job, path=tmp_path)


def add_contents(store, hashes):
    rows = store.spark.createDataFrame(
        [(h, "x", 1, "Python") for h in hashes],
        "content_sha256 string, text string, bytes long, language string",
    )
    store.append(
        "contents",
        rows.withColumn("shard", shard_of(F.col("content_sha256"), 4)),
        {"job": "test"},
        step="b",
    )


def test_shard_is_the_leading_bits_of_the_hash(spark):
    frame = spark.createDataFrame([(h,) for h in HASHES], "h string")
    got = [row[0] for row in frame.select(shard_of(F.col("h"), 4)).collect()]
    assert got == [i // 4 for i in range(16)]
    assert [r[0] for r in frame.select(shard_of(F.col("h"), 16)).collect()] == list(range(16))


@pytest.mark.parametrize(("stated", "partitions"), [(1, "2"), (6 << 30, "48"), (1 << 50, "32768")])
def test_shuffles_of_text_get_partitions_by_its_size_and_never_fewer_than_configured(
    run, stated, partitions
):
    """The sizes are those that `contents` states; the texts here are a letter each."""
    rows = run.store.read("contents").withColumn("bytes", F.lit(stated).cast("long") / len(HASHES))
    run.store.overwrite("contents", rows, {"job": "test"})
    key = "spark.sql.shuffle.partitions"
    before = run.store.spark.conf.get(key)
    try:
        run.store.spark.conf.set(key, "2")
        Context(run.cfg, run.store, Inputs(run.store)).size_shuffles()
        assert run.store.spark.conf.get(key) == partitions
    finally:
        run.store.spark.conf.set(key, before)


def test_a_shard_job_writes_one_row_a_content_and_then_has_nothing_to_do(run):
    summary = run.job(SIGN)
    assert (summary.rows_in, summary.rows_out) == (16, 16)
    version = run.store.last_commit("signatures").version
    assert run.job(SIGN) is None
    assert run.store.last_commit("signatures").version == version


def test_new_contents_cost_only_themselves(run):
    run.job(SIGN)
    add_contents(run.store, ["0a" * 32])
    summary = run.job(SIGN)
    assert (summary.rows_in, summary.rows_out) == (1, 1)
    assert run.store.read("signatures").count() == 17


def test_few_missing_rows_of_a_job_that_says_so_are_one_commit(run):
    """Sixteen in one, whatever their shards; a seventeenth in one of its own; one more than it
    says, shard by shard.
    """
    few = replace(SIGN, at_once=16)
    run.job(few)
    assert run.store.last_commit("signatures").version == 0
    add_contents(run.store, ["0a" * 32])
    assert run.job(few).rows_out == 1
    assert run.store.last_commit("signatures").version == 1
    assert run.store.read("signatures").select("content_sha256").distinct().count() == 17
    add_contents(run.store, [f"{i:x}" + "12" * 31 + "3" for i in range(16)])
    assert run.job(replace(few, at_once=15)).rows_out == 16
    assert run.store.last_commit("signatures").version == 5


def test_what_a_job_holds_is_gone_behind_it_and_what_a_killed_one_held_before_it(
    run, spark, tmp_path
):
    left = tmp_path / "curate/held/pairs/0"
    left.mkdir(parents=True)
    (left / "part-0.parquet").write_text("cut short by a kill")
    with Context(run.cfg, run.store, Inputs(run.store)).materialize("pairs") as hold:
        odd = hold(spark.range(9).filter("id % 2 = 1"), "odd")
        again = hold(odd.filter("id > 4"), "large")
        assert [row.id for row in again.collect()] == [5, 7]
        # a plan begins at what is held
        assert "Range" not in again._jdf.queryExecution().toString()
    assert not (tmp_path / "curate/held/pairs").exists()


def test_a_job_that_died_in_its_third_shard_goes_on_there(run):
    sign.dies_on = 2
    with pytest.raises(SeedbedError, match="killed"):
        run.job(SIGN)
    assert run.store.read("signatures").count() == 8
    sign.dies_on = None
    assert run.job(SIGN).rows_in == 8
    assert run.store.read("signatures").select("content_sha256").distinct().count() == 16


def test_two_writers_of_one_step_onto_one_version_leave_one_copy(run, monkeypatch):
    run.job(SIGN)
    add_contents(run.store, ["0b" * 32])
    before = run.store.last_commit("signatures")
    rows = sign(run.store.read("contents").filter(F.col("content_sha256") == "0b" * 32), None)
    monkeypatch.setattr(
        Store,
        "last_commit",
        lambda self, table, part=None: before,
        # both read the table before either wrote
    )
    run.store.append("signatures", rows, {}, step="shard-0")
    run.store.append("signatures", rows, {}, step="shard-0")
    monkeypatch.undo()
    assert run.store.read("signatures").filter(F.col("content_sha256") == "0b" * 32).count() == 1


def test_other_parameters_are_refused_with_both_sets_named(run):
    run.job(ONCE)
    with pytest.raises(SeedbedError) as caught:
        run.job(ONCE, "near.num_perm=300")
    assert "'num_perm': 256" in caught.value.problem
    assert "'num_perm': 300" in caught.value.problem
    assert "rebuild=[signatures]" in caught.value.fix


def test_rebuild_writes_the_table_anew(run):
    run.job(ONCE)
    assert run.job(ONCE, "near.num_perm=300", "rebuild=[signatures]").rows_out == 16
    assert run.store.read("signatures").count() == 16
    assert run.store.last_commit("signatures").lineage["params"] == {"num_perm": 300}


def test_a_table_job_runs_again_only_when_an_input_or_a_parameter_changed(run):
    run.job(ONCE)
    assert run.job(CLUSTER).tables["clusters"] == 0
    assert run.job(CLUSTER) is None
    assert run.job(CLUSTER, "near.threshold=0.9").tables["clusters"] == 1
    add_contents(run.store, ["0a" * 32])
    run.job(ONCE)
    assert run.job(CLUSTER, "near.threshold=0.9").rows_out == 17


def test_rows_of_another_part_do_not_make_a_reader_of_one_part_run_again(run):
    def scores(name):
        def rows(due, ctx):
            return due.select("content_sha256", "scorer", F.lit(0.5).alias("quality"), "shard")

        def due(ctx):
            return ctx.inputs["contents"].withColumn("scorer", F.lit(name))

        return ShardJob(
            "score",
            "scores",
            lambda ctx: {},
            rows,
            due=due,
            part=lambda ctx: {"scorer": name},
            at_once=100,
        )

    reader = replace(
        CLUSTER, reads=("signatures", "scores"), parts=lambda ctx: {"scores": {"scorer": "first"}}
    )
    run.job(ONCE)
    run.job(scores("first"))
    assert run.job(reader) is not None
    run.job(scores("second"))
    assert run.store.read("scores").count() == 32
    assert run.job(reader) is None
    add_contents(run.store, ["0d" * 32])
    run.job(scores("first"))
    assert run.job(reader) is not None


def test_commits_carry_job_code_parameters_and_input_versions(run):
    run.job(ONCE)
    run.job(CLUSTER)
    lineage = run.store.last_commit("clusters").lineage
    assert lineage["job"] == "cluster"
    assert lineage["params"] == {"threshold": 0.7}
    assert lineage["inputs"] == {"signatures": run.store.last_commit("signatures").version}
    assert lineage["code"]


def test_reads_stay_at_the_version_first_seen(run):
    inputs = Inputs(run.store)
    assert inputs["contents"].count() == 16
    add_contents(run.store, ["0c" * 32])
    assert inputs["contents"].count() == 16
    assert Context(run.cfg, run.store, Inputs(run.store)).inputs["contents"].count() == 17


def test_a_missing_table_and_a_missing_column_are_named(run, spark):
    with pytest.raises(SeedbedError, match="table clusters does not exist"):
        run.store.read("clusters")
    spark.range(3).write.format("delta").save(run.store.path("syntax"))
    with pytest.raises(SeedbedError, match="lacks column 'content_sha256'"):
        run.store.read("syntax")


def test_a_column_of_another_type_is_named(run, spark):
    columns = ["content_sha256 string", "score string"]
    frame = spark.createDataFrame([("a", "b")], ", ".join(columns))
    rest = [f for f in TABLES["labels"].schema.fields if f.name not in ("content_sha256", "score")]
    frame.select("*", *[F.lit(None).cast(f.dataType).alias(f.name) for f in rest]).write.format(
        "delta"
    ).save(run.store.path("labels"))
    with pytest.raises(SeedbedError, match="column score is string, must be double"):
        run.store.read("labels")


def test_each_run_leaves_its_figures_for_the_report(run):
    run.job(SIGN)
    record = json.loads((run.path / "curate/metrics.jsonl").read_text())
    assert (record["job"], record["rows_in"], record["tables"]) == ("sign", 16, {"signatures": 3})


def test_dry_run_prints_the_config_and_touches_nothing(tmp_path, capsys):
    assert main(SIGN, [f"output={tmp_path / 'new'}", "--dry-run"]) == 0
    assert "reads contents; writes signatures" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_a_job_without_output_says_so():
    with pytest.raises(SeedbedError, match="output is empty"):
        main(SIGN, [])


@pytest.mark.parametrize(
    "error", [Py4JNetworkError("Answer from Java side is empty"), ConnectionRefusedError(111, "x")]
)
def test_a_jvm_that_has_ended_is_an_error_with_a_fix(run, error):
    """What a call to it raises, and what every call after that does."""

    def ended(ctx):
        raise error

    with pytest.raises(
        SeedbedError, match=r"broken: Spark's JVM has ended\n  fix: read DIR/curate/spark\.log"
    ):
        run.job(CustomJob("broken", writes=(), run=ended))


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (
            lambda jvm: jvm.java.nio.ByteBuffer.allocate(2**31 - 1),
            "broken: a JVM ran out of memory\n  fix: raise spark.driver_memory",
        ),
        (
            lambda jvm: jvm.java.util.Optional.empty().get(),
            "broken failed in Spark: java.util.NoSuchElementException: No value present",
        ),
    ],
)
def test_what_the_jvm_raises_is_told_in_its_own_words(run, fails, told):
    job = CustomJob("broken", writes=(), run=lambda ctx: fails(ctx.spark._jvm))
    with pytest.raises(SeedbedError) as caught:
        run.job(job)
    assert str(caught.value).startswith(told)
