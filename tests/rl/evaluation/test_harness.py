"""The model type `seedbed` of lm-evaluation-harness against its own type `hf`, on one folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conf.errors import SeedbedError
from tests.tiny_model import write_model

pytest.importorskip("lm_eval", reason="lm_eval is not installed (docs/post-train.md says how)")

ROOT = Path(__file__).parents[3]
# Texts that need one window, several, and none before them.
CODE = "def f(xs):\n    return [x for x in xs if x > 3]\n"
PAIRS = [
    ("def f(xs):\n", "    return [x for x in xs]"),
    ("", "import os"),
    ("x = 1 \n  ", "y = 2"),
    ("for x in", " xs:"),
    (CODE * 40, "return 3"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("lm") / "hf", seq_length=96)


@pytest.fixture(scope="module")
def ours(folder):
    from rl.evaluation.harness import SeedbedLM

    return SeedbedLM(pretrained=str(folder), dtype="fp32", batch_size=3, device="cpu")


@pytest.fixture(scope="module")
def theirs(folder):
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), dtype="float32", batch_size=1, device="cpu")


def asked(*arguments) -> SimpleNamespace:
    return SimpleNamespace(args=arguments, task_name="test")


def test_log_likelihoods_are_those_of_the_type_hf(ours, theirs, capsys):
    requests = [asked(*pair) for pair in PAIRS]
    mine, reference = ours.loglikelihood(requests), theirs.loglikelihood(requests)
    assert [value for value, _ in mine] == pytest.approx([v for v, _ in reference], abs=1e-4)
    assert [greedy for _, greedy in mine] == [greedy for _, greedy in reference]
    assert "note: 1 texts are longer than the 96 tokens" in capsys.readouterr().out


def test_a_whole_text_costs_what_it_costs_the_type_hf(ours, theirs):
    requests = [asked(text) for text in (CODE, CODE * 30, "x")]
    reference = theirs.loglikelihood_rolling(requests)
    assert ours.loglikelihood_rolling(requests) == pytest.approx(reference, abs=1e-3)


def test_greedy_answers_are_those_of_the_type_hf_and_end_before_their_stop_text(ours, theirs):
    how = {"until": ["\n", " x"], "max_gen_toks": 24, "do_sample": False}
    requests = [asked(context, how) for context in ("def f(xs):", "return [", "x")]
    answers = ours.generate_until(requests)
    assert answers == theirs.generate_until(requests)
    assert not any(stop in answer for answer in answers for stop in how["until"])


def test_a_special_token_that_a_task_spells_stays_text_and_the_templates_own_count(ours):
    end = ours.tokenizer.convert_tokens_to_ids("<|end|>")
    assert end not in ours.tok_encode("print('<|end|>')")
    text = ours.apply_chat_template([{"role": "user", "content": "say <|end|>"}])
    assert text == "<|user|>say <|end|><|end|><|assistant|>"
    ids = ours.tok_encode(text)
    assert ids.count(end) == 1
    assert ours.tok_encode(text + "yes <|end|>")[: len(ids)] == ids
    assert ours.tok_encode(text + "yes <|end|>").count(end) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "pretrained='', output=''"),
        ({"pretrained": "a", "output": "b"}, "pretrained='a', output='b'"),
        ({"pretrained": "a", "dtype": "int8"}, "dtype='int8'"),
        ({"pretrained": "a", "peft": "b"}, "does not know peft"),
        ({"pretrained": "a", "batch_size": "auto"}, "does not know batch_size=auto"),
        ({"pretrained": "/nowhere"}, "/nowhere"),
    ],
)
def test_arguments_that_cannot_be_are_one_line_each(arguments, problem):
    from rl.evaluation.harness import SeedbedLM

    with pytest.raises(SeedbedError, match=problem):
        SeedbedLM(**arguments)


def test_without_a_gpu_the_harness_own_default_runs_on_the_cpu_and_says_so(
    folder, monkeypatch, capsys
):
    from rl.evaluation import harness

    monkeypatch.setattr(harness.torch.cuda, "is_available", lambda: False)
    lm = harness.SeedbedLM(pretrained=str(folder), dtype="fp32", device="cuda:0")
    assert lm.device.type == "cpu"
    assert "note: cuda:0 is not there" in capsys.readouterr().out


def test_a_context_that_is_too_long_and_settings_that_are_unknown_are_told(ours, folder):
    from rl.evaluation.harness import SeedbedLM

    with pytest.raises(SeedbedError, match="takes 96 tokens"):
        SeedbedLM(pretrained=str(folder), max_length=97)
    with pytest.raises(SeedbedError, match="leaves no room for its context"):
        ours.generate_until([asked("x", {"max_gen_toks": 96})])
    with pytest.raises(SeedbedError, match="num_beams of the task are not supported"):
        ours.generate_until([asked("x", {"num_beams": 2})])


@pytest.mark.slow
def test_the_command_line_scores_a_task_of_a_file(folder, tmp_path):
    rows = [{"question": "def f(xs):\n", "right": n % 2} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "tiny",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": ["    return xs", "    import os"],
        "doc_to_target": "{{right}}",
        "metric_list": [{"metric": "acc"}],
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(task))
    told = ["--model", "seedbed", "--model_args", f"pretrained={folder}", "--tasks", "tiny"]
    told += ["--include_path", str(tmp_path), "--output_path", str(tmp_path / "out.json")]
    kept = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "rl.lm_eval", *told],
        cwd=ROOT,
        env=kept | {"HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [written] = tmp_path.glob("out*.json")
    # Both choices are right for half of the rows.
    assert json.loads(written.read_text())["results"]["tiny"]["acc,none"] == 0.5
