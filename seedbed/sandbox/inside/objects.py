"""Objects of the program as the tests see them.

Each class of the program has a class here with the special methods that the program gave it, so
that `isinstance`, `type`, `callable` and protocols answer as in one process. What such a method
does, the jail does. An instance of a subclass of a built-in type carries its content, which decides
where it meets a plain value.

A program never learns which plain value its answer is compared with, so an object cannot equal one
by its own `__eq__`: `Objects.blind` then says that this run has not seen all. Two objects of the
program are compared in all six ways at once, whichever was asked for. Arithmetic and `in` with a
plain value pass it on only for classes that the tests ask for by name (`trusted`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import wire
from .operations import BASES, fill
from .stand_ins import Coroutine, EnumMeta, Function, Meta, attributes

if TYPE_CHECKING:
    from .program import Program

_BY_NAME = {base.__name__: base for base in BASES}
_MUTABLE = (list, dict, set, bytearray)
_COMPARED = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_BINARY_NAMES = """
    add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift
"""
_BINARY = _BINARY_NAMES.split()
_ARITHMETIC = frozenset(f"__{form}{name}__" for form in ("", "r", "i") for name in _BINARY)
_DELEGATED_NAMES = """
    len getitem setitem delitem reversed call enter int float complex index bytes round
    trunc floor ceil abs neg pos invert fspath aiter anext aenter length_hint get
