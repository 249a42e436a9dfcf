"""Have a teacher solve problems, and keep the responses whose program passes (Sec 3.2).

    python -m rl.distill --config conf/rl/distill.yaml output=DIR problems=FILE model=HF_FOLDER
    python -m rl.distill ... source=endpoint endpoint.url=URL model=NAME
    python -m rl.distill ... source=file traces=FILE

These are the data of the LongCoT warm-up. The teacher is a model of this machine, a model behind
any OpenAI-compatible server, or a file of responses such as open-r1's. Each problem is asked up to
`samples` times, until `per_problem` responses are correct.

Writes DIR/tables/demonstrations, with one row per response. `reason` is null where the response is
kept, else it says why not. Also writes DIR/rl/distill with answers.jsonl (every answer as it
arrives), unfit.json (problems that are not asked, with the reason) and engine.log. A run that is
killed and started again asks nothing twice and adds no row twice. rl.sft trains on the table:
train_problems=DIR/tables/demonstrations.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.ask import DistillConfig
from rl.problems import problem_set
from rl.problems.problem_set import Problem, Row
from rl.rollouts import reasoning, reference_check, rewards
from rl.rollouts.sampler import chat_prompt, question
from rl.synthesis.teacher import Teacher
from seedbed import jsonl
from seedbed.inference import prompt
from seedbed.inference.chat import Chat
from seedbed.inference.endpoint import Answer
from seedbed.inference.prompt import Prompt
from seedbed.sandbox import Sandbox
from seedbed.sandbox.reference import UNFIT
from seedbed.tables import writer as table_writer
from seedbed.tables.writer import Writer, lineage

TABLE = "demonstrations"
# Why a response is not kept, in the order in which it is checked. `no_verdict`: the sandbox cannot
# judge the program. `wrong`: any verdict on the program but pass.
REASONS = (
    "refused",
    "no_reasoning",
    "no_program",
    "too_long",
    "unfit_problem",
    "no_verdict",
    "wrong",
)

# (problems, number) -> the teacher's answer `number` to each problem, None where there is no more.
Ask = Callable[[Sequence[Problem], int], "list[Answer | None]"]


def main(argv: list[str]) -> int:
    args = cli_parser("rl.distill", __doc__).parse_args(argv)
    cfg = load(DistillConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    out = Path(cfg.output)
    if not cfg.problems:
        raise SeedbedError(
            "problems is empty: nothing to ask",
            "give problems=FILE (.jsonl, or a table of problems)",
        )
    given = problem_set.read_with_rows(Path(cfg.problems), cfg.format, cfg.max_bad)
    chat = Chat(Path(cfg.base or out / "hf"))
    writer = Writer(out, TABLE, "rl.distill")
    with ExitStack() as owned:
        if cfg.source == "file":
            identity, ask = traces(Path(cfg.traces), [problem.task_id for _, problem in given])
        else:
            teacher = Teacher(cfg, out / "rl" / "distill", reasoning=cfg.reasoning)
            owned.enter_context(teacher)
            text = prompt.load(cfg.prompt, frozenset({"prompt"}))
            identity, ask = {**teacher.identity, "prompt": text.version}, asking(teacher, text)
        params = parameters(cfg, identity)
        writer.refuse_other_parameters(params)
        waiting = _waiting(cfg, given, writer)
        print(f"{len(given)} problems, {len(given) - len(waiting)} of them done before", flush=True)
        sandbox = owned.enter_context(Sandbox.of(cfg.sandbox))
        record = out / "rl" / "distill" / "unfit.json"
        unfit = reference_check.unfit(given, sandbox, record, {}) if waiting else {}
        began = time.perf_counter()
        for start in range(0, len(waiting), cfg.commit_every):
            batch = waiting[start : start + cfg.commit_every]
            fit = [one for one in batch if one[1].task_id not in unfit]
            found = distill(fit, ask, sandbox, chat, cfg)
            found += [_unasked(one, unfit) for one in batch if one[1].task_id in unfit]
            told = lineage("rl.distill", params, {})
            writer.append(found, told, (writer.reached or 0) + 1)
            so_far = start + len(batch)
            eta = (time.perf_counter() - began) / so_far * (len(waiting) - so_far)
            kept = sum(row["reason"] is None for row in found)
            print(
                f"{so_far}/{len(waiting)} problems, {kept} of {len(found)} responses kept, "
                f"ETA {eta:.0f} s",
                flush=True,
            )
    print(summary(table_writer.rows(out / "tables" / TABLE, ["task_id", "place"]), len(given)))
    return 0


def _waiting(
    cfg: DistillConfig, given: Sequence[tuple[Row, Problem]], writer: Writer
) -> list[tuple[Row, Problem]]:
    """The problems that the table does not have yet.

    Raises:
        SeedbedError: for a problem whose text has changed since it was asked.
    """
    table = Path(cfg.output) / "tables" / TABLE
    known = table_writer.rows(table, ["task_id"]) if writer.reached is not None else []
    done = {row["task_id"]: row["prompt"] for row in known}
    changed = [
        problem.task_id
        for _, problem in given
        if done.get(problem.task_id, problem.prompt) != problem.prompt
    ]
    if changed:
        raise SeedbedError(
            f"{cfg.problems}: problem {changed[0]} has another text than when it was asked "
            f"({len(changed)} such problems)",
            f"give changed problems a new task_id, or remove {table} to start anew",
        )
    return [pair for pair in given if pair[1].task_id not in done]


def asking(teacher: Teacher, text: Prompt) -> Ask:
    """Asks a model; each of several answers to a problem has its own seed."""

    def ask(some: Sequence[Problem], number: int) -> list[Answer | None]:
        # A prompt that begins a program is asked for in words, as in training.
        asked = [question(problem) for problem in some]
        prompts = [
            text.fill(hashlib.sha256(each.encode()).hexdigest(), prompt=each) for each in asked
        ]
        return list(teacher.ask(prompts, number=number))

    return ask


def traces(path: Path, tasks: Sequence[str]) -> tuple[dict[str, Any], Ask]:
    """Identity of a file of responses, and how to ask it: by task, in the file's order.

    Prints how many responses are to tasks that the problems do not have.

    Raises:
        SeedbedError: with file:line, for a response that cannot be read.
    """
    if not path.is_file():
        raise SeedbedError(
            f"traces={path} does not exist", 'give a .jsonl of {"task_id": ..., "response": ...}'
        )
    found: dict[str, list[str]] = defaultdict(list)
    for number, row in jsonl.read(path):
        task, response = row.get("task_id"), row.get("response")
        if task is None or not isinstance(response, str):
            raise SeedbedError(
                f"{path}:{number} has no task_id with a text as its response",
                'a line is a JSON object {"task_id": ..., "response": "..."}',
            )
        # No file and no hash takes lone surrogates; they become '?'.
        found[str(task)].append(response.encode("utf-8", "replace").decode())
    unknown = sum(len(some) for task, some in found.items() if task not in set(tasks))
    if unknown:
        print(
            f"{unknown} responses of {path} are to tasks that the problems do not have: left out",
            flush=True,
        )

    def ask(some: Sequence[Problem], number: int) -> list[Answer | None]:
        texts = [found.get(problem.task_id, [])[number : number + 1] for problem in some]
        return [Answer("", text[0], "", 0, 0) if text else None for text in texts]

    return {"source": "file", "traces": hashlib.sha256(path.read_bytes()).hexdigest()}, ask


def parameters(cfg: DistillConfig, identity: dict[str, Any]) -> dict[str, Any]:
    """Everything that a row depends on besides its problem, and how often a problem is asked."""
    names = ("reasoning", "samples", "per_problem", "max_length")
    return {**{name: getattr(cfg, name) for name in names}, "teacher": identity}


def distill(
    batch: Sequence[tuple[Row, Problem]], ask: Ask, sandbox: Sandbox, chat: Chat, cfg: DistillConfig
) -> list[Row]:
    """The table's rows for the problems of a batch.

    A problem that is never answered gets one row with the reason `refused`.
    """
    rows: dict[str, list[Row]] = {problem.task_id: [] for _, problem in batch}
    for number in range(cfg.samples):
        waiting = [
            problem
            for _, problem in batch
            if sum(row["reason"] is None for row in rows[problem.task_id]) < cfg.per_problem
            and not any(row["reason"] == "unfit_problem" for row in rows[problem.task_id])
        ]
        replies = ask(waiting, number) if waiting else []
        answered = [
            (problem, answer) for problem, answer in zip(waiting, replies, strict=True) if answer
        ]
        for (problem, _), row in zip(answered, judge(answered, sandbox, chat, cfg), strict=True):
            rows[problem.task_id].append({**row, "task_id": problem.task_id, "place": number})
    found = []
    for row, problem in batch:
        some = rows[problem.task_id] or [
            {"task_id": problem.task_id, "place": 0, "reason": "refused", "detail": "no answer"}
        ]
        code = problem.code or next((one["program"] for one in some if one["reason"] is None), "")
        text = json.dumps(row if problem.code else {**row, "code": code}, sort_keys=True)
        found += [{**one, "prompt": problem.prompt, "problem": text} for one in some]
    return found


def _unasked(one: tuple[Row, Problem], unfit: Mapping[str, str]) -> Row:
    """The table's row for a problem that no answer could solve."""
    row, problem = one
    return {
        "task_id": problem.task_id,
        "place": 0,
        "reason": "unfit_problem",
        "detail": unfit[problem.task_id],
        "prompt": problem.prompt,
        "problem": json.dumps(row, sort_keys=True),
    }


