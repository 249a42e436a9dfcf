"""A program that ends by writing tables looks at its output before the work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.ask import DistillConfig, SynthesisConfig
from conf.schema.checks import holds_tables
from conf.schema.demo import DemoConfig
from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig

# Signs under which delta-rs panics, or reads another path.
ODD = ["a[1]", "a]", "a^b", "a|b", "a\\b", "a%5Bb", "a\tb"]
# All other signs of ASCII that a folder may have, and letters beyond it.
GOOD = "a b%!\"#$&'()*+,-.:;<=>?@_`{}~é文"


@pytest.mark.parametrize("name", ODD)
def test_a_folder_in_which_no_table_can_be_written_is_refused(name, tmp_path):
    for root in (f"{tmp_path}/{name}", f"{tmp_path}/{name}/run"):
        with pytest.raises(SeedbedError, match="no table can be written"):
            holds_tables("output", root)
    (tmp_path / name).mkdir()
    (tmp_path / "plain").symlink_to(tmp_path / name)
    with pytest.raises(SeedbedError, match="no table can be written"):
        holds_tables("output", f"{tmp_path}/plain")


@pytest.mark.parametrize(
    "schema", [SftConfig, DpoConfig, GrpoConfig, SynthesisConfig, DistillConfig, DemoConfig]
)
def test_every_program_that_writes_tables_looks_before_the_work(schema, tmp_path):
    with pytest.raises(SeedbedError, match="no table can be written"):
        load(schema, None, [f"output={tmp_path}/a^b"])
    with pytest.raises(SeedbedError, match="is not on this machine"):
        load(schema, None, ["output=s3://bucket/run"])


def test_what_is_refused_is_what_the_library_cannot_write(tmp_path):
    """A newer delta-rs that writes under one of them makes this test fail: allow it then."""
    write = "import pyarrow as pa, sys; from deltalake import write_deltalake as w;" + (
        "w(sys.argv[1], pa.table({'a': [1]}))"
    )
    for name in ("a[1]", "a]", "a^b", "a|b"):
        run = subprocess.run(
            [sys.executable, "-c", write, tmp_path / name / "t"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "panic" in run.stderr.lower(), name


def test_every_other_name_takes_a_table(tmp_path):
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    from seedbed.stores.places import for_delta

    path = tmp_path / GOOD / "t"
    holds_tables("output", str(path))
    for _ in range(2):
        write_deltalake(for_delta(str(path)), pa.table({"a": [1]}), mode="append")
    assert len(DeltaTable(str(path)).to_pyarrow_dataset().to_table()) == 2
    assert [one.name for one in tmp_path.iterdir()] == [GOOD]
