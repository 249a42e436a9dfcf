"""No forged program passes where the host gives less than the sandbox asks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seedbed.sandbox.languages import installed
from seedbed.sandbox.languages.language import MissingTool
from tests.seedbed.sandbox.weak_worker import CONDITIONS

ROOT = Path(__file__).parents[3]
# Their compilers are fast; the others' corpora are put through by hand (weak_worker.py).
QUICK = ("c", "javascript")


def verdicts(condition: str, part: int, of: int, *languages: str) -> dict[str, list[str]]:
    arguments = [condition, str(part), str(of), *languages]
    done = subprocess.run(
        [sys.executable, "-m", "tests.seedbed.sandbox.weak_worker", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("languages", [(), QUICK], ids=["python", "others"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_no_forged_program_passes_in_a_weaker_jail(condition, languages):
    for language in languages:
        try:
            installed.toolchain(language)
        except MissingTool as error:
            pytest.skip(str(error))
    # A fixed sample; each condition has programs of its own.
    part = list(CONDITIONS).index(condition)
    found = verdicts(condition, part, 2 * len(CONDITIONS), *languages)
    assert len(found) > (8 if not languages else 5)
    honest = {name: one for name, one in found.items() if name.startswith("honest")}
    assert {one[0] for one in honest.values()} == {"pass"}, honest
    passed = {name: one for name, one in found.items() if one[0] in ("pass", "infrastructure")}
    assert passed.keys() == honest.keys()


@pytest.mark.parametrize("condition", ["root of a container", "one user"])
def test_a_compiler_works_for_a_user_who_may_map_no_other_id(condition):
    try:
        installed.toolchain("c")
    except MissingTool as error:
        pytest.skip(str(error))
    # One forgery between two honest programs.
    found = verdicts(condition, 0, 50, "c")
    assert {name: one[0] for name, one in found.items() if name.startswith("honest")} == {
        "honest": "pass",
        "honest, afterwards": "pass",
    }
