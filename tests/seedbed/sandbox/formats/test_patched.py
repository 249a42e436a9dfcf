"""BigCodeBench's tests that patch modules: a mock of the tests reaches a sealed program."""

from __future__ import annotations

import pytest

from seedbed.sandbox import Sandbox, formats
from tests.seedbed.sandbox.formats import rows

HEAD = "import os\nimport subprocess\nimport urllib.request\n\n"
TESTS = """
import unittest
from unittest.mock import patch, mock_open, MagicMock

class TestCases(unittest.TestCase):
{}"""
# Name -> the body of the test class, a right program, a wrong one.
CASES = {
    "what a patched function returns and was given": (
        """
    @patch("os.listdir", return_value=["b", "a"])
    def test_names(self, listed):
        self.assertEqual(task_func("/x"), ["a", "b"])
        listed.assert_called_once_with("/x")
""",
        "def task_func(path):\n    return sorted(os.listdir(path))\n",
        "def task_func(path):\n    os.listdir(path + '/')\n    return ['a', 'b']\n",
    ),
    "the attributes of what it returns": (
        """
    def test_run(self):
        with patch.object(subprocess, "run") as run:
            run.return_value.stdout.strip.return_value = "v7"
            self.assertEqual(task_func(), "v7")
        run.return_value.stdout.strip.assert_called_once()
""",
        "def task_func():\n    return subprocess.run(['x', '-v']).stdout.strip()\n",
        "def task_func():\n    return 'v7'\n",
    ),
    "a context manager": (
        """
    @patch("urllib.request.urlopen")
    def test_read(self, opened):
        opened.return_value.__enter__.return_value.read.return_value = b"page"
        self.assertEqual(task_func("u"), "page")
""",
        "def task_func(url):\n    with urllib.request.urlopen(url) as page:\n"
        "        return page.read().decode()\n",
        "def task_func(url):\n    return urllib.request.urlopen(url).read()\n",
    ),
    "an open file": (
        """
    def test_lines(self):
        with patch("builtins.open", mock_open(read_data="4\\n5\\n")) as opened:
            self.assertEqual(task_func("f"), 9)
        opened.assert_called_with("f")
""",
        "def task_func(name):\n    with open(name) as file:\n"
        "        return sum(int(line) for line in file)\n",
        "def task_func(name):\n    with open(name) as file:\n        return len(file.read())\n",
    ),
    "the program's own helper": (
        """
    def test_helper(self):
        with patch(f"{__name__}.helper", side_effect=[3, 4]):
            self.assertEqual(task_func(), 7)
        self.assertEqual(task_func(), 2)
""",
        "def helper():\n    return 1\n\ndef task_func():\n    return helper() + helper()\n",
        "def helper():\n    return 1\n\ndef task_func():\n    return 2\n",
    ),
    "an error that is raised in its place": (
        """
    @patch("os.mkdir", side_effect=OSError("full"))
    def test_full(self, made):
        self.assertFalse(task_func("d"))
""",
        "def task_func(path):\n    try:\n        os.mkdir(path)\n    except OSError:\n"
        "        return False\n    return True\n",
        "def task_func(path):\n    try:\n        os.mkdir(path)\n    except OSError:\n"
        "        return None if path == 'e' else True\n    return True\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_patch_of_the_tests_is_one_of_the_program(sandbox: Sandbox, name: str) -> None:
    body, right, wrong = CASES[name]
    row = {**rows.BIGCODEBENCH, "code_prompt": f"{HEAD}def task_func(x):\n"}
    row["test"] = HEAD + TESTS.format(body)
    row["canonical_solution"] = ""
    found = sandbox.run([formats.job(row, {"solution": HEAD + p}) for p in (right, wrong)])
    assert [v.verdict == "pass" for v in found] == [True, False], found
    assert found[1].verdict in ("fail", "error"), found[1]


def test_a_program_that_only_a_sealed_run_passes_does_not_pass(sandbox: Sandbox) -> None:
    # What the mock returns has no plain form, and the test waits for any error.
    body = """
    @patch("os.listdir")
    def test_error(self, listed):
        listed.return_value = object()
        with self.assertRaises(Exception):
            task_func("/x")
"""
    row = {**rows.BIGCODEBENCH, "code_prompt": f"{HEAD}def task_func(x):\n"}
    row |= {"test": HEAD + TESTS.format(body), "canonical_solution": ""}
    program = f"{HEAD}def task_func(path):\n    return str(os.listdir(path))\n"
    [verdict] = sandbox.run([formats.job(row, {"solution": program})])
    assert verdict.verdict != "pass", verdict
