"""Tests of an answer that is no program: what a function returns, or what makes it return that.

The answer is a Python expression. It is evaluated in the jail, and its value is compared in the
tester, which alone has the right one. CRUXEval writes answers as assertions, so these count, too.
"""

from __future__ import annotations

from seedbed.sandbox.verdict import CallTests

_READ = """
import ast as _ast


def _expression(text):
    # `assert f(1) == 2` and `f(1) == 2` name both sides of the call.
    try:
        node = _ast.parse(text.strip()).body[-1]
    except SyntaxError:
        node = _ast.parse("f(" + text.strip() + ")").body[-1]
    node = node.test if isinstance(node, _ast.Assert) else getattr(node, "value", node)
    call, value = None, node
    if isinstance(node, _ast.Compare) and isinstance(node.ops[0], _ast.Eq):
        call, value = node.left, node.comparators[0]
        if _is_call(value):
            call, value = value, call
    elif _is_call(node):
        call, value = node, None
    return call, value


def _is_call(node):
    name = getattr(getattr(node, "func", None), "id", None)
    return isinstance(node, _ast.Call) and name == "f"


def _value(node):
    return eval(compile(_ast.Expression(node), "<answer>", "eval"), {})
"""
_OUTPUT = """
def _answer():
    return _value(_expression(_answer_text)[1])
"""
_INPUT = """
def _answer():
    call, node = _expression(_answer_text)
    if call is None or not _is_call(call):
        # Arguments alone.
        call = _ast.parse("f(" + _answer_text.strip() + ")").body[-1].value
    named = {word.arg: _value(word.value) for word in call.keywords}
    return [_value(argument) for argument in call.args], named
"""


def output(wanted: str) -> CallTests:
    """Tests of what a function returns. wanted: the right value, as Python."""
    code = "_got = _answer()\nassert _got == _want, _got\n"
    return CallTests(code, f"_want = ({wanted}\n)\n", adapter=_READ + _OUTPUT, quoted=True)


def arguments(code: str, wanted: str) -> CallTests:
    """Tests of arguments with which the function f of `code` returns the value `wanted`."""
    calls = "_given, _named = _answer()\nassert f(*_given, **_named) == _want, (_given, _named)\n"
    setup = f"{code}\n_want = ({wanted}\n)\n"
    return CallTests(calls, setup, adapter=_READ + _INPUT, quoted=True)
