"""What `make setup` needs of the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("python", "Seedbed needs 3.12"),
        ("disk", "the environment needs"),
    ],
)
def test_the_machine_check_names_each_fault_and_its_fix(tmp_path, fault, message):
    python, disk = sys.executable, "0"
    if fault == "python":
        fake = tmp_path / "python3"
        fake.write_text("#!/bin/sh\necho 3.9\n")
        fake.chmod(0o755)
        python = str(fake)
    if fault == "disk":
        disk = "100000000"
    script = str(ROOT / "scripts/check_machine.sh")
    result = subprocess.run(
        ["sh", script, python, disk], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert "fix:" in result.stderr


def test_the_machine_check_passes_here(tmp_path):
    result = subprocess.run(
        ["sh", str(ROOT / "scripts/check_machine.sh"), sys.executable, "1"],
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 0
