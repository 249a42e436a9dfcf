from __future__ import annotations

import gzip
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.sandbox import Verdict
from seedbed.sandbox.__main__ import main

PROBLEMS = [
    {
        "task_id": "a",
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "test": "def check(f):\n    assert f(1) == 2\n",
    },
    {"task_id": 2, "test_list": ["assert g() == 3"]},
    {"task_id": "io", "inputs": ["5\n"], "outputs": ["25\n"]},
]
SAMPLES = [
    {"task_id": "io", "completion": "print(int(input()) ** 2)"},
    {"task_id": "a", "completion": "    return 2\n"},
    {"task_id": "a", "completion": "    return 3\n"},
    {"task_id": 2, "completion": "def g(): return '\udcff'"},
    {"task_id": 2, "completion": "def g(): return '\0'"},
    {"task_id": 2, "completion": "def g(): return 3"},
    {"task_id": "a", "completion": "    return '" + "\\ud800" + "'\n"},
]


def lines(path: Path, rows: list[Any]) -> Path:
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def run(folder: Path, problems: Path, samples: Path, *more: str) -> list[dict[str, Any]]:
    out = folder / "deep" / "v.jsonl"
    assert (
        main(
            [
                "run",
                f"--problems={problems}",
                f"--samples={samples}",
                f"--out={out}",
                "--workers=1",
                *more,
            ]
        )
        == 0
    )
    assert [path.name for path in out.parent.iterdir()] == ["v.jsonl"]
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_row_comes_out_for_each_sample_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems, samples = (
        lines(tmp_path / "p.jsonl.gz", PROBLEMS),
        lines(tmp_path / "s.jsonl", [*SAMPLES, "\n"]),
    )
    rows = run(tmp_path, problems, samples)
    assert [row["task_id"] for row in rows] == ["io", "a", "a", 2, 2, 2, "a"]
    assert [row["verdict"] for row in rows] == [
        "pass",
        "pass",
        "fail",
        "error",
        "error",
        "pass",
        "fail",
    ]
    assert list(rows[0]) == [field.name for field in fields(Verdict)]
    assert {(row["cpu_limit_seconds"], row["weakened"]) for row in rows} == {(5.0, "")}
    said = capsys.readouterr()
    assert "pass                  3   42.86%" in said.out
    assert "7/7" in said.err


def test_settings_may_be_words_instead_of_flags(tmp_path: Path) -> None:
    problems, samples = lines(tmp_path / "p", PROBLEMS[:1]), lines(tmp_path / "s", SAMPLES[1:2])
    out = tmp_path / "v.jsonl"
    words = [f"problems={problems}", f"samples={samples}", f"out={out}", "workers=1"]
    assert main(["run", *words, "cpu_seconds=3", "--memory-mb", "99"]) == 0
    (row,) = (json.loads(line) for line in out.read_text().splitlines())
    assert (row["verdict"], row["cpu_limit_seconds"]) == ("pass", 3.0)
    with pytest.raises(SeedbedError, match="unknown key worker ") as caught:
        main(["run", *words, "worker=2"])
    assert caught.value.fix == "did you mean workers?"


@pytest.mark.parametrize(
    ("problems", "samples", "said"),
    [
        ([*PROBLEMS, PROBLEMS[0]], [], r"p.jsonl:4 repeats task_id 'a' of line 1"),
        (
            PROBLEMS,
            [SAMPLES[0], {"task_id": "z", "completion": ""}],
            r"s.jsonl:2 is a sample of task 'z'",
        ),
        (PROBLEMS, [SAMPLES[0], '{"task_id": \n'], r"s.jsonl:2 is not JSON"),
        (PROBLEMS, [{"completion": ""}], r"s.jsonl:1 has no task_id"),
        (PROBLEMS, ["[1]\n"], r"s.jsonl:1 is no JSON object"),
        (["\x00\n"], [], r"p.jsonl:1 is not JSON"),
        (PROBLEMS, [{"task_id": "a"}], r"completion = None"),
    ],
)
def test_bad_input_names_its_line_and_writes_nothing(
    tmp_path: Path, problems: list[Any], samples: list[Any], said: str
) -> None:
    with pytest.raises(SeedbedError, match=said):
        run(
            tmp_path,
            lines(tmp_path / "p.jsonl", problems),
            lines(tmp_path / "s.jsonl", samples),
            "--max-bad=0",
        )
    assert not (tmp_path / "deep").exists()


