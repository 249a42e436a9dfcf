"""What can be started: `python -m megatron_train --help`, and flags that are also key=value."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from megatron_train import __main__ as door
from megatron_train import plan
from tests.megatron_train import tiny

PACKAGE = tiny.ROOT / "megatron_train"


def test_the_help_names_every_command_and_every_file_that_can_be_started(capsys):
    assert door.main(["--help"]) == 0
    said = capsys.readouterr().out
    started = {p.stem for p in PACKAGE.glob("*.py") if "def main(argv" in p.read_text()}
    for name in {*door.COMMANDS, *started} - {"__main__"}:
        assert f" {name} " in said or f".{name} " in said, name


@pytest.mark.parametrize("name", door.COMMANDS)
def test_every_command_is_a_function_of_its_module(name):
    module, function = door.COMMANDS[name]
    assert callable(getattr(importlib.import_module(module), function))


def test_a_command_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(SeedbedError, match="'trian' is no command") as refused:
        door.main(["trian"])
    assert "verify_layout" in refused.value.fix


def test_a_plan_takes_its_number_of_gpus_both_ways(tmp_path):
    for asked in (["--gpus", "6"], ["gpus=6"]):
        with pytest.raises(SeedbedError, match="6 % 4 = 2"):
            plan.main([*asked, "vocab=500", "--config", "conf/pretrain/demo.yaml"])


@pytest.mark.parametrize("name", ["complete", "export_hf"])
def test_a_command_on_a_run_without_a_model_says_what_comes_first(name, tmp_path: Path):
    with pytest.raises(SeedbedError):
        door.main([name, f"output={tmp_path}"])
