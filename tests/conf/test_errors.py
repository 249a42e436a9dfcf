"""A user whose disk or rights are in the way reads one message with a fix, and the exit is 2."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from conf.errors import SeedbedError, disk_fault, disk_faults, run_cli


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


def test_a_full_disk_is_known_by_its_words_and_in_what_libraries_raise_after_it():
    assert disk_fault(RuntimeError("write failed: No space left on device (os error 28)"), "d")
    # numpy's own words; it loses the number.
    assert disk_fault(OSError("16384 requested and 8192 written"), "d")
    assert disk_fault(OSError("something else")) is None

    def build() -> None:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as error:
            raise ValueError("could not build") from error

    with pytest.raises(SeedbedError, match="quota exceeded: /run/index") as told, _under_run():
        build()
    assert "quota" in told.value.fix
    with pytest.raises(KeyError), _under_run():
        raise KeyError("ours")


def _under_run():
    return disk_faults("/run/index")
