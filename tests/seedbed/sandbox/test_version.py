"""The name under which a run remembers what judged its samples."""

from __future__ import annotations

import shutil
from pathlib import Path

from rl import grpo
from seedbed import sandbox
from seedbed.sandbox import version


def test_a_version_is_that_of_the_sources_wherever_they_lie(tmp_path: Path) -> None:
    own = Path(sandbox.__file__).parent
    copies = [tmp_path / name for name in ("same", "changed")]
    for copy in copies:
        shutil.copytree(own, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copies[1] / "inside" / "jail.py").open("a") as file:
        file.write("#\n")
    assert version(copies[0]) == version()
    assert version(copies[1]) != version()


def test_a_run_that_goes_on_under_another_sandbox_says_so(capsys) -> None:
    grpo._compare_sandbox(None, 0)
    grpo._compare_sandbox(version(), 10)
    assert capsys.readouterr().err == ""
    grpo._compare_sandbox("0123456789ab", 10)
    assert "up to step 10 the sandbox was version 0123456789ab" in capsys.readouterr().err
