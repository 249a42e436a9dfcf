"""The console script `seedbed`: one door to every program of the project.

    seedbed COMMAND [ARGUMENT ...]

Each command replaces this process by the program that `python -m MODULE` starts. The
output, exit status and signals are therefore its own. Nothing heavy is imported here: the table
below holds names of modules, and a test shows that every one of them exists.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from conf.errors import SeedbedError, run_cli
from seedbed.commands import COMMANDS, GROUPS, Command

ROOT = Path(__file__).parents[1]
# What is answered here, without another program.
OWN = {"completion": "print the completion script of bash, zsh or fish"}
COMPLETE = "__complete"
# Seconds that torchrun waits after SIGTERM, which saves at the end of a step. Its own 30 may be
# less than a step.
SHUTDOWN_TIMEOUT = 600


def main() -> None:
    """Entry point of the console script: runs the command and exits with its status.

    Exit status 2 says that there is no such command, or that its number of processes is wrong.
    """
    run_cli(dispatch)


def dispatch(argv: list[str]) -> None:
    """Answers help and completion; for all else the program takes this process over.

    Raises SeedbedError for an unknown command.
    """
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help", "help"):
        print(help_text())
    elif name in (*OWN, COMPLETE):
        from seedbed import completion

        sys.stdout.write(completion.script(rest) if name in OWN else completion.answer(rest))
    elif name in COMMANDS:
        command = command_line(COMMANDS[name], rest, os.environ)
        os.execve(command[0], command, _environment())
    else:
        raise _unknown(name)


def help_text() -> str:
    """All commands, grouped, one line for each."""
    lines = ["seedbed COMMAND [ARGUMENT ...]", ""]
    for group, commands in GROUPS.items():
        lines += [group, *(f"  {n:<16} {c.summary}" for n, c in commands.items()), ""]
    lines += ["Shell", *(f"  {n:<16} {summary}" for n, summary in OWN.items()), ""]
    several = ", ".join(n for n, c in COMMANDS.items() if c.parallel)
    lines += [
        "`seedbed COMMAND --help` shows the program's own help.",
        f"{several}: `--nproc N` starts N processes by torchrun.",
        "With N = 1 (the default) the exit status is the program's, else torchrun's.",
    ]
    return "\n".join(lines)


def command_line(
    command: Command, arguments: list[str], environment: Mapping[str, str]
) -> list[str]:
    """The words of the process that does the work.

    Where `environment` says that torchrun started this process, it is one of the N already.

    Raises SeedbedError for a number of processes that cannot be.
    """
    processes = None
    if command.parallel:
        processes, arguments = _take_processes(arguments)
    python = [sys.executable, "-m"]
    target = [*command.program.split(), *arguments]
    if "WORLD_SIZE" in environment and processes is not None:
        raise SeedbedError(
            f"--nproc {processes} inside a process that torchrun started",
            "leave --nproc out: torchrun's own --nproc-per-node counts",
        )
    if "WORLD_SIZE" in environment or (processes or 1) == 1:
        return [*python, *target]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    launcher += ["--shutdown-timeout", str(SHUTDOWN_TIMEOUT)]
    return [*python, *launcher, "-m", *target]


def _take_processes(arguments: list[str]) -> tuple[int | None, list[str]]:
    """N of `--nproc N`, `--nproc=N` or `nproc=N` (None where it is absent), and what is left."""
    found, rest = None, []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--nproc" and not equals:
            value = next(words, "")
        elif name not in ("--nproc", "nproc"):
            rest.append(word)
            continue
        if not value.isdigit() or int(value) < 1:
            raise SeedbedError(f"--nproc {value}: not a number of processes", "give 1 or more")
        found = int(value)
    return found, rest


def _environment() -> dict[str, str]:
    """The environment of the program.

    Outside the project's folder Python must not look for modules in the working folder. A user's
    own `report.py` or `demo.py` there would be started in place of ours.
    """
    if Path.cwd() == ROOT:
        return dict(os.environ)
    return {**os.environ, "PYTHONSAFEPATH": "1"}


def _unknown(name: str) -> SeedbedError:
    near = difflib.get_close_matches(name.replace("_", "-"), [*COMMANDS, *OWN], n=1)
    fix = f"did you mean `seedbed {near[0]}`?" if near else "`seedbed --help` lists the commands"
    return SeedbedError(f"unknown command {name!r}", fix)


if __name__ == "__main__":
    main()
