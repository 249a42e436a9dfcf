"""The name under which a run remembers what judged its samples."""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import GrpoConfig
from rl import grpo
from seedbed import sandbox
from seedbed.sandbox import CallTests, Interpreter, Job, Sandbox, version
from seedbed.sandbox.interpreter import add_flags, of_flags


def test_a_version_is_that_of_the_sources_wherever_they_lie(tmp_path: Path) -> None:
    own = Path(sandbox.__file__).parent
    copies = [tmp_path / name for name in ("same", "changed")]
    for copy in copies:
        shutil.copytree(own, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copies[1] / "inside" / "jail.py").open("a") as file:
        file.write("#\n")
    assert version(folder=copies[0]) == version()
    assert version(folder=copies[1]) != version()


def test_another_interpreter_or_another_package_is_another_version() -> None:
    pytest.importorskip("numpy")
    names = [(), ("numpy",), ("yaml",)]
    found = {version(Interpreter(packages=packages)) for packages in names}
    assert len(found) == 3
    assert version() in found
    assert Interpreter(packages=("numpy",)).describe().packages[0][1] == metadata.version("numpy")


def test_the_settings_of_a_run_choose_the_interpreter() -> None:
    cfg = load(GrpoConfig, None, ["output=x", "sandbox.packages=[numpy]", "sandbox.workers=1"])
    with Sandbox.of(cfg.sandbox) as judges:
        assert judges.interpreter == Interpreter(packages=("numpy",))
        assert judges.version == version(Interpreter(packages=("numpy",))) != version()
    with pytest.raises(SeedbedError, match=r"sandbox\.packages has 'a b'"):
        load(GrpoConfig, None, ["output=x", "sandbox.packages=['a b']"])


def test_the_chosen_python_is_the_one_that_is_started(tmp_path: Path) -> None:
    # An interpreter that tells how it was called.
    chosen, said = tmp_path / "python", tmp_path / "said"
    chosen.write_text(f'#!/bin/sh\necho "$@" >> {said}\nexec {sys.executable} "$@"\n')
    chosen.chmod(0o755)
    cfg = load(GrpoConfig, None, ["output=x", f"sandbox.python={chosen}", "sandbox.workers=1"])
    with Sandbox.of(cfg.sandbox) as judges:
        assert judges.interpreter == Interpreter(str(chosen))
        [found] = judges.run([Job(0, "def f(): return 1", CallTests("assert f() == 1"))])
    assert found.verdict == "pass"
    assert "fork_server.main" in said.read_text()
    parser = argparse.ArgumentParser()
    add_flags(parser)
    flags = parser.parse_args(["--python", str(chosen), "--packages", "json,re"])
    assert of_flags(flags) == Interpreter(str(chosen), ("json", "re"))


def test_a_run_that_goes_on_under_another_sandbox_says_so(capsys) -> None:
    grpo._compare_sandbox(None, version(), 0)
    grpo._compare_sandbox(version(), version(), 10)
    assert capsys.readouterr().err == ""
    grpo._compare_sandbox("0123456789ab", version(), 10)
    assert "up to step 10 the sandbox was version 0123456789ab" in capsys.readouterr().err
