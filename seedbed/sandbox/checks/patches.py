"""Patches of unittest.mock that reach a program which is not in the tests' process.

The tests patch a name on their side, as ever. The adapter sets the same name in the jail, to what
asks the tests for each use. So a mock records what the program did, and answers it, and stays on
the trusted side.
"""

from __future__ import annotations

# Runs before the tests' classes. A mock has no plain form, so the program sees it through an object
# of the tests' own class (inside/visitors.py). What world.py carries over is left to it.
ENTER = """
import types as _types
import unittest.mock as _mock


class _Patched:
    def __init__(self, mock):
        self.__dict__["_mock"] = mock

    def __getattr__(self, name):
        return _as_shown(getattr(self._mock, name))

    def __setattr__(self, name, value):
        setattr(self._mock, name, _as_given(value))

    def __call__(self, *given, **named):
        named = {name: _as_given(value) for name, value in named.items()}
        return _as_shown(self._mock(*map(_as_given, given), **named))

    def __enter__(self):
        return _as_shown(self._mock.__enter__())

    def __exit__(self, *raised):
        return bool(self._mock.__exit__(*raised))

    def __iter__(self):
        return map(_as_shown, self._mock)

    def __getitem__(self, key):
        return _as_shown(self._mock[_as_given(key)])

    def __setitem__(self, key, value):
        self._mock[_as_given(key)] = _as_given(value)

    def __contains__(self, value):
        return _as_given(value) in self._mock

    def __len__(self):
        return len(self._mock)

    def __bool__(self):
        return bool(self._mock)

    def __int__(self):
        return int(self._mock)

    def __str__(self):
        return str(self._mock)


def _as_shown(value):
    return _Patched(value) if isinstance(value, _mock.NonCallableMock) else value


def _as_given(value):
    return value._mock if type(value) is _Patched else value


class _Own(_types.ModuleType):
    def __getattribute__(self, name):
        if name in ("__dict__", "__class__", "__name__"):
            return super().__getattribute__(name)
        try:
            return globals()[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        globals()[name] = value

    def __delattr__(self, name):
        del globals()[name]


# By these names tests call the module in which they and the program are.
_OWN = ("tests", "__test__")
for _name in _OWN:
    _sys.modules[_name] = _Own(_name)
_CARRIED = {("sys", "stdin"), ("sys", "stdout"), ("builtins", "input"), ("os", "environ")}


def _place_of(patch):
    target = patch.target
    if isinstance(target, _types.ModuleType):
        return target.__name__, ""
    if isinstance(target, type) and target.__module__ != "program":
        return target.__module__, target.__qualname__
    return None


def _enter_patch(patch):
    made, place = _mock_enter(patch), _place_of(patch)
    if place and (place[0], patch.attribute) not in _CARRIED:
        value = _as_shown(getattr(patch.target, patch.attribute))
        try:
            _answer_patch(id(patch), *place, patch.attribute, value)
        except BaseException:
            _mock_exit(patch, *_sys.exc_info())
            raise
        _sent[id(patch)] = patch
    return made


def _exit_patch(patch, *raised):
    if _sent.pop(id(patch), None):
        _answer_unpatch(id(patch))
    return _mock_exit(patch, *raised)


_sent = {}
_mock_enter, _mock_exit = _mock._patch.__enter__, _mock._patch.__exit__
_mock._patch.__enter__, _mock._patch.__exit__ = _enter_patch, _exit_patch
_mock._is_carried = True
"""
# Runs after them, also where they failed.
LEAVE = """
    _mock._patch.__enter__, _mock._patch.__exit__ = _mock_enter, _mock_exit
    for _name in _OWN:
        _sys.modules.pop(_name, None)
"""
ADAPTER = """
_patched = {}


def _answer_patch(number, module, holder, attribute, value):
    import importlib
    import sys

    own = module in ("tests", "__test__")
    # Where the tests are in the same process, the name of a module is patched already.
    if not own and hasattr(sys.modules.get("unittest.mock"), "_is_carried"):
        return
    target = sys.modules[__name__] if own else importlib.import_module(module)
    for name in holder.split(".") if holder else ():
        target = getattr(target, name)
    _patched[number] = target, attribute, vars(target).get(attribute, _patched)
    setattr(target, attribute, value)


def _answer_unpatch(number):
    if number in _patched:
        target, attribute, kept = _patched.pop(number)
        if kept is _patched:
            delattr(target, attribute)
        else:
            setattr(target, attribute, kept)
"""
