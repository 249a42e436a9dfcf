"""Tests that are classes of unittest, for one function of the program (BigCodeBench)."""

from __future__ import annotations

from seedbed.sandbox.checks import patches
from seedbed.sandbox.verdict import CallTests

# The first finding is raised as it was, so that the reason names the line of the test.
# A test seeds a generator for the program, which is elsewhere. So a seed is set on both sides, and
# only while the tests run.
_RUN = """
import importlib as _importlib
import sys as _sys
import unittest as _unittest


class _Finding(_unittest.TestResult):
    found = None

    def keep(self, test, problem):
        self.found = self.found or problem[1]
        self.stop()

    addError = addFailure = keep

    def addSubTest(self, test, part, problem):
        if problem is not None:
            self.keep(part, problem)


def _seeding(module):
    plain = module.seed

    def seed(value=None, *rest):
        plain(value, *rest)
        _answer_seed(module.__name__, value)

    seed.plain, module.seed = plain, seed
    return module, plain


{enter}_seeded = []
for _name in {seeded!r}:
    try:
        _seeded.append(_seeding(_importlib.import_module(_name)))
    except ImportError:
        pass
_suite, _finding = _unittest.TestSuite(), _Finding()
for _kind in list(globals().values()):
    if isinstance(_kind, type) and issubclass(_kind, _unittest.TestCase):
        if _kind.__module__ == __name__:
            _suite.addTests(_unittest.defaultTestLoader.loadTestsFromTestCase(_kind))
try:
    _suite.run(_finding)
finally:
    for _module, _plain in _seeded:
        _module.seed = _plain
{leave}if _finding.found:
    raise _finding.found
assert _finding.testsRun, "the tests hold no test"
assert not _finding.unexpectedSuccesses, "a test passed that should not"
"""
_ADAPTER = """
def _answer_seed(name, value):
    import sys

    module = sys.modules.get(name)
    if module is not None:
        # Where the tests are in the same process, the module's own seed is wrapped.
        getattr(module.seed, "plain", module.seed)(value)
"""


def classes(test: str, prelude: str) -> CallTests:
    """Tests by the classes of unittest that `test` defines.

    prelude: imports that the program may rely on.

    Patches of unittest.mock reach the program (patches.py).
    """
    mocks = "mock" in test
    enter, leave = (patches.ENTER, patches.LEAVE) if mocks else ("", "")
    seeded = [name for name in ("random", "numpy.random") if name.split(".")[0] in test]
    run = _RUN.replace("{seeded!r}", repr(seeded))
    run = run.replace("{enter}", enter).replace("{leave}", leave.lstrip("\n"))
    adapter = _ADAPTER + (patches.ADAPTER if mocks else "")
    return CallTests(test + "\n" + run, "", prelude=prelude, adapter=adapter)
