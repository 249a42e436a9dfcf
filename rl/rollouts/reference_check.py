"""Which problems a run may draw: all but those whose own solution fails their tests, which no
sample could answer.

Judged once, before the first step, and written down, so that a run that is started again draws the
same whatever the sandbox says by then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.errors import SeedbedError
from conf.loader import config_hash
from rl.problems.problem_set import Problem, Row
from rl.rollouts.rewards import failing_references
from seedbed.sandbox import Sandbox, version


def unfit(read: Sequence[tuple[Row, Problem]], sandbox: Sandbox, record: Path) -> dict[str, str]:
    """task_id -> reason, of the problems whose own solution the sandbox does not pass; one without
    a solution is fit.

    From `record` where it is of these problems; else judged, named on stderr, and written there.
    Process 0 only. Raises SeedbedError where no problem is left.
    """
    identity = config_hash([row for row, _ in read])
    known = json.loads(record.read_text()) if record.is_file() else {}
    if known.get("problems") == identity:
        found: dict[str, str] = known["unfit"]
        if found:
            print(
                f"{len(found)} of {len(read)} problems are not drawn, for the reasons in {record}",
                file=sys.stderr,
            )
    else:
        found = failing_references(sandbox, [problem for _, problem in read if problem.code])
        name(found)
        record.parent.mkdir(parents=True, exist_ok=True)
        partial = record.with_name(record.name + ".partial")
        partial.write_text(
            json.dumps({"problems": identity, "sandbox": version(), "unfit": found}, indent=1)
            + "\n"
        )
        partial.replace(record)
    if len(found) == len(read):
        task, reason = next(iter(found.items()))
        raise SeedbedError(
            f"the own solutions of all {len(read)} problems fail their tests; that of {task}: {reason}",
            "`python -m seedbed.sandbox run` judges them one by one; mend the problems or give others",
        )
    return found


def name(failing: dict[str, str]) -> None:
    """Tell stderr of the problems that are dropped."""
    for task_id, reason in failing.items():
        print(
            f"dropped problem {task_id}: its reference fails its own tests: {reason}",
            file=sys.stderr,
        )
