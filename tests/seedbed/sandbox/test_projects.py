"""Programs of several files under hidden tests."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.sandbox import Job, Limits, ProjectTests, Sandbox, Verdict, formats
from tests.seedbed.sandbox.corpus import (
    COMMANDS,
    FORGED_PROJECTS,
    HONEST_SHOP,
    SHOP,
    SHOP_TESTS,
    files,
)

# Where one outcome is the right name for what happened.
OUTCOMES = {
    "answers_with_objects_that_say_yes": "fail",
    "returns_numbers_whose_differences_are_zero": "fail",
    "leaves_by_os_exit_zero_on_import": "error",
    "names_files_outside_its_folder": "error",
    "brings_a_thousand_folders": "error",
    "patches_unittest": "fail",
}


def judged(
    sandbox: Sandbox, program: str | tuple[tuple[str, str], ...], tests: ProjectTests = SHOP[0]
) -> Verdict:
    return sandbox.run([Job("t", program, tests)])[0]


@pytest.fixture(scope="module")
def verdicts(sandbox: Sandbox) -> dict[str, Verdict]:
    """Of each forgery under both commands, with honest programs between."""
    jobs = [
        Job(f"{name} {place}", files(text), tests)
        for name, text in FORGED_PROJECTS.items()
        for place, tests in enumerate(SHOP)
    ]
    honest = [Job(f"honest {place}", HONEST_SHOP, SHOP[place % 2]) for place in range(len(jobs))]
    return {
        str(v.task_id): v
        for v in sandbox.run(job for pair in zip(jobs, honest, strict=True) for job in pair)
    }


@pytest.mark.parametrize("place", range(len(SHOP)))
@pytest.mark.parametrize("name", FORGED_PROJECTS)
def test_a_forged_project_does_not_pass(
    verdicts: dict[str, Verdict], name: str, place: int
) -> None:
    verdict = verdicts[f"{name} {place}"]
    assert verdict.verdict not in ("pass", "infrastructure"), verdict
    assert place or verdict.verdict == OUTCOMES.get(name, verdict.verdict), verdict
    assert verdict.reason
    assert verdict.weakened == ""


def test_honest_projects_between_the_forgeries_all_pass(verdicts: dict[str, Verdict]) -> None:
    honest = [verdict for name, verdict in verdicts.items() if name.startswith("honest")]
    assert [verdict for verdict in honest if verdict.verdict != "pass"] == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("price * count", "price", "test_the_total"),
        ("Empty(ShopError)", "Empty(Exception)", "test_an_empty_cart"),
        ('raise Empty("no items")', "raise KeyError", "KeyError"),
        ("0.19", "0.190001", "shop.RATE, 0.19"),
        ("return text.split", "return tuple(text).index", "test_the_rest"),
        ("class Cart:", "class Basket:", "Cart"),
    ],
)
def test_a_project_with_one_fault_does_not_pass_and_the_reason_names_it(
    sandbox: Sandbox, old: str, new: str, reason: str
) -> None:
    assert HONEST_SHOP.count(old) == 1
    found = judged(sandbox, HONEST_SHOP.replace(old, new))
    assert found.verdict in ("fail", "error")
    assert reason in found.reason


def test_a_project_reads_its_own_files_and_cannot_write(sandbox: Sandbox) -> None:
    tests = ProjectTests(
        (("check.py", "from app.main import number\nassert number() == 7\n"),),
        ("python", "check.py"),
        given=(
            ("app/__init__.py", ""),
            ("data.txt", "7"),
            ("app/main.py", "def number(): return 0"),
        ),
    )
    read = "def number(): return int(open('data.txt').read())"
    assert judged(sandbox, (), tests).verdict == "fail"
    assert judged(sandbox, (("app/main.py", read),), tests).verdict == "pass"
    write = "open('data.txt', 'w')"
    assert judged(sandbox, (("app/main.py", write),), tests).verdict == "forbidden"
    # Nothing of the one before is left for the next.
    assert (
        judged(
            sandbox, (("app/main.py", "import os\ndef number(): return os.listdir('.')"),), tests
        ).verdict
        == "fail"
    )


def test_tests_that_ran_nothing_are_no_pass(sandbox: Sandbox) -> None:
    skipped = (
        "import unittest, shop\n@unittest.skip('no')\n"
        "class T(unittest.TestCase):\n    def test(self): shop.f()\n"
    )
    for text, reason in (
        (skipped, "ran no test"),
        ("import unittest, shop\nshop.f()\n", "ran no test"),
    ):
        tests = ProjectTests((("test_a.py", text),), ("python", "-m", "unittest"), target="shop.py")
        found = judged(sandbox, "def f(): return 1", tests)
        assert (found.verdict, found.reason) == ("fail", f"the command {reason}")
    tests = ProjectTests((("a.py", "import shop\n"),), ("python", "a.py"), target="shop.py")
    assert "never called" in judged(sandbox, "def f(): return 1", tests).reason


def test_tests_in_the_programs_own_process_stamp_each_verdict_because_it_can_be_forged(
    sandbox: Sandbox,
) -> None:
    own = ProjectTests(SHOP_TESTS, COMMANDS[0], target="shop.py", in_process=True)
    honest, wrong, forged = (
        judged(sandbox, text, own)
        for text in (HONEST_SHOP, HONEST_SHOP.replace("0.19", "0.2"), "import os; os._exit(0)")
    )
    assert [honest.verdict, wrong.verdict, forged.verdict] == ["pass", "fail", "pass"]
    assert {v.weakened for v in (honest, wrong, forged)} == {"in-process-tests"}


PROJECT = {
    "task_id": "shop",
    "tests": dict(SHOP_TESTS),
    "command": list(COMMANDS[0]),
    "target": "shop.py",
    "reference": {"shop.py": HONEST_SHOP},
}


def test_rows_of_projects_are_read(sandbox: Sandbox) -> None:
    samples = [
        {"completion": HONEST_SHOP},
        {"files": {"shop.py": HONEST_SHOP}},
        {"completion": "x = 1"},
    ]
    found = sandbox.run(formats.job(PROJECT, sample) for sample in samples)
    assert [verdict.verdict for verdict in found] == ["pass", "pass", "fail"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"command": ["pytest"]}, "has the command"),
        ({"command": ["python", "-m", "pytest"]}, "has the command"),
        ({"command": ["python", "-m", "unittest", "-k", "x"]}, "has the command"),
        ({"command": ["python", "nowhere.py"]}, "has the command"),
        ({"command": "python x.py"}, "not a list of texts"),
        ({"tests": {"../a.py": ""}}, "names the file '../a.py'"),
        ({"tests": ["a.py"]}, "not path -> text"),
        ({"target": 3}, "target = 3"),
        ({"target": ""}, "asks for several files"),
    ],
)
def test_a_project_that_cannot_be_judged_is_named(change: formats.Row, said: str) -> None:
    with pytest.raises(SeedbedError, match=said):
        formats.job({**PROJECT, **change}, {"completion": ""})


def test_without_namespaces_a_project_has_no_verdict() -> None:
    with Sandbox(1, Limits(), "rlimits-only") as weak:
        found = judged(weak, HONEST_SHOP)
    assert (found.verdict, found.weakened) == ("infrastructure", "rlimits-only")
