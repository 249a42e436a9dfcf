"""A package that is not in the jail is named, with what brings it in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seedbed.sandbox import CallTests, Job, Sandbox, StdioTests, formats
from seedbed.sandbox.__main__ import main

ADVICE = "bring it in by sandbox.packages=[numpy], or --packages numpy"
ARRAY = "import numpy as np\ndef f(): return np.array([1, 2])\n"
PLAIN = "def f(): return [1, 2]\n"
ASKS = "import numpy as np\nassert np.array_equal(f(), [1, 2])"
# What HumanEval+ asks of numpy is written here.
STUBBED = "def check(g):\n    import numpy as np\n    assert np.allclose(g(), [1.0, 2.0])\n"


@pytest.mark.parametrize("program", [ARRAY, PLAIN], ids=["an array", "a list"])
@pytest.mark.parametrize("where", ["code", "setup", "function"])
def test_tests_that_import_a_package_judge_no_program_without_it(
    sandbox: Sandbox, program: str, where: str
) -> None:
    tests = {
        "code": CallTests(ASKS),
        "setup": CallTests("assert np.array_equal(f(), [1, 2])", "import numpy as np"),
        "function": CallTests("def t():\n    from numpy import array_equal as a\n    f(); a\nt()"),
    }[where]
    [found] = sandbox.run([Job("t", program, tests)])
    assert found.verdict == "unsupported"
    assert "the tests import numpy" in found.reason
    assert ADVICE in found.reason


def test_a_program_that_imports_a_package_fails_with_advice(sandbox: Sandbox) -> None:
    stubbed = formats.tests({"task_id": 1, "entry_point": "f", "prompt": "", "test": STUBBED})
    spare = CallTests("try:\n    import numpy\nexcept ImportError:\n    pass\nassert f() == [1, 2]")
    for tests in (CallTests("assert f()[0] == 1"), StdioTests(("",), ("1",)), stubbed, spare):
        [found] = sandbox.run([Job("t", ARRAY, tests)])
        assert (found.verdict, ADVICE in found.reason) == ("error", True)
    assert [v.verdict for v in sandbox.run([Job("t", PLAIN, stubbed)])] == ["pass"]


def test_a_module_that_nobody_has_is_the_programs_fault_alone(sandbox: Sandbox) -> None:
    for name in ("numpyy", "tkinter"):
        [found] = sandbox.run([Job("t", f"import {name}\n{PLAIN}", CallTests("f()"))])
        assert (found.verdict, "sandbox.packages" in found.reason) == ("error", False)


def test_a_program_cannot_ask_to_be_masked(sandbox: Sandbox) -> None:
    program = "def f(): raise ModuleNotFoundError(\"No module named 'numpy'\")"
    for tests in ("assert f() == 1", "import math\nassert f() == math.pi"):
        [found] = sandbox.run([Job("t", program, CallTests(tests))])
        assert found.verdict == "error"


def test_a_run_says_how_many_verdicts_lack_a_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"task_id": n, "test_list": ASKS.split("\n"), "code": PLAIN} for n in (1, 2)]
    problems, samples = tmp_path / "p.jsonl", tmp_path / "s.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    samples.write_text("".join(f'{{"task_id": {n}, "completion": ""}}\n' for n in (1, 2)))
    told = [f"problems={problems}", f"samples={samples}", f"out={tmp_path / 'v.jsonl'}"]
    main(["run", *told, "workers=1"])
    said = capsys.readouterr()
    assert "note: 2 verdicts lack numpy: give --packages numpy" in said.err
    assert "unsupported" in said.out
    main(["run", *told, "workers=1", "packages=numpy"])
    assert "lack" not in capsys.readouterr().err
