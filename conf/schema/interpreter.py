"""Which Python judges programs, for every program that has a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError


@dataclass(frozen=True)
class InterpreterConfig:
    """The interpreter that judges programs, and its packages (docs/post-train.md)."""

    # Path of the CPython that judges. Empty means the one that runs the command.
    python: str = ""
    # Import names of packages installed beside it that programs and tests may use.
    packages: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Refuses a package that is no name."""
        for name in self.packages:
            if not all(word.isidentifier() for word in name.split(".")):
                raise SeedbedError(
                    f"sandbox.packages has {name!r}, which is no import name",
                    "give names as programs import them: sandbox.packages=[numpy,sympy]",
                )
