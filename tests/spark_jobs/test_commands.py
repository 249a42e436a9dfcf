"""python -m spark_jobs: what it lists, and what it refuses."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from spark_jobs import graph
from spark_jobs.__main__ import COMMANDS, main


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["status"], "status needs output=DIR"),
        (["explain", "output=runs/x"], "explain takes one path or SHA-256, got 0"),
        (["funnel", "output=runs/x", "more"], "funnel does not take 'more'"),
        (["fummel"], "unknown command 'fummel'"),
        (["diff", "output=runs/x", "from=new"], "from=new is not a number"),
    ],
)
def test_wrong_commands_are_refused(argv, problem):
    with pytest.raises(SeedbedError, match=problem):
        main(argv)


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_help_lists_every_command_and_every_job_with_what_it_does(argv, capsys):
    assert main(argv) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    named = {words[0]: words[1:] for words in lines if words}
    for name in (*COMMANDS, *graph.JOBS, *graph.BESIDE):
        assert len(named[name]) > 2, name


@pytest.mark.parametrize("command", ["status", "diff"])
def test_a_command_tells_its_arguments(command, capsys):
    assert main([command, "--help"]) == 0
    assert COMMANDS[command][0] in capsys.readouterr().out
