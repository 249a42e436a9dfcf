"""Verdicts on Spark equal those of the plain pool; each sample has one, also after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy
import pytest
from pyspark.sql import SparkSession

from conf.errors import SeedbedError
from conf.schema.curate import CurateConfig, VerifySettings
from conf.schema.interpreter import InterpreterConfig
from seedbed.sandbox import Interpreter, Sandbox, formats
from spark_jobs import verify_solutions
from spark_jobs.runtime.job import Summary, execute
from spark_jobs.runtime.store import Store
from spark_jobs.verify_solutions import VERIFY

PROBLEMS = [
    {
        "task_id": "a",
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "test": "def check(f):\n    assert f(1) == 2\n",
    },
    {"task_id": 2, "test_list": ["assert g() == 3"], "code": "def g(): return 3"},
    {"task_id": "io", "inputs": ["5\n"], "outputs": ["25\n"]},
    {"task_id": "unfit", "test_list": ["assert g() == 3"], "code": "def g(): return 4"},
    {"task_id": "blind", "test_list": ["import socket\nassert f(socket.socketpair()[0])"]},
    {
        "task_id": "odd",
        "prompt": "def f(x):\n",
        "tests": "assert f(1)",
        "stop_tokens": [],
        "language": "python",
    },
]
SAMPLES = [
    {"task_id": "a", "completion": "    return 2\n", "model": "m1"},
    {"task_id": "a", "completion": "    return 2\n", "model": "m2"},
    {"task_id": "a", "completion": "    return 3\n", "model": "m1"},
    {"task_id": 2, "completion": "def g(): return 3"},
    {"task_id": 2, "completion": "def g(): return '\0'"},
    {"task_id": 2, "completion": "def g(): return '\udcff'"},
    {"task_id": "io", "completion": "print(int(input()) ** 2)"},
    {"task_id": "io", "completion": "exit(3)"},
    {"task_id": "unfit", "completion": "def g(): return 3"},
    {"task_id": "blind", "completion": "def f(x): return 1"},
    {"task_id": "odd", "completion": "    return 1"},
]


def config(
    folder: Path, samples: list[Any] = SAMPLES, problems: list[Any] = PROBLEMS
) -> CurateConfig:
    for name, rows in (("p.jsonl", problems), ("s.jsonl", samples)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = VerifySettings(problems=str(folder / "p.jsonl"), samples=str(folder / "s.jsonl"))
    return CurateConfig(output=str(folder / "out"), shards=2, verify=settings)


def verdicts(spark: SparkSession, cfg: CurateConfig) -> set[tuple[Any, ...]]:
    rows = Store(lambda: spark, cfg.output).read("verdicts").collect()
    assert len({(row.task_id, row.solution_sha256) for row in rows}) == len(rows)
    return {
        (row.task_id, row.solution_sha256, row.verdict, row.reason, row.weakened) for row in rows
    }


@pytest.fixture(scope="module")
def judged(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CurateConfig, Summary | None]:
    """A run over SAMPLES: its config and summary."""
    cfg = config(tmp_path_factory.mktemp("judged"))
    return cfg, execute(VERIFY, cfg)


def test_spark_gives_the_verdicts_of_the_plain_pool_and_each_sample_has_one_row(
    spark: SparkSession, judged: tuple[CurateConfig, Summary | None], tmp_path: Path
) -> None:
    cfg, summary = judged
    assert summary is not None
    assert (summary.rows_in, summary.rows_out, summary.dropped) == (10, 10, {})
    by_task = {str(row["task_id"]): row for row in PROBLEMS}
    with Sandbox(1) as pool:
        plain = pool.run(formats.job(by_task[str(row["task_id"])], row) for row in SAMPLES)
    wanted = {(str(v.task_id), v.verdict, v.reason, v.weakened) for v in plain}
    found = verdicts(spark, cfg)
    assert {(task, verdict, reason, weak) for task, _, verdict, reason, weak in found} == wanted
    assert [verdict for task, _, verdict, _, _ in found if task == "unfit"] == ["infrastructure"]
    # Another run would say the same of them, so they have rows.
    unsupported = {task for task, _, verdict, _, _ in found if verdict == "unsupported"}
    assert unsupported == {"blind", "odd"}
    # New samples, here from a Delta table, cost only themselves.
    table = str(tmp_path / "delta")
    rows = [
        {"task_id": "io", "completion": "print(25)"},
        {"task_id": "io", "completion": "exit(3)"},
    ]
    spark.createDataFrame(rows).write.format("delta").save(table)
    summary = execute(VERIFY, replace(cfg, verify=replace(cfg.verify, samples=table)))
    assert summary is not None
    assert (summary.rows_in, summary.rows_out) == (1, 1)
    assert {
        row for row in verdicts(spark, cfg) - found if row[0] != "io" or row[2] != "pass"
    } == set()


def test_the_interpreter_and_its_packages_are_a_choice_and_a_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = InterpreterConfig(sys.executable, ["numpy"])
    ctx: Any = SimpleNamespace(cfg=replace(config(tmp_path), sandbox=chosen))
    found = verify_solutions._params(ctx)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"] == [["numpy", numpy.__version__]]
    plain: Any = SimpleNamespace(cfg=config(tmp_path))
    assert verify_solutions._params(plain)["packages"] == []
    made = []
    monkeypatch.setattr(verify_solutions, "Sandbox", lambda *parts: made.append(parts))
    monkeypatch.setattr(verify_solutions, "_judge", lambda pool, *rest: pool())
    monkeypatch.setattr(verify_solutions.python_map, "map_in_arrow", lambda *parts: None)
    engine = SimpleNamespace(parallelism=3)
    monkeypatch.setattr(verify_solutions.session, "engine", lambda: engine)
    verify_solutions._judged(MagicMock(), ctx, {})
    assert made[0][3] == Interpreter(sys.executable, ("numpy",))


def test_a_samples_language_is_part_of_it() -> None:
    line = json.dumps({"task_id": "io", "completion": "x", "language": "C++", "model": "m"})
    known = verify_solutions._Problems({"io": json.dumps(PROBLEMS[2])}, {})
    row = verify_solutions._sample(line, known)
    assert json.loads(str(row["sample"])) == {"completion": "x", "language": "C++"}


@pytest.mark.parametrize(
    ("samples", "problems", "said"),
    [
        ([{"task_id": "z", "completion": ""}], PROBLEMS, "task 'z', which verify.problems lacks"),
        (["text"], PROBLEMS, "is not JSON with a task_id"),
        ([], [PROBLEMS[0], {**PROBLEMS[0], "test": ""}], "p.jsonl:2 repeats task_id 'a'"),
        ([], [PROBLEMS[0], PROBLEMS[0]], "p.jsonl has more than 0 bad rows"),
        ([{"task_id": "a"}], PROBLEMS, "completion = None, not a text"),
    ],
)
def test_bad_input_is_named(
    spark: SparkSession, tmp_path: Path, samples: list[Any], problems: list[Any], said: str
) -> None:
    cfg = config(tmp_path, samples, problems)
    with pytest.raises(SeedbedError, match=said):
        execute(VERIFY, replace(cfg, verify=replace(cfg.verify, max_bad=0)))


def test_bad_rows_are_named_and_skipped_and_their_samples_say_so(
    spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A row without a form that is named asks for the output, which is 2.
    row = {"task_id": 2, "code": "def f(x):\n    return x + 1", "input": "1", "output": "2"}
    problems = [row, {"task_id": "bad"}]
    samples = [
        {"task_id": 2, "completion": "1"},
        {"task_id": "bad", "completion": "1"},
        {"task_id": 2},
        "no object",
    ]
    cfg = config(tmp_path, samples, problems)
    cfg = replace(cfg, verify=replace(cfg.verify, format="cruxeval-input", max_bad=2))
    execute(VERIFY, cfg)
    found = {(task, verdict, reason[:22]) for task, _, verdict, reason, _ in verdicts(spark, cfg)}
    assert found == {("2", "pass", ""), ("bad", "infrastructure", "the problem is skipped")}
    said = capfd.readouterr().err
    assert said.count("skipped: ") == 3
    assert "completion = None, not a text" in said
    assert "is not JSON with a task_id" in said
    assert Store(lambda: spark, cfg.output).read("solutions").count() == 2
    with pytest.raises(SeedbedError, match="has more than 1 bad rows"):
        execute(VERIFY, replace(cfg, verify=replace(cfg.verify, max_bad=1)))


def test_the_form_of_the_problems_is_a_parameter_and_the_limit_of_bad_rows_is_not(
    tmp_path: Path,
) -> None:
    def params(**settings: Any) -> dict[str, Any]:
        cfg = config(tmp_path)
        ctx: Any = SimpleNamespace(cfg=replace(cfg, verify=replace(cfg.verify, **settings)))
        return verify_solutions._params(ctx)

    assert params(max_bad=3) == params()
    assert params(format="mbpp") != params()


def test_other_limits_or_problems_do_not_mix_into_the_table(
    judged: tuple[CurateConfig, Summary | None], tmp_path: Path
) -> None:
    cfg, _ = judged
    other = config(
        tmp_path, SAMPLES, [*PROBLEMS[:4], {**PROBLEMS[4], "code": "f = str"}, PROBLEMS[5]]
    )
    with pytest.raises(SeedbedError, match="rows of two parameter sets must not mix"):
        execute(VERIFY, replace(other, output=cfg.output))
    with pytest.raises(SeedbedError, match="rows of two parameter sets must not mix"):
        execute(VERIFY, replace(cfg, verify=replace(cfg.verify, cpu_seconds=9.0)))


@pytest.mark.slow
def test_a_run_that_is_killed_judges_the_rest_when_it_is_started_again(
    spark: SparkSession, tmp_path: Path
) -> None:
    # The samples of a problem are in one shard.
    problems = [{**PROBLEMS[1], "task_id": n} for n in range(20)]
    samples = [
        {"task_id": n % 20, "completion": f"def g(): return 3 + {n % 2}  # {n}"} for n in range(200)
    ]
    cfg = config(tmp_path, samples, problems)
    options = [f"verify.{name}={getattr(cfg.verify, name)}" for name in ("problems", "samples")]
    command = [
        sys.executable,
        "-m",
        "spark_jobs.verify_solutions",
        *options,
        f"output={cfg.output}",
        "shards=2",
    ]
    process = subprocess.Popen([*command, "spark.master=local[1]"], start_new_session=True)
    while not (commit := Path(cfg.output, "tables/verdicts/_delta_log", f"{0:020}.json")).exists():
        assert process.poll() is None, "ended before it wrote a shard"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert commit.exists()
    before = verdicts(spark, cfg)
    assert 0 < len(before) < 200
    execute(VERIFY, cfg)
    after = verdicts(spark, cfg)
    assert before < after
    assert sorted(verdict for _, _, verdict, _, _ in after) == ["fail"] * 100 + ["pass"] * 100
