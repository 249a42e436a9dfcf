"""What a run's journals hold, as Delta tables: problems, rollouts and pairs, no row lost or doubled
by a kill.

The journals (rollouts.jsonl, samples.jsonl) are written line by line as the run goes, and are the
log that survives anything. The
tables follow them: whatever a journal holds beyond the table's mark is appended with the next mark
in one commit, at each checkpoint, and once more when a run is started again. A run that begins anew
first takes its stage's rows out. Process 0 only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl.problems.problem_set import Problem, Row
from seedbed import jsonl
from seedbed.tables.writer import Writer, is_table, lineage, open_table


class RunLog:
    """The tables of one stage (sft, dpo or grpo) of the run in `output`. settings: what its rows
    depend on, for the lineage.
    sources: where its problems came from; versions of those that are tables are recorded.
    """

    def __init__(
        self, output: str, stage: str, settings: dict[str, Any], sources: Sequence[Path] = ()
    ):
        self._stage = stage
        inputs = {path.name: _version(path) for path in sources if is_table(path)}
        self._lineage = lineage(f"rl.{stage}", settings, inputs)
        self._writers = {
            name: Writer(Path(output), name, f"rl.{stage}")
            for name in ("problems", "rollouts", "pairs")
        }

    def begin(self, *names: str) -> None:
        """Take this stage's rows out of the tables `names`."""
        for name in names:
            # only one stage makes pairs
            part = {} if name == "pairs" else {"stage": self._stage}
            self._writers[name].begin(self._lineage, **part)

    def problems(self, splits: dict[str, Sequence[tuple[Row, Problem]]]) -> None:
        """The problems by split, each with the row it was read from; they are written once."""
        rows = [
            {
                "stage": self._stage,
                "split": split,
                "task_id": problem.task_id,
                "prompt": problem.prompt,
                "code": problem.code,
                "difficulty": problem.difficulty or None,
                "problem": json.dumps(row, sort_keys=True),
            }
            for split, some in splits.items()
            for row, problem in some
        ]
        self._writers["problems"].append(rows, self._lineage, 1)

    def rollouts_of_steps(self, journal: Path, step: int) -> None:
        """The journal's rollouts up to `step` that the table does not have yet.

        Rows of a step stand together, in order.
        """
        reached = self._writers["rollouts"].reached or 0
        fresh, place, before = [], 0, -1
        for row in jsonl.rows(journal):
            place, before = (place + 1 if row["step"] == before else 0), row["step"]
            if reached < row["step"] <= step:
                fresh.append({**row, "place": place, "stage": self._stage})
        self._writers["rollouts"].append(fresh, self._lineage, step)

    def samples(self, rows: Sequence[Row]) -> None:
        """Judged samples of weights that do not change, all so far: those that the table does not
        have yet are added.
        """
        reached = self._writers["rollouts"].reached or 0
        told = {"stage": self._stage, "step": 0, "policy": 0}
        fresh = [
            {**row, **told, "place": place} for place, row in enumerate(rows) if place >= reached
        ]
        self._writers["rollouts"].append(fresh, self._lineage, len(rows))

    def pairs(self, rows: Sequence[Row]) -> None:
        """The preference pairs, written once."""
        self._writers["pairs"].append(
            [{**row, "place": place} for place, row in enumerate(rows)], self._lineage, 1
        )


def _version(path: Path) -> int:
    table = open_table(path)
    return -1 if table is None else table.version()
