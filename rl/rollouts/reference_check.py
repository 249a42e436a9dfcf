"""Which problems a run may draw: all but those that it could not train on.

Such are problems whose own solution fails their tests, which no sample could answer; problems that
the sandbox cannot judge; and problems that are longer than the run has room for. They are found
before the first step, named once, and recorded with the reason. A run that is started again
therefore draws the same problems, whatever the sandbox says by then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.errors import SeedbedError
from conf.loader import config_hash
from rl.problems.problem_set import Problem, Row
from rl.rollouts.rewards import failing_references
from rl.rollouts.sampler import chat_prompt
from seedbed.files import write_whole
from seedbed.inference.chat import Chat
from seedbed.sandbox import Sandbox


def unfit(
    read: Sequence[tuple[Row, Problem]], sandbox: Sandbox, record: Path, long: Mapping[str, str]
) -> dict[str, str]:
    """task_id -> reason, of the problems that a run cannot train on; process 0 only.

    long: those that are too long, with the reason. The rest of the answer comes from the file
    `record` where that is of these problems. Otherwise solutions are judged, the unfit problems are
    named on stderr, and `record` is written.

    Raises:
        SeedbedError: where no problem is left.
    """
    rows = [row for row, _ in read]
    # Another interpreter, or other packages, may judge another way.
    identity = config_hash(
        rows, sorted(long.items()), sandbox.interpreter.python, sandbox.interpreter.packages
    )
    known = json.loads(record.read_text()) if record.is_file() else {}
    if known.get("problems") == identity:
        found: dict[str, str] = known["unfit"]
        if found:
            print(
                f"{len(found)} of {len(read)} problems are not drawn, for the reasons in {record}",
                file=sys.stderr,
            )
    else:
        short = [problem for _, problem in read if problem.task_id not in long]
        found = {**long, **failing_references(sandbox, short)}
        announce(found)
        write(record, identity, sandbox.version, found)
    if read and len(found) == len(read):
        task, reason = next(iter(found.items()))
        raise SeedbedError(
            f"none of the {len(read)} problems can be drawn; {task}: {reason}",
            f"{record} has every reason; `python -m seedbed.sandbox run` judges solutions one by "
            "one; mend the problems or give others",
        )
    return found


def write(record: Path, identity: str, judges: str, found: Mapping[str, str]) -> None:
    """Writes the reasons, with what they are of, whole or not at all."""
    stored = {"problems": identity, "sandbox": judges, "unfit": dict(found)}
    write_whole(record, json.dumps(stored, indent=1) + "\n")


def too_long(chat: Chat, problems: Sequence[Problem], limit: int) -> dict[str, str]:
    """task_id -> reason, of the problems whose prompt has more than max_prompt = `limit` tokens."""
    found = {}
    for problem in problems:
        size = len(chat_prompt(chat, problem))
        if size > limit:
            found[problem.task_id] = f"its prompt has {size} tokens, max_prompt={limit}"
    return found


def announce(dropped: Mapping[str, str]) -> None:
    """Names the dropped problems on stderr, with their reasons."""
    for task_id, reason in dropped.items():
        print(f"dropped problem {task_id}: {reason}", file=sys.stderr)
