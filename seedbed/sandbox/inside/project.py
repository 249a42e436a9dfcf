"""Hidden test files for a program of several files. The tests run in the tester, as always.

The program stays in its jail, and what the tests import from it are stand-ins. A module name
belongs to the tests if they have such a file, else to the standard library, else to the program. So
a program's `unittest.py` fools nobody but itself.

A stand-in passes on what gives an answer: calls, attributes, items, iteration, truth, text, and
arithmetic and comparison of two objects of the program. It never tells the program what its answer
is compared with: ==, < and arithmetic with a plain value stay here. An exception class of the
program has a class of the same name here, so that `assertRaises` works.

Tests that need more fail with the reference, too, which is judged first. Examples are tests that
subclass a class of the program, or read what it prints.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from .program import Program, ProgramError
from .stand_ins import blame
from .values import RAISABLE


class Project:
    """The test files of a problem and their command (verdict.ProjectTests).

    They run anew for each program.
    """

    def __init__(self, files: Sequence[tuple[str, str]], command: Sequence[str], _: None):
        self.texts = self._files = dict(files)
        self._command = command
        self._compiled: dict[str, CodeType] = {}

    def run(self, program: Program, source: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
        """The verdict and reason that the tests found; None where all held.

        source: pairs (path, text), the program's files.
        """
        stand_ins = StandIns(program)
        program.stand_in, program.number_of = stand_ins.of, _number_of
        program.load(source)
        finder: Any = _Finder(self._files, [path for path, _ in source], stand_ins, self.compiled)
        before, arguments = set(sys.modules), sys.argv
        sys.meta_path.insert(0, finder)
        try:
            if self._command[1] == "-m":
                return self._run_unittest(program)
            return self._run_file(program)
        finally:
            sys.meta_path.remove(finder)
            sys.argv = arguments
            for name in set(sys.modules) - before:
                if finder.is_mine(name):
                    del sys.modules[name]

    def compiled(self, path: str) -> CodeType:
        if path not in self._compiled:
            self._compiled[path] = compile(self._files[path], path, "exec", dont_inherit=True)
        return self._compiled[path]

    def _run_file(self, program: Program) -> tuple[str, str] | None:
        """`python FILE ...` holds if the file ends by itself, or with exit status 0."""
        path, before = self._command[1], sys.modules["__main__"]
        sys.argv = list(self._command[1:])
        module = sys.modules["__main__"] = ModuleType("__main__")
        module.__file__ = path
        try:
            exec(self.compiled(path), module.__dict__)
        except SystemExit as error:
            return ("fail", f"the test command exits with {error.code}") if error.code else None
        except BaseException as error:
            return blame(program, error, self._files)
        finally:
            sys.modules["__main__"] = before
        return None

    def _run_unittest(self, program: Program) -> tuple[str, str] | None:
        """`python -m unittest [MODULE ...]` holds if a test ran, and each that ran held."""
        import unittest

        names = self._command[3:] or [
            _dotted(path) for path in self._files if path.split("/")[-1].startswith("test")
        ]
        loader = unittest.TestLoader()
        found: list[tuple[str, BaseException]] = []

        class Result(unittest.TestResult):
            def addError(self, test: Any, err: Any) -> None:
                super().addError(test, err)
                found.append((str(test), err[1]))

            def addFailure(self, test: Any, err: Any) -> None:
                super().addFailure(test, err)
                found.append((str(test), err[1]))

            def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
                super().addSubTest(test, subtest, err)
                if err is not None:
                    found.append((str(subtest), err[1]))

        result = Result()
        try:
            for name in names:
                if _is_file(name, self._files):
                    importlib.import_module(name)
            loader.loadTestsFromNames(list(names)).run(result)
        except BaseException as error:
            return blame(program, error, self._files)
        if found:
            verdict, reason = blame(program, found[0][1], self._files)
            return verdict, f"{found[0][0]}: {reason}"
        if not result.wasSuccessful():
            return "fail", "a test that should fail holds"
        if result.testsRun <= len(result.skipped):
            return "fail", "the command ran no test"
        return None


def _number_of(value: Any) -> int | None:
    return value._number if isinstance(value, Remote) else None


def _dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _is_file(name: str, files: dict[str, str]) -> bool:
    return any(_dotted(path) == name for path in files)


def _folders(paths: Iterable[str]) -> set[str]:
    return {
        path.rsplit("/", depth)[0].replace("/", ".")
        for path in paths
        for depth in range(1, path.count("/") + 1)
    }


class _Finder:
    """Imports test files from memory, and the program's modules from the jail."""

    def __init__(
        self,
        files: dict[str, str],
        program: Sequence[str],
        stand_ins: StandIns,
        compiled: Callable[[str], CodeType],
    ):
        self._stand_ins, self._compiled = stand_ins, compiled
        self._paths = {
            _dotted(path).removesuffix(".__init__"): path for path in files if path.endswith(".py")
        }
        # A folder is a package with an __init__.py or without.
        self._packages = _folders(files)
        self._tests = {name.split(".")[0] for name in self._paths}
        tops = {path.split("/")[0].removesuffix(".py") for path in program}
        self._program = tops - self._tests - sys.stdlib_module_names
        self._program_packages = _folders(program)

    def is_mine(self, name: str) -> bool:
        return name.split(".")[0] in self._tests | self._program

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name in self._paths or name in self._packages:
            return ModuleSpec(
                name, self, origin=self._paths.get(name), is_package=name in self._packages
            )  # type: ignore[arg-type]
        if name.split(".")[0] in self._program:
            package = name in self._program_packages
            return ModuleSpec(name, self, origin="the program", is_package=package)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        if spec.origin != "the program":
            return None
        return self._stand_ins.module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        path = self._paths.get(module.__name__)
        if path is not None and not isinstance(module, _Module):
            module.__file__ = path
            exec(self._compiled(path), module.__dict__)


