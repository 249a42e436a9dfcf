"""What a run's journals hold, as Delta tables: problems, rollouts and pairs.

The journals (rollouts.jsonl, samples.jsonl) are written line by line while the run goes on, and
survive a kill. The tables follow them. At each checkpoint, and when a run is started again, one
commit appends the rows beyond the table's mark together with the next mark. No row is therefore
lost or doubled. A run that begins anew first deletes its stage's rows. Process 0 only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl.problems.problem_set import Problem, Row
from seedbed import jsonl
from seedbed.tables.opening import open_table
from seedbed.tables.writer import Writer, is_table, lineage


class StageTables:
    """The tables of one stage (sft, dpo or grpo) of the run in `output`.

    settings: what the stage's rows depend on, for the lineage. sources: files and tables of the
    stage's problems; the lineage records the versions of the tables.
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
        """Deletes this stage's rows from the tables `names`."""
        for name in names:
            # Only one stage makes pairs, so that table has no column for the stage.
            part = {} if name == "pairs" else {"stage": self._stage}
            self._writers[name].begin(self._lineage, **part)

    def problems(self, splits: dict[str, Sequence[tuple[Row, Problem]]]) -> None:
        """Writes the problems of each split, with the row each was read from, once."""
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
        """Appends the journal's rollouts up to `step` that the table does not have yet.

        The rows of a step stand side by side in the journal.
        """
        reached = self._writers["rollouts"].reached or 0
        fresh, place, before = [], 0, -1
        for row in jsonl.rows(journal):
            place = place + 1 if row["step"] == before else 0
            before = row["step"]
            if reached < row["step"] <= step:
                fresh.append({**row, "place": place, "stage": self._stage})
        self._writers["rollouts"].append(fresh, self._lineage, step)

    def samples(self, rows: Sequence[Row]) -> None:
        """Appends the judged samples that the table does not have yet; `rows` are all so far.

        The weights that drew them do not change, so all carry step 0 and policy 0.
        """
        reached = self._writers["rollouts"].reached or 0
        told = {"stage": self._stage, "step": 0, "policy": 0}
        fresh = [
            {**row, **told, "place": place} for place, row in enumerate(rows) if place >= reached
        ]
        self._writers["rollouts"].append(fresh, self._lineage, len(rows))

    def pairs(self, rows: Sequence[Row]) -> None:
        """Writes the preference pairs, once."""
        self._writers["pairs"].append(
            [{**row, "place": place} for place, row in enumerate(rows)], self._lineage, 1
        )


def _version(path: Path) -> int:
    table = open_table(path)
    return -1 if table is None else table.version()
