"""Which problems a run may draw: all but those whose own solution fails their tests.

No sample could answer those. The solutions are judged once, before the first step, and the verdicts
are recorded. A run that is started again therefore draws the same problems, whatever the sandbox
says by then.
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
from seedbed.files import write_whole
from seedbed.sandbox import Sandbox, version


def failing(read: Sequence[tuple[Row, Problem]], sandbox: Sandbox, record: Path) -> dict[str, str]:
    """task_id -> reason, of the problems whose own solution the sandbox does not pass.

    A problem without a solution passes. The answer comes from the file `record` where that is of
    these problems. Otherwise the solutions are judged, the failing ones are named on stderr, and
    `record` is written. Process 0 only.

    Raises:
        SeedbedError: where no problem is left.
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
        announce(found)
        stored = {"problems": identity, "sandbox": version(), "unfit": found}
        write_whole(record, json.dumps(stored, indent=1) + "\n")
    if len(found) == len(read):
        task, reason = next(iter(found.items()))
        raise SeedbedError(
            f"the own solutions of all {len(read)} problems fail their tests; that of {task}: "
            f"{reason}",
            "`python -m seedbed.sandbox run` judges them one by one; "
            "mend the problems or give others",
        )
    return found


def announce(dropped: dict[str, str]) -> None:
    """Names the dropped problems on stderr, with their reasons."""
    for task_id, reason in dropped.items():
        print(
            f"dropped problem {task_id}: its reference fails its own tests: {reason}",
            file=sys.stderr,
        )
