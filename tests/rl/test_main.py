"""`python -m rl` lists and starts every program of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

import rl
from conf.errors import SeedbedError
from rl import __main__ as door
from rl import rescore


def test_help_lists_every_program_with_one_line_each(capsys):
    assert door.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    modules = {path.stem for path in Path(rl.__file__).parent.glob("*.py")}
    for name in modules - {"__init__", "__main__"}:
        assert sum(line.split()[:1] == [name] for line in lines) == 1, name


def test_a_program_is_started_with_the_other_arguments(monkeypatch):
    monkeypatch.setattr(rescore, "main", lambda argv: len(argv))
    assert door.main(["rescore", "a", "b"]) == 2


def test_an_unknown_program_is_refused_with_the_known_ones():
    with pytest.raises(SeedbedError, match="'sgd' is no program of rl"):
        door.main(["sgd"])
