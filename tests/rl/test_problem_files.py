"""Every program that trains reads files of problems by the settings that evaluation has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import SftConfig
from rl import distill, dpo, grpo, sft
from rl.problems import problem_set
from tests.tiny_model import write_model

# A row that tells itself as `cruxeval-output`; the other form is for those who ask for it.
CRUX = {"task_id": "c", "code": "def f(x):\n    return x + 1", "input": "1", "output": "2"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """One good row between two bad ones."""
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(["{", json.dumps(CRUX), "[]"]) + "\n")
    return path


def _prepared(told: list[str]) -> None:
    cfg = load(SftConfig, None, told)
    sft.prepare_problems(cfg, Path(cfg.output) / "rl")


def _started(main: Callable[[list[str]], int]) -> Callable[[list[str]], None]:
    def start(told: list[str]) -> None:
        main(told)

    return start


@pytest.mark.parametrize(
    ("start", "names"),
    [
        (_prepared, ["train_problems", "heldout_problems"]),
        (_started(dpo.main), ["train_problems"]),
        (_started(grpo.main), ["train_problems", "heldout_problems"]),
        (_started(distill.main), ["problems", "traces"]),
    ],
    ids=["sft", "dpo", "grpo", "distill"],
)
def test_a_trainer_takes_a_form_and_a_limit_of_bad_rows(
    start: Callable[[list[str]], None],
    names: list[str],
    model: Path,
    problems: Path,
    tmp_path: Path,
) -> None:
    told = [f"output={tmp_path}", f"base={model}", *(f"{name}={problems}" for name in names)]
    if "traces" in names:
        told.append("source=file")
    with pytest.raises(SeedbedError, match="has more than 1 bad rows") as caught:
        start([*told, "max_bad=1"])
    assert "max_bad" in caught.value.fix
    with pytest.raises(SeedbedError, match="max_bad=-1 must be at least 0"):
        start([*told, "max_bad=-1"])
    with pytest.raises(SeedbedError, match="format=crux is no form of problems") as caught:
        start([*told, "max_bad=2", "format=crux"])
    assert "cruxeval-input" in caught.value.fix


def test_problems_that_sft_keeps_are_read_again_in_the_form_that_was_asked_for(
    problems: Path, tmp_path: Path
) -> None:
    files = [f"train_problems={problems}", f"heldout_problems={problems}"]
    kept = {}
    for form in ("", "cruxeval-output", "cruxeval-input"):
        _prepared([f"output={tmp_path}", *files, "sandbox.workers=1", f"format={form}"])
        [kept[form]] = problem_set.read(tmp_path / "rl/problems_train.jsonl")
    assert kept[""].tests == kept["cruxeval-output"].tests != kept["cruxeval-input"].tests