def judge(
    answered: Sequence[tuple[Problem, Answer]], sandbox: Sandbox, chat: Chat, cfg: DistillConfig
) -> list[Row]:
    """response, program, tokens, verdict, reason and detail of each answer.

    Raises:
        SeedbedError: where the sandbox has no verdict on a plain program either. Nothing of the
            batch is recorded then, and the next run judges again.
    """
    rows = [_read(problem, answer, chat, cfg) for problem, answer in answered]
    sound = [
        (row, problem)
        for row, (problem, _) in zip(rows, answered, strict=True)
        if row["reason"] is None
    ]
    judged = rewards.score_again(
        sandbox, [problem for _, problem in sound], [row["program"] for row, _ in sound]
    )
    for (row, _), reward in zip(sound, judged, strict=True):
        row["verdict"], row["detail"] = reward.verdict, reward.reason
        if reward.reason.startswith(UNFIT):
            row["reason"] = "unfit_problem"
        elif not reward.counted:
            row["reason"] = "no_verdict"
        elif reward.verdict != "pass":
            row["reason"] = "wrong"
    return rows


def _read(problem: Problem, answer: Answer, chat: Chat, cfg: DistillConfig) -> Row:
    row: Row = {
        "response": answer.text,
        "program": "",
        "tokens": None,
        "verdict": None,
        "reason": None,
        "detail": "",
    }
    if answer.failure:
        return {**row, "response": None, "reason": "refused", "detail": answer.failure}
    if cfg.reasoning:
        try:
            row["response"] = reasoning.normalised(answer.text)
        except ValueError as error:
            return {**row, "reason": "no_reasoning", "detail": str(error)}
    row["program"] = rewards.program_of(problem, row["response"])
    if not row["program"]:
        return {**row, "reason": "no_program", "detail": rewards.NO_PROGRAM}
    row["tokens"] = len(chat_prompt(chat, problem)) + len(chat.response(row["response"]))
    if row["tokens"] > cfg.max_length:
        return {
            **row,
            "reason": "too_long",
            "detail": f"{row['tokens']} tokens, max_length is {cfg.max_length}",
        }
    return row


def summary(rows: Sequence[Row], given: int) -> str:
    """How many responses were kept, and how many ended for each reason."""
    counts = Counter(row["reason"] or "kept" for row in rows)
    solved = len({row["task_id"] for row in rows if row["reason"] is None})
    lines = [
        f"  {reason:<16}{counts[reason]:>8}" for reason in ("kept", *REASONS) if counts[reason]
    ]
    return "\n".join(
        [f"{len(rows)} responses to {given} problems, {solved} of them solved", *lines]
    )


if __name__ == "__main__":
    run_cli(main)