"""
# Those whose result tells how far an operand is from the object.
_TELLING = frozenset(
    f"__{form}{name}__"
    for form in ("", "r")
    for name in ["sub", "truediv", "floordiv", "mod", "xor"]
)
# Special methods without operands of the tests, or with operands that are no expected values.
_DELEGATED = frozenset(f"__{name}__" for name in _DELEGATED_NAMES.split())
# Special methods that must give one exact type.
_TYPED = {
    "__bool__": bool, "__str__": str, "__repr__": str, "__format__": str, "__hash__": int,
}  # fmt: skip
# Values that no test means, for a container that claims to hold everything.
_DECOYS: dict[type, tuple[Any, ...]] = {
    int: (-918273645, 73737373737, 5550005551),
    float: (-9182.73645, 7373.7373, 1e-77),
    str: ("zqx-vjk", "\u2603 no such text", "Q9w8E7"),
    tuple: (("zqx", -918273645), (None, None, 5550005551), ("\u2603",)),
}
_ALWAYS_OF_MUTABLE = ("__setitem__", "__delitem__", "__iadd__", "__ior__", "__imul__")


@dataclass(frozen=True)
class Trust:
    """Which names of the tests mean a class that the problem asks for.

    classes: the classes of the problem's own solution. None where it has none: then all names that
    begin with a capital letter.
    """

    classes: tuple[str, ...] | None

    def holds(self, name: str) -> bool:
        return name in self.classes if self.classes is not None else name[:1].isupper()


class Objects:
    """All objects that one program has handed out."""

    def __init__(self, program: Program, trust: Trust):
        self._program, self._trust = program, trust
        self._known: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        # Classes that the tests ask for.
        self._asked_for: set[int] = set()
        # Number -> bytes of the content, of plain containers that an object holds, too.
        self._shared: dict[int, bytes] = {}
        # Why this run cannot decide alone; empty if it can.
        self.blind = ""

    @property
    def met(self) -> bool:
        """Whether an object had to be answered for."""
        return bool(self._known)

    def number(self, value: Any) -> int | None:
        """The number of an object of the program; None for all else."""
        number = self._numbers.get(id(value))
        return number if number is not None and self._known.get(number) is value else None

    def cannot(self, what: str) -> None:
        self.blind = self.blind or what

    def ask_for(self, name: str, value: Any) -> None:
        """Note that the tests know a value of the program by a name."""
        if isinstance(value, Meta) and self._trust.holds(name):
            self._asked_for.add(id(value))

    def ask(self, value: Any, operation: str, arguments: tuple[Any, ...], words: Any = None) -> Any:
        return self._program.request(operation, self._numbers[id(value)], arguments, words)

    def truth(self, value: Any, operation: str, *arguments: Any) -> bool:
        """A yes or no about objects of the program. No for plain values, which stay here."""
        if any(self.number(argument) is None for argument in arguments):
            return False
        answer = self.ask(value, operation, arguments)
        if type(answer) is not bool:
            raise TypeError(f"{operation} gave no bool")
        return answer

    def of(self, number: int, info: Any) -> Any:
        """The stand-in of an object. info: operations.describe's when it is new, else None.

        Raises wire.Malformed.
        """
        if info is None or number in self._known:
            if number not in self._known:
                raise wire.Malformed("an unknown object")
            return self._known[number]
        if type(info) is not tuple or not info or type(info[0]) is not str:
            raise wire.Malformed("a description")
        try:
            made = self._make(number, *info)
        except (TypeError, ValueError) as error:
            raise wire.Malformed(f"a description ({error})") from None
        self._known[number], self._numbers[id(made)] = made, number
        return made

    def update(self, number: Any, content: Any) -> None:
        """The content of a mutable object has changed."""
        value = self._known.get(number)
        base = next((base for base in _MUTABLE if isinstance(value, base)), None)
        if base is None or type(content) is not base:
            raise wire.Malformed("an update of an object")
        fill(value, content)
        if number in self._shared:
            self._shared[number] = self._program.image(value)

    def share(self, number: Any, value: Any) -> Any:
        """A plain container that an object of the program holds, too. One object per number."""
        if type(number) is not int or type(value) not in _MUTABLE:
            raise wire.Malformed("a shared value")
        known = self._known.get(number)
        if known is not None:
            self.update(number, value)
            return known
        self._known[number], self._numbers[id(value)] = value, number
        self._shared[number] = self._program.image(value)
        return value

    def changed(self) -> list[tuple[int, Any]]:
        """Shared containers that the tests have changed since the last question."""
        images = {number: self._program.image(self._known[number]) for number in self._shared}
        found = [number for number, image in images.items() if image != self._shared[number]]
        self._shared.update(images)
        return [(number, self._known[number]) for number in found]

    def _make(self, number: int, role: str, *parts: Any) -> Any:
        if role == "function":
            return Function(self._program, number)
        if role == "coroutine":
            return Coroutine(self, number)
        if role == "class":
            return self._class(number, *parts)
        kind, content = parts
        if type(kind) is type:
            # A type of Python itself, such as `zip`.
            own = {name for base in kind.__mro__[:-1] for name in vars(base)}
            kind = self._class(-1, kind.__name__, tuple(own), False, None, False, "", None)
        base = next((base for base in BASES if base in kind.__mro__), None)
        if base is None:
            return object.__new__(kind)
        if type(content) is not base:
            raise wire.Malformed("a content")
        made: Any = base.__new__(kind) if base in _MUTABLE else base.__new__(kind, content)
        if base in _MUTABLE:
            fill(made, content)
        return made

    def _class(self, number: int, *parts: Any) -> Any:
        """The class here of a class of the program. parts: operations._describe_class's."""
        name, own, unhashable, ancestry, is_enum, base, told = parts
        if ancestry is not None:
            return self._program.exception_class(number, name, ancestry, told)
        root: Any = _BY_NAME.get(base, object)
        space: dict[str, Any] = {
            "__module__": "program",
            "__slots__": (),
            "__hash__": root.__hash__,
        }
        if unhashable:
            space["__hash__"] = None
        names = {*own, *(_ALWAYS_OF_MUTABLE if root in _MUTABLE else ())}
        if "__missing__" in names:
            names.add("__getitem__")
        for word in names:
            method = self._method(word, root)
            if method is not None and not (word == "__hash__" and unhashable):
                space[word] = method
        space.update(attributes(self))
        return type.__call__(EnumMeta if is_enum else Meta, name, (root,), space, ours=True)

    def _method(self, name: str, root: Any) -> Any:
        """What stands for a special method of the program; None where nothing does."""
        if name in _COMPARED:
            return self._comparison(name, root)
        if name in _ARITHMETIC:
            return self._arithmetic(name, root)
        if name == "__iter__":
            return self._iteration(root)
        if name in _TYPED:
            return self._typed(name, _TYPED[name])
        if name == "__contains__":
            return self._membership(root)
        if name == "__next__":
            return lambda value: self._step(value)
        if name in ("__exit__", "__aexit__"):
            return self._leave(name)
        if name == "__await__":
            return lambda value: self._awaited(value)
        return self._delegated(name) if name in _DELEGATED else None

    def _delegated(self, name: str) -> Callable[..., Any]:
        return lambda value, *given, **words: self.ask(
            value, "special", (name, *given), words or None
        )

    def _typed(self, name: str, kind: type) -> Callable[..., Any]:
        def method(value: Any, *given: Any) -> Any:
            answer = self.ask(value, "special", (name, *given))
            if type(answer) is not kind:
                raise TypeError(f"{name} returned a {type(answer).__name__}")
            return answer

        return method

    def _comparison(self, name: str, root: Any) -> Callable[[Any, Any], Any]:
        def method(value: Any, other: Any) -> Any:
            if self.number(other) is not None:
                return self._compared(value, other)[_COMPARED.index(name)]
            if root is not object:
                return getattr(root, name)(value, other)
            self.cannot("the tests compare an object of the program with a plain value")
            return NotImplemented

        return method

    def _compared(self, value: Any, other: Any) -> list[Any]:
        answer = self.ask(value, "compare", (other,))
        if type(answer) is not tuple or len(answer) != 6:
            raise wire.Malformed("a comparison")
        equal, unequal, less, less_equal, greater, greater_equal = answer
        orders = (less and greater) or (less and less_equal is False)
        if equal is unequal or orders or (greater and greater_equal is False):
            self.cannot("an object of the program compares in ways that exclude each other")
        return [NotImplemented if part is None else part for part in answer]

    def _is_asked_for(self, value: Any) -> bool:
        return id(type(value)) in self._asked_for

    def _arithmetic(self, name: str, root: Any) -> Callable[..., Any]:
        def method(value: Any, *others: Any) -> Any:
            objects = all(self.number(other) is not None for other in others)
            if objects or self._is_asked_for(value):
                # A capital letter is a guess, and a difference from what is expected shows it.
                if not objects and name in _TELLING and self._trust.classes is None:
                    self.cannot("the tests take a plain value from an object of the program")
                return self.ask(value, "special", (name, *others))
            self.cannot("the tests reckon with an object of the program and a plain value")
            return getattr(root, name)(value, *others) if hasattr(root, name) else NotImplemented

        return method

    def _membership(self, root: Any) -> Callable[[Any, Any], bool]:
        def method(value: Any, item: Any) -> bool:
            if self.number(item) is not None or self._is_asked_for(value):
                return self._holds(value, item)
            if root is not object:
                return bool(root.__contains__(value, item))
            if _has(value, "__iter__"):
                return any(part is item or part == item for part in value)
            self.cannot("the tests ask whether an object of the program holds a plain value")
            return False

        return method

    def _holds(self, value: Any, item: Any) -> bool:
        decoys = _DECOYS.get(type(item), ())
        # The real question is not the last one, and not always the first.
        asked = [*decoys[:1], item, *decoys[1:]]
        answers = [bool(self.ask(value, "special", ("__contains__", part))) for part in asked]
        if decoys and all(answers):
            self.cannot("an object of the program claims to hold everything")
        return answers[min(1, len(decoys))]

    def _iteration(self, root: Any) -> Callable[[Any], Any]:
        def method(value: Any) -> Any:
            found = self.ask(value, "special", ("__iter__",))
            if not _has(value, "__len__"):
                return found
            return self._counted(found, len(value))

        return method

    def _counted(self, items: Any, count: int) -> Any:
        """Iterates, and looks whether there are as many items as the object said."""
        found = 0
        for item in items:
            found += 1
            yield item
        if found != count:
            self.cannot("an object of the program has another length than items")

    def _step(self, value: Any) -> Any:
        answer = self.ask(value, "send", (None,))
        if type(answer) is not tuple or len(answer) > 2:
            raise wire.Malformed("a next value")
        if len(answer) != 1:
            raise StopIteration(*answer[1:])
        return answer[0]

    def _leave(self, name: str) -> Callable[..., Any]:
        def method(value: Any, kind: Any, error: Any, trace: Any) -> Any:
            # A finding of the tests is no concern of the program: its text may hold what they
            # expect, and it must not be swallowed.
            if isinstance(error, AssertionError):
                kind = error = None
                found = True
            else:
                found = False
            answer = self.ask(value, "special", (name, kind, error, None))
            return False if found else answer

        return method

    def _awaited(self, value: Any) -> Any:
        return Coroutine(self, self._numbers[id(value)]).__await__()


def _has(value: Any, name: str) -> bool:
    """Whether the class of an object has a special method. The jail is not asked."""
    return any(name in vars(base) for base in type(value).__mro__)
