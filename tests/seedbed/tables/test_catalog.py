"""The catalogue: one declaration per table, from which every other form is made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from conf.errors import SeedbedError
from rl.training.run_tables import StageTables
from seedbed.tables.__main__ import main
from seedbed.tables.arrow import arrow_schema, arrow_type
from seedbed.tables.catalog import CURATE_TABLES, OTHER_TABLES, TABLES, split_fields
from spark_jobs import graph
from spark_jobs.runtime.store import TABLES as SPARK_TABLES

ROOT = Path(__file__).parents[3]
# Of every table's name, columns, key and partitions. A change of it means that the tables of runs
# that were made before cannot be read, or read as something else.
ON_DISK = "c5307e6ce40f3697"


def test_the_columns_on_disk_are_what_they_were():
    declared = [
        f"{s.name}: {'; '.join(map(str, arrow_schema(s.name)))} {s.key} {s.partitions}"
        for s in TABLES.values()
    ]
    assert hashlib.sha256("\n".join(declared).encode()).hexdigest()[:16] == ON_DISK


def test_a_type_of_spark_is_one_of_arrow():
    parts = "array<struct<path: string, content_sha256: string>>"
    struct = pa.struct([("path", pa.string()), ("content_sha256", pa.string())])
    assert arrow_type(parts) == pa.list_(struct)
    assert split_fields(f"a int, b {parts}, c long") == [
        ("a", "int"),
        ("b", parts),
        ("c", "long"),
    ]


@pytest.mark.parametrize("name", TABLES)
def test_key_and_partitions_are_columns(name):
    spec = TABLES[name]
    assert {*spec.key, *spec.partitions, *spec.added} <= set(spec.columns)


@pytest.mark.parametrize("name", CURATE_TABLES)
def test_a_table_of_the_curate_line_names_the_job_that_writes_it(name):
    assert name in graph.job(TABLES[name].writer).writes


def test_the_tables_stand_in_the_order_of_the_graph():
    writers = dict.fromkeys(TABLES[name].writer for name in CURATE_TABLES)
    assert list(writers) == [name for name in graph.JOBS if graph.job(name).writes]


def test_spark_reads_the_types_that_arrow_writes(spark, tmp_path):
    """The tables that are partitioned by stage are written without Spark, and Spark reads them."""
    log = StageTables(str(tmp_path), "grpo", {"settings": "s"})
    log.begin("rollouts")
    read = spark.read.format("delta").load(str(tmp_path / "tables/rollouts"))
    assert read.schema.simpleString() == SPARK_TABLES["rollouts"].schema.simpleString()
    assert tuple(TABLES) == (*CURATE_TABLES, *OTHER_TABLES)


def test_the_page_of_the_tables_is_current(capsys):
    assert main([]) == 0
    assert (ROOT / "docs/tables.md").read_text() == capsys.readouterr().out, (
        "python -m seedbed.tables > docs/tables.md"
    )


def test_the_page_takes_no_arguments():
    with pytest.raises(SeedbedError, match="takes no 'docs/tables"):
        main(["docs/tables.md"])
