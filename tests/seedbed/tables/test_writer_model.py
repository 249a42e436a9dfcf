"""A Delta table without Spark against a list in memory: appends, new starts, kills, two writers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from conf.errors import SeedbedError
from seedbed.tables import writer
from seedbed.tables.opening import open_table
from seedbed.tables.writer import Writer, lineage, rows

Key = tuple[str, str, str]
apps = st.sampled_from(["sft", "grpo"])
stages = st.sampled_from(["sft", "grpo", "o'brien", "a b/ü%41"])
PARAMS = {"seed": 3, "temperature": 0.6}


class Killed(BaseException):
    """The process ends here."""


class TableModel(RuleBasedStateMachine):
    """The model: the rows of each version, the mark of each application, and the parameters.

    Two applications write the table in turn. Each call makes a Writer anew, as a process that was
    started again does. A mark that was reached is skipped, whatever its rows are.
    """

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="seedbed-table-"))
        self.path = self.root / "tables" / "problems"
        self.versions: list[list[tuple[Any, ...]]] = []
        self.marks: dict[str, int] = {}
        self.made = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def now(self) -> list[tuple[Any, ...]]:
        return self.versions[-1] if self.versions else []

    def _rows(self, stage: str, count: int) -> list[dict[str, Any]]:
        made = [
            {"stage": stage, "split": "train", "task_id": f"t{self.made + n}", "difficulty": n / 3}
            for n in range(count)
        ]
        self.made += count
        return made

    @rule(app=apps, stage=stages, count=st.integers(0, 3), ahead=st.integers(0, 2))
    def append(self, app: str, stage: str, count: int, ahead: int) -> None:
        mark = self.marks.get(app, -1) + ahead
        if mark < 0:
            return
        new = self._rows(stage, count)
        done = Writer(self.root, "problems", app).append(new, lineage(app, PARAMS, {}), mark)
        assert done == (ahead > 0)
        if done:
            self.versions.append([*self.now, *((r["stage"], r["task_id"]) for r in new)])
            self.marks[app] = mark

    @rule(app=apps, part=st.none() | stages)
    def begin_anew(self, app: str, part: str | None) -> None:
        """Deletes a part, or all, and sets the mark to 0; older versions stay readable."""
        where = {} if part is None else {"stage": part}
        Writer(self.root, "problems", app).begin(lineage(app, PARAMS, {}), **where)
        left = [row for row in self.now if part is not None and row[0] != part]
        self.versions.append(left)
        self.marks[app] = 0

    @rule(app=apps, stage=stages)
    def is_killed_before_the_commit(self, app: str, stage: str) -> None:
        """The data file is there, its commit is not: the rows are not there."""

        def dies(path: str, data: Any, **options: Any) -> None:
            elsewhere = self.root / "elsewhere"
            write_deltalake(str(elsewhere), data, **options)
            self.path.mkdir(parents=True, exist_ok=True)
            for number, file in enumerate(elsewhere.rglob("*.parquet")):
                shutil.copy(file, self.path / f"orphan-{self.made}-{number}.parquet")
            shutil.rmtree(elsewhere)
            raise Killed

        table = Writer(self.root, "problems", app)
        mark = self.marks.get(app, -1) + 1
        with patch.object(writer, "write_deltalake", dies), pytest.raises(Killed):
            table.append(self._rows(stage, 2), lineage(app, PARAMS, {}), mark)
        assert table.reached == self.marks.get(app)

    @rule(app=apps)
    def refuses_other_parameters(self, app: str) -> None:
        table = Writer(self.root, "problems", app)
        table.refuse_other_parameters(PARAMS)
        if self.versions:
            with pytest.raises(SeedbedError, match=r"temperature was 0\.6, is 1\.0"):
                table.refuse_other_parameters({**PARAMS, "temperature": 1.0})

    @rule(data=st.data())
    def an_old_version_is_as_it_was(self, data: st.DataObject) -> None:
        if self.versions:
            number = data.draw(st.integers(0, len(self.versions) - 1))
            table = open_table(self.path, number)
            found = table.to_pyarrow_table(columns=["stage", "task_id"]).to_pylist()
            assert sorted((r["stage"], r["task_id"]) for r in found) == sorted(
                self.versions[number]
            )

    @invariant()
    def the_table_holds_what_was_committed(self) -> None:
        if not getattr(self, "versions", None):
            return
        found = rows(self.path, ["stage", "task_id"])
        assert sorted((row["stage"], row["task_id"]) for row in found) == sorted(self.now)
        for app in ("sft", "grpo"):
            assert Writer(self.root, "problems", app).reached == self.marks.get(app)


TableModel.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestTableModel = TableModel.TestCase
