"""A numpy for tests that use it only to compare, as HumanEval+ and MBPP+ do on Hugging Face.

Their test code imports numpy for `numpy.allclose`, and asks whether an answer is an array. A tester
has no numpy, unless the sandbox is given it.
"""

from __future__ import annotations

import ast

from seedbed.sandbox import python_source
from seedbed.sandbox.checks.evalplus import CLOSE

_OFFERED = {"allclose", "isclose", "ndarray", "float32", "float64"}
_STUB = """
import sys as _sys

try:
    import numpy
except ImportError:
{close}
    _numpy = type(_sys)("numpy")
    _numpy.allclose = _numpy.isclose = _allclose
    _numpy.ndarray = type("ndarray", (), {{}})
    _numpy.float32 = _numpy.float64 = float
    _sys.modules["numpy"] = _numpy
"""


def stub(code: str) -> str:
    """Setup for test code that needs no more of numpy than is written here; else empty."""
    # Of code that is no Python the tester reports the fault.
    nodes = python_source.nodes(code)
    names = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "numpy"
    }
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in names
    }
    if not names or not used <= _OFFERED:
        return ""
    close = "\n".join(f"    {line}" if line else "" for line in CLOSE.splitlines())
    return _STUB.format(close=close)
