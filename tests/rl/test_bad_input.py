"""What a run may meet and must survive: a clear error or a recorded verdict, and nothing lost."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from conf.errors import SeedbedError
from conf.schema.rl import EngineConfig
from rl.problems import problem_set
from rl.rollouts import rewards
from seedbed.inference import process_engine
from seedbed.inference.engine import Sampling
from seedbed.inference.process_engine import Engine
from seedbed.sandbox import Limits, Sandbox

PROBLEM = problem_set.parse(
    {"task_id": "p", "prompt": "double", "code": "", "test_list": ["assert f(2) == 4"]}
)
GOOD = "def f(x):\n    return 2 * x\n"


@pytest.mark.parametrize(
    ("completion", "verdict"),
    [
        (GOOD, "pass"),
        ("```python\n" + GOOD + "```", "pass"),
        (GOOD + "\0", "error"),
        (GOOD + "s = '\ud800'", "error"),
        # 100 MB.
        ("def f" * (20 << 20), "error"),
        # A careless regular expression takes quadratic time.
        ("\n" * (8 << 20), "error"),
        ("```\n" * (1 << 20), "error"),
        (GOOD + "#" * (2 << 20), "error"),
        ("", "error"),
    ],
    ids=lambda value: (
        repr(value[:20]) if len(value) < 1000 else f"{len(value) >> 20} MB of {value[:5]!r}"
    ),
)
def test_any_completion_gets_a_verdict(completion, verdict):
    with Sandbox(1, Limits(cpu_seconds=1, wall_seconds=5)) as sandbox:
        [found] = rewards.score(sandbox, [PROBLEM], [rewards.program_of(PROBLEM, completion)])
    assert found.verdict == verdict
    assert found.counted
    json.dumps(found.reason).encode()


def engine_that(script: str, tmp_path, monkeypatch) -> Engine:
    monkeypatch.setattr(process_engine, "COMMAND", (sys.executable, "-c", script))
    return Engine(tmp_path, 64, EngineConfig(), tmp_path / "engine.log")


DIES = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
sys.stdin.readline()
print("out of memory", file=sys.stderr)
sys.exit(9)
"""


def test_an_engine_that_dies_while_it_samples_is_an_error_that_says_how_to_go_on(
    tmp_path, monkeypatch
):
    with engine_that(DIES, tmp_path, monkeypatch) as engine:
        with pytest.raises(
            SeedbedError, match="the engine ended with exit code 9: out of memory"
        ) as caught:
            engine.generate([[1, 2]], [1], Sampling(1.0, 8))
        # A second request fails too, and does not hang.
        with pytest.raises(SeedbedError, match="the engine ended with exit code 9"):
            engine.generate([[1, 2]], [1], Sampling(1.0, 8))
    assert "goes on from its last checkpoint" in caught.value.fix


REFUSES = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    print(json.dumps({"error": "ValueError: too long"}), flush=True)
"""


def test_a_request_that_the_engine_refuses_is_an_error_that_names_it(tmp_path, monkeypatch):
    with (
        engine_that(REFUSES, tmp_path, monkeypatch) as engine,
        pytest.raises(SeedbedError, match="the engine could not score: ValueError: too long"),
    ):
        engine.score([[1, 2]])


def test_a_problem_file_that_is_cut_or_not_text_is_named(tmp_path):
    whole = gzip.compress(b'{"task_id": "p"}\n')
    for name, content, why in (
        ("cut.jsonl.gz", b"\x1f\x8b\x08", "is not a whole gzip file"),
        ("damaged.jsonl.gz", whole[:12] + b"\xff\xff" + whole[14:], "is not a whole gzip file"),
        ("binary.jsonl", b"\xff\xfe\x00", "is not JSON"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SeedbedError, match=f"{name}(:1)? {why}"):
            problem_set.read(tmp_path / name)