class _Module(ModuleType):
    """A module of the program. A name is looked up in the jail when the tests use it."""

    def __init__(self, name: str, handle: Any, public: tuple[str, ...]):
        super().__init__(name)
        self.__dict__["_handle"] = handle
        self.__all__ = list(public)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, ModuleType):
            super().__setattr__(name, value)
        else:
            setattr(self._handle, name, value)


class StandIns:
    """The program's objects as the tests see them, with one stand-in per object."""

    def __init__(self, program: Program):
        self._program = program
        self._known: dict[int, Any] = {}

    def of(self, number: int) -> Any:
        if number not in self._known:
            self._known[number] = StandIn(self._program, number, self)
        return self._known[number]

    def module(self, name: str) -> ModuleType:
        """Import a module in the jail. Raises what the import raised there."""
        answer = self._program.request("import", "", (name,))
        if type(answer) is not tuple or [type(part) for part in answer] != [StandIn, tuple]:
            self._program.end("error", "a malformed answer")
        # A star import must not replace what the tests mean by `len` or `unittest`.
        taken = sys.stdlib_module_names | set(vars(builtins))
        return _Module(
            name,
            answer[0],
            tuple(word for word in answer[1] if type(word) is str and word not in taken),
        )

    def look(self, number: int, name: str) -> Any:
        """An attribute of an object. Makes a class for an exception class that is new here."""
        answer = self._program.request("look", number, (name,))
        if type(answer) is not tuple or len(answer) != 2:
            self._program.end("error", "a malformed answer")
        value, ancestry = answer
        if type(value) is not StandIn or ancestry is None:
            return value
        return self._exception(value, ancestry)

    def _exception(self, value: Any, ancestry: Any) -> Any:
        """The class here that stands for an exception class of the program.

        ancestry: what operations.ancestry_of gives, with stand-ins for the classes.
        """
        if type(ancestry) is not tuple or not ancestry or type(ancestry[-1]) is not str:
            self._program.end("error", "a malformed answer")
        kind: Any = RAISABLE.get(ancestry[-1], Exception)
        for part in reversed(ancestry[:-1]):
            if type(part) is not tuple or len(part) != 2 or type(part[0]) is not str:
                self._program.end("error", "a malformed answer")
            # A type and not a stand-in: the class was made before.
            if isinstance(part[1], type):
                kind = part[1]
            elif type(part[1]) is StandIn:
                kind = type(part[0], (kind,), {"__module__": "program"})
                self._known[part[1]._number] = self._program.classes[part[1]._number] = kind
        return self._known[value._number]


class Remote:
    """An object of a project that stays in the jail. Every use of it is a request."""

    __slots__ = ("_number", "_program")

    def __init__(self, program: Program, number: int):
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._program.request("call", self._number, arguments, keywords or None)

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.request("set", self._number, (name, value))

    def __getitem__(self, key: Any) -> Any:
        return self._program.request("item", self._number, (key,))

    def __len__(self) -> int:
        return self._program.request("len", self._number, ())

    def __iter__(self) -> Any:
        return self._program.request("iter", self._number, ())

    def __next__(self) -> Any:
        try:
            return self._program.request("next", self._number, ())
        except ProgramError as error:
            if error is self._program.raised and self._program.why.startswith("StopIteration:"):
                raise StopIteration from None
            raise


class StandIn(Remote):
    """An object of the program in the tests of a project."""

    __slots__ = ("_others",)

    def __init__(self, program: Program, number: int, others: StandIns):
        super().__init__(program, number)
        object.__setattr__(self, "_others", others)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._others.look(self._number, name)

    def _ask(self, operation: str, *arguments: Any) -> Any:
        return self._program.request(operation, self._number, arguments)

    def _truth(self, operation: str, *arguments: Any) -> bool:
        answer = self._ask(operation, *arguments)
        if type(answer) is not bool:
            raise TypeError(f"{operation} gave no bool")
        return answer

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("set item", key, value)

    def __delitem__(self, key: Any) -> None:
        self._ask("delete item", key)

    def __bool__(self) -> bool:
        return self._truth("bool")

    def __str__(self) -> str:
        answer = self._ask("str")
        return answer if type(answer) is str else object.__repr__(self)

    def __repr__(self) -> str:
        return f"<an object of the program, number {self._number}>"

    def __instancecheck__(self, value: Any) -> bool:
        return type(value) is StandIn and self._truth("is instance", value)

    def __enter__(self) -> Any:
        return self._ask("enter")

    def __exit__(self, *error: Any) -> None:
        self._ask("exit")

    def __hash__(self) -> int:
        return hash(self._number)

    def __eq__(self, other: object) -> Any:
        return (
            NotImplemented
            if type(other) is not StandIn
            else self is other or self._truth("eq", other)
        )

    def __ne__(self, other: object) -> Any:
        return NotImplemented if type(other) is not StandIn else self._truth("ne", other)


def _between_objects(name: str, operation: str) -> Callable[[Any, Any], Any]:
    def apply(self: StandIn, other: Any) -> Any:
        return self._ask(operation, other) if type(other) is StandIn else NotImplemented

    apply.__name__ = name
    return apply


for _name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "matmul", "and", "or", "xor"):
    setattr(StandIn, f"__{_name}__", _between_objects(f"__{_name}__", _name))