def test_bad_rows_are_skipped_by_name_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ["{\n", {"task_id": "b", "inputs": ["1"], "outputs": []}, PROBLEMS[0]]
    answers = [
        {"task_id": "b", "completion": "print(1)"},
        '{"task_id": \n',
        {"task_id": 2},
        {"completion": "x"},
        SAMPLES[0],
    ]
    problems = lines(tmp_path / "p.jsonl", [*PROBLEMS, *bad])
    samples = lines(tmp_path / "s.jsonl", answers)
    rows = run(tmp_path, problems, samples)
    assert [(row["task_id"], row["verdict"]) for row in rows] == [
        ("b", "infrastructure"),
        (2, "infrastructure"),
        ("io", "pass"),
    ]
    assert "the problem is skipped" in rows[0]["reason"]
    assert "p.jsonl:5: Problem 'b' has 1 inputs but 0 outputs" in rows[0]["reason"]
    assert "s.jsonl:3: A sample of task 2 has completion = None" in rows[1]["reason"]
    said = capsys.readouterr().err
    for where in ("p.jsonl:4 is not JSON", "p.jsonl:6 repeats", "s.jsonl:2 is not JSON"):
        assert f"{where}" in said
    assert "p.jsonl: 3 problems (1 humaneval, 1 mbpp, 1 stdio); 3 bad rows skipped" in said
    run(tmp_path, problems, samples, "--max-bad=3")
    with pytest.raises(SeedbedError, match="has more than 2 bad rows") as caught:
        run(tmp_path, problems, samples, "--max-bad=2")
    assert "p.jsonl:5: Problem 'b'" in caught.value.problem


def test_a_form_is_given_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "c", "code": "def f(x):\n    return x + 1", "input": "1", "output": "2"}
    problems = lines(tmp_path / "p.jsonl", [row])
    samples = lines(tmp_path / "s.jsonl", [{"id": "c", "solution": "f(1)"}])
    (found,) = run(tmp_path, problems, samples, "--format=cruxeval-input")
    assert found["verdict"] == "pass"
    assert "1 problems (1 cruxeval-input)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(tmp_path, problems, samples, "--format=crux")


def test_numbers_of_any_length_are_read_and_compared(tmp_path: Path) -> None:
    big = "7" * 5000
    row = f'{{"task_id": "b", "fn_name": "f", "inputs": [[{big}]], "outputs": [{big[:-1]}8]}}\n'
    problems = lines(tmp_path / "p.jsonl", [row])
    answers = [{"task_id": "b", "solution": f"def f(n): return n + {more}"} for more in (1, 2)]
    rows = run(tmp_path, problems, lines(tmp_path / "s.jsonl", answers))
    assert [found["verdict"] for found in rows] == ["pass", "fail"]


def test_rows_without_an_id_are_named_by_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"problem": "?", "tests": [{"input": "1", "output": "1"}]}] * 2
    problems = lines(tmp_path / "p.jsonl", rows)
    samples = lines(tmp_path / "s.jsonl", [{"task_id": "p.jsonl:2", "solution": "print(1)"}])
    (found,) = run(tmp_path, problems, samples)
    assert (found["task_id"], found["verdict"]) == ("p.jsonl:2", "pass")
    assert "2 without an id are named by their lines" in capsys.readouterr().err


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SeedbedError, match=r"there is no file .*nowhere.jsonl"):
        run(tmp_path, tmp_path / "nowhere.jsonl", tmp_path / "s.jsonl")
    broken = tmp_path / "p.jsonl.gz"
    broken.write_bytes(gzip.compress(b'{"task_id": 1}\n')[:-9])
    with pytest.raises(SeedbedError, match="not a whole gzip file"):
        run(tmp_path, broken, tmp_path / "s.jsonl")
    with pytest.raises(SeedbedError, match="workers 0 must be at least 1"):
        run(tmp_path, tmp_path, tmp_path, "--workers=0")


def test_output_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl.gz"
    jsonl.write(path, [{"task_id": 1}])
    before = path.read_bytes()

    def rows() -> Any:
        yield {"task_id": 2}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jsonl.write(path, rows())
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["v.jsonl.gz"]
    assert list(jsonl.read(path)) == [(1, {"task_id": 1})]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SeedbedError, match="cannot be written"):
        jsonl.write(tmp_path / "file" / "v.jsonl", [])


def test_check_shows_each_primitive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    said = capsys.readouterr().out
    for name in (
        "user namespace",
        "pid namespace",
        "net namespace",
        "seccomp filter",
        "Landlock",
        "the whole sandbox",
    ):
        assert name in said
