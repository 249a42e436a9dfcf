"""`make mutate`: which mutants a file has, what is run against them, and what is written down."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="the dev extra is older than requirements.lock")

from conf.errors import SeedbedError
from scripts.mutation import __main__ as command
from scripts.mutation import records, runner
from scripts.mutation.mutants import mutants
from scripts.mutation.records import ROOT, Score

PURE = """\
from __future__ import annotations


def clipped(values: list[int] | None, most: int = 5) -> list[int]:
    found = []
    for value in values:
        if value not in (0, most):
            found.append(min(value, most))
    return sorted(found, reverse=True)
"""


def changes(source: str) -> set[str]:
    return {mutant.change for mutant in mutants(source)}


def bare(text: str) -> str:
    """Without spaces: the tool writes some where the source has none."""
    return re.sub(r"\s", "", text)


def test_mutants_of_a_function_by_hand():
    head = "def clipped(values: list[int] | None, most: int = 5) -> list[int]:"
    member, step = "if value not in (0, most):", "found.append(min(value, most))"
    last = "return sorted(found, reverse=True)"
    expected = {
        f"{head} -> {head.replace('5', '6')}",
        f"{head} -> {head.replace('5', '4')}",
        "for value in values: -> for value in []:",
        f"{member} -> if not value not in (0, most):",
        f"{member} -> if value in (0, most):",
        f"{member} -> if value not in (1, most):",
        f"{member} -> if value not in (-1, most):",
        f"{step} -> pass",
        f"{step} -> found.append(max(value, most))",
        f"{last} -> return sorted(found, reverse=False)",
        f"{last} -> return sorted(found,)",
    }
    assert set(map(bare, changes(PURE))) == set(map(bare, expected))


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("a <= b", "a < b"),
        ("a <= b", "a > b"),
        ("a and b", "a or b"),
        ("a += 2", "a -= 2"),
        ("a += 2", "pass"),
        ("f(a, size=b)", "f(a,)"),
        ("f(size=b)", "f()"),
        ("f(size=b, way=c)", "f(way=c)"),
        ("x = any(a)", "x = all(a)"),
        ("x = a in b", "x = a not in b"),
        ("x = not a", "x = a"),
        ("raise f(a)", "pass"),
        ("x = a // b", "x = a * b"),
    ],
)
def test_each_kind_of_fault_is_made(line, change):
    assert bare(f"{line}->{change}") in set(map(bare, changes(f"{line}\n")))


@pytest.mark.parametrize(
    "source",
    [
        "def f(a: int | None) -> int | None: ...",
        "a: int | None",
        "@dataclass(frozen=True)\nclass A: ...",
        "@cache\ndef f(): ...",
        "x = SeedbedError('a' + b, 3)",
        "x = zip(a, b, strict=True)",
        "if TYPE_CHECKING:\n    x = 1",
        '"""1 + 1 and 2"""',
    ],
)
def test_what_says_nothing_of_a_test_is_left_alone(source):
    assert changes(f"{source}\n") == set()


def test_the_order_is_fixed_and_a_sample_is_spread_over_the_file():
    source = "".join(f"a{i} = {i} + b\n" for i in range(60))
    lines = [mutant.line for mutant in mutants(source)]
    assert lines == [mutant.line for mutant in mutants(source)]
    assert len({line // 15 for line in lines[:20]}) == 4


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of one pure file, in place of this one."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "pure.py").write_text(PURE)
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\npythonpath = ["."]\nmarkers = ["slow: s", "gpu: g"]\n'
    )
    (root / "page.md").write_text("Scores:\n\n| file |\n|---|\n\nafter\n")
    (root / "scores.json").write_text("{}")
    (root / "equivalent.toml").write_text("")
    (root / "files.toml").write_text('[files]\n"pure.py" = ["tests/test_pure.py"]\n')
    for module in (records, runner, command):
        monkeypatch.setattr(module, "ROOT", root)
    for name in ("files.toml", "equivalent.toml", "scores.json"):
        monkeypatch.setattr(records, name.split(".")[0].upper(), root / name)
    monkeypatch.setattr(records, "PAGE", root / "page.md")
    put_tests(root, "assert clipped([3, 9, 5, 1, 4]) == [5, 4, 3, 1]")
    return root


def put_tests(root: Path, *lines: str) -> None:
    body = "".join(f"    {line}\n" for line in lines)
    (root / "tests/test_pure.py").write_text(
        f"from pure import clipped\n\n\ndef test_it():\n{body}"
    )


def test_survivors_are_told_and_written_down_and_the_tree_is_left_as_it_was(project, capsys):
    (project / "equivalent.toml").write_text(
        '[["pure.py"]]\nchange = "if value not in (0, most): -> if value in (0, most):"\nwhy = "w"'
    )
    assert command.main(["--minutes", "60", "pure.py"]) == 0
    said = capsys.readouterr().out
    assert "pure.py: 90 % of 10 noticed" in said
    # No value of the test is 0 or -1.
    assert [bare(line) for line in said.splitlines()[1:]] == [
        bare("pure.py:7 if value not in (0, most): -> if value not in (-1, most):")
    ]
    score = records.scores()["pure.py"]
    assert (score.mutants, score.run, score.survived) == (10, 10, 1)
    assert "| `pure.py` | 10 | 10 | 1 | 1 | 90 % |\n\nafter" in (project / "page.md").read_text()
    assert (project / "pure.py").read_text() == PURE


def test_a_mutant_that_does_not_end_counts_as_noticed(project, monkeypatch):
    monkeypatch.setattr(runner, "_GRACE", 1)
    (project / "pure.py").write_text(
        "def clipped(values):\n    while values:\n        values = values[1:]\n    return values\n"
    )
    put_tests(project, "assert clipped([1]) == []")
    score = command.measure("pure.py", 3600)
    assert score.run == score.mutants >= 3


def test_tests_that_fail_without_a_mutant_are_an_error(project):
    put_tests(project, "assert clipped([3]) == [4]")
    with pytest.raises(SeedbedError, match=r"pure\.py fail without a mutant: .*1 failed"):
        command.main([])


def test_a_file_that_is_not_known_is_an_error(project):
    with pytest.raises(SeedbedError, match="conf is no pure file, and no folder of any"):
        command.main(["conf/"])


def test_only_what_changed_is_run_in_ci_and_low_scores_fail(project, capsys, monkeypatch):
    current = records.fingerprint(PURE)
    records.keep({"pure.py": Score(current, 11, 11, 1)})
    assert command.main(["--touched"]) == 0
    assert capsys.readouterr().out == ""
    (project / "pure.py").write_text(PURE + "\n")
    assert records.touched(records.scores()) == ["pure.py"]
    outcome = Score("", 20, 4, 3)
    monkeypatch.setattr(command, "measure", lambda path, seconds: outcome)
    assert command.main(["--touched"]) == 1
    assert "below 90 % or their last score: pure.py" in capsys.readouterr().out
    # Nothing is written, so that the same change fails again.
    assert records.scores()["pure.py"].source == current
    assert command.main(["--touched", "--minutes", "0"]) == 0
    assert "not run, no time was left: pure.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("score", "before", "low"),
    [
        # Two of twenty are 10 %, three are more.
        (Score("", 20, 20, 2), None, False),
        (Score("", 20, 20, 3), None, True),
        # Of a sample only what was seen counts.
        (Score("", 20, 5, 2), None, False),
        (Score("", 20, 5, 3), Score("", 20, 20, 0), True),
        # A file that was lower before may stay there and not fall.
        (Score("", 20, 20, 6), Score("", 20, 20, 6), False),
        (Score("", 20, 20, 7), Score("", 20, 20, 6), True),
    ],
)
def test_a_file_is_too_low_where_its_survivors_alone_put_it_there(score, before, low):
    assert records.too_low("p", score, {"p": before} if before else {}) == low


def test_every_pure_file_and_its_tests_exist():
    for path, tests in records.pure_files().items():
        assert (ROOT / path).is_file(), path
        assert tests, path
        for test in tests:
            assert (ROOT / test).is_file(), test


@pytest.mark.parametrize("path", sorted(records.equivalents()))
def test_equivalent_mutants_are_mutants_of_their_file_and_have_a_reason(path):
    told = changes((ROOT / path).read_text())
    assert path in records.pure_files()
    for change, why in records.equivalents()[path].items():
        assert change in told, f"no mutant of {path}: {change}"
        assert 20 < len(why) <= 100, change


def test_the_page_shows_the_scores_that_are_written_down():
    assert records.table(records.scores()) in records.PAGE.read_text()
