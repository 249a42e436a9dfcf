"""A user whose disk or rights are in the way reads one message with a fix, and the exit is 2."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from conf.errors import run_cli


def test_a_full_disk_is_one_clear_error(capsys):
    with pytest.raises(SystemExit) as ended:
        run_cli(lambda argv: Path("/dev/full").write_text("x") and 0, [])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(
        "error: No space left on device\n  fix: free space there"
    )


def test_a_place_without_the_right_to_it_is_named(capsys):
    def main(argv):
        raise PermissionError(errno.EACCES, "Permission denied", "/closed/output")

    with pytest.raises(SystemExit) as ended:
        run_cli(main, [])
    assert ended.value.code == 2
    assert "error: Permission denied: /closed/output\n  fix: " in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback():
    def main(argv):
        raise FileNotFoundError(errno.ENOENT, "No such file", "shard-3")

    with pytest.raises(FileNotFoundError):
        run_cli(main, [])
