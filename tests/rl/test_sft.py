"""What SFT leaves out is found before its first step, named once and kept with the reason."""

from __future__ import annotations

import json

from conf.schema.rl import SandboxConfig, SftConfig
from rl import sft
from rl.problems import problem_set

RIGHT = "def f(x):\n    return 2 * x"


def write(path, *rows: dict) -> str:
    full = [{"prompt": "double", "test_list": ["assert f(2) == 4"], **row} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in full))
    return str(path)


def test_problems_that_cannot_be_learnt_are_in_unfit_json_and_stop_nothing(tmp_path, capsys):
    wrong = {"task_id": "wrong", "code": "def f(x):\n    return x"}
    empty = {"task_id": "empty"}
    spoken = {"task_id": "spoken", "responses": [f"So:\n```python\n{RIGHT}\n```\n```\n4\n```"]}
    cfg = SftConfig(
        output=str(tmp_path),
        train_problems=write(tmp_path / "t.jsonl", wrong, empty, spoken),
        heldout_problems=write(tmp_path / "h.jsonl", {"task_id": "held", "code": RIGHT}),
        sandbox=SandboxConfig(workers=1),
    )
    folder, record = tmp_path / "rl", tmp_path / "rl/sft/unfit.json"
    sft.prepare_problems(cfg, folder)
    kept = problem_set.read(folder / "problems_train.jsonl")
    assert [problem.task_id for problem in kept] == ["spoken"]
    assert json.loads(record.read_text())["unfit"].keys() == {"wrong", "empty"}
    sft.prepare_problems(cfg, folder)
    long = {"spoken": "1 of its 1 demonstrations have up to 99 tokens"}
    for _ in range(2):
        sft._record_long(long, folder / "sft")
    assert json.loads(record.read_text())["unfit"].keys() == {"wrong", "empty", "spoken"}
    said = capsys.readouterr().err
    for name in ("wrong", "empty", "spoken"):
        assert said.count(f"dropped problem {name}") == 1
