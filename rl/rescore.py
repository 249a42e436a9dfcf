"""Judge stored rollouts again, with the present sandbox and tests, and list changed rewards.

    python -m rl.rescore --rollouts DIR/tables/rollouts --problems DIR/tables/problems --out F.jsonl
        [--workers N] [--format FORM] [--max-bad 10]

Rollouts are rows with task_id, completion, verdict and, where known, reason. They come from the
table, or from a file such as GRPO's rollouts.jsonl and DPO's samples.jsonl. Problems too come from
a table or a file, with the same tests or with others.

F.jsonl gets one row for each rollout whose verdict differs: its place, both verdicts and both
reasons. Nothing else is written. The exit status is 0 even where rewards change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError, run_cli
from conf.flags import flag_parser, parse_flags
from rl.problems import problem_set
from rl.problems.problem_set import Problem
from rl.rollouts import rewards
from seedbed import jsonl
from seedbed.sandbox import Sandbox, problem_files
from seedbed.sandbox.interpreter import add_flags, of_flags
from seedbed.tables import writer

Row = dict[str, Any]


def main(argv: list[str]) -> int:
    parser = flag_parser("rl.rescore", __doc__)
    source = "TABLE|FILE.jsonl"
    parser.add_argument("--rollouts", type=Path, required=True, metavar=source)
    parser.add_argument(
        "--problems", type=Path, required=True, metavar=source, help="the tests to judge by"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.jsonl", help="the rollouts that change"
    )
    parser.add_argument(
        "--workers", type=int, help="programs judged at once (default: the number of CPUs)"
    )
    problem_files.add_flags(parser)
    add_flags(parser)
    args = parse_flags(parser, argv)
    rows = read(args.rollouts)
    known = problem_set.read(args.problems, args.format, args.max_bad)
    with Sandbox(args.workers, interpreter=of_flags(args)) as sandbox:
        changed = rescore(rows, {problem.task_id: problem for problem in known}, sandbox)
    jsonl.write(args.out, changed)
    counts = Counter((row["before"], row["after"]) for row in changed)
    for (before, after), count in sorted(counts.items()):
        print(f"{before:<15} -> {after:<15}{count:>8}")
    flipped = sum(row["reward_before"] != row["reward_after"] for row in changed)
    print(
        f"{len(rows)} rollouts, {len(changed)} verdicts and {flipped} rewards change -> {args.out}"
    )
    return 0


def read(path: Path) -> list[Row]:
    """The rollouts of a file, or of a table by stage and step.

    Raises:
        SeedbedError: with file:line, for a row that cannot be judged again.
    """
    if writer.is_table(path):
        stored = writer.rows(path, writer.TABLES["rollouts"].key)
        return [
            {name: row[name] for name in ("task_id", "completion", "verdict", "reason")}
            for row in stored
        ]
    if not path.is_file():
        raise SeedbedError(
            f"{path} does not exist", "give DIR/tables/rollouts, or rollouts.jsonl of a GRPO run"
        )
    rows = []
    for number, row in jsonl.read(path):
        missing = {"task_id", "completion", "verdict"} - row.keys()
        if missing:
            raise SeedbedError(
                f"{path}:{number} has no {', '.join(sorted(missing))}",
                "a rollout has task_id, completion and verdict",
            )
        kept = {name: row[name] for name in ("task_id", "completion", "verdict")}
        rows.append(kept | {"reason": row.get("reason", "")})
    return rows


def rescore(rows: Sequence[Row], known: dict[str, Problem], sandbox: Sandbox) -> list[Row]:
    """The rollouts whose verdict differs now.

    A verdict of UNJUDGED is no reward, so one that appears or disappears changes none.

    Raises:
        SeedbedError: for a rollout of a problem that is not known.
    """
    missing = sorted({row["task_id"] for row in rows} - known.keys())
    if missing:
        raise SeedbedError(
            f"{len(missing)} problems of the rollouts are not in the problems file, "
            f"the first {missing[0]!r}",
            "give the problems that the rollouts were drawn for",
        )
    problems = [known[row["task_id"]] for row in rows]
    programs = [
        rewards.program_of(problem, row["completion"])
        for problem, row in zip(problems, rows, strict=True)
    ]
    judged = rewards.score(sandbox, problems, programs)
    changed = []
    for place, (row, now) in enumerate(zip(rows, judged, strict=True)):
        if row["verdict"] != now.verdict:
            changed.append(
                {
                    "place": place,
                    "task_id": row["task_id"],
                    "before": row["verdict"],
                    "after": now.verdict,
                    "reward_before": _reward(row["verdict"]),
                    "reward_after": _reward(now.verdict),
                    "reason_before": row["reason"],
                    "reason_after": now.reason,
                    "completion": row["completion"],
                }
            )
    return changed


def _reward(verdict: str) -> float | None:
    return None if verdict in rewards.UNJUDGED else float(verdict == "pass")


if __name__ == "__main__":
    run_cli(main)
