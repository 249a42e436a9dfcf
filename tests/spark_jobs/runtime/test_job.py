"""The job interface: resume, lineage, refusals and the summary, shown with two small jobs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from spark_jobs.runtime.job import ShardJob, Summary, TableJob, main
from spark_jobs.runtime.store import Store
from tests.conftest import ENGINE
from tests.spark_jobs.contents import add_contents


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


def test_a_job_that_died_in_its_third_shard_goes_on_there(run, monkeypatch):
    monkeypatch.setattr(sign, "dies_on", 2, raising=False)
    with pytest.raises(SeedbedError, match="killed"):
        run.job(SIGN)
    assert run.store.read("signatures").count() == 8
    monkeypatch.undo()
    assert run.job(SIGN).rows_in == 8
    assert run.store.read("signatures").select("content_sha256").distinct().count() == 16


@pytest.mark.skipif(ENGINE == "sail", reason="Sail ignores Delta's transaction identifiers")
def test_two_writers_of_one_step_onto_one_version_leave_one_copy(run, monkeypatch):
    run.job(SIGN)
    add_contents(run.store, ["0b" * 32])
    before = run.store.last_commit("signatures")
    rows = sign(run.store.read("contents").filter(F.col("content_sha256") == "0b" * 32), None)
    # Both read the table before either wrote.
    monkeypatch.setattr(Store, "last_commit", lambda self, table, part=None: before)
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


def test_an_output_that_libraries_would_read_as_another_is_refused_before_any_work(tmp_path):
    with pytest.raises(SeedbedError, match="holds '%20'"):
        main(SIGN, [f"output={tmp_path}/a%20b"])
    assert not list(tmp_path.iterdir())
