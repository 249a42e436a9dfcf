"""Java classes that MultiPL-E's prompts import (org.javatuples), in the part that they use.

Written anew: records with the library's names for making one and for reading its values.
"""

from __future__ import annotations

_NAMES = ("Unit", "Pair", "Triplet", "Quartet", "Quintet")


def _record(name: str, size: int) -> str:
    kinds = [f"T{number}" for number in range(size)]
    fields = ", ".join(f"T{number} value{number}" for number in range(size))
    values = ", ".join(f"value{number}" for number in range(size))
    typed = ", ".join(kinds)
    getters = "".join(
        f"    public T{number} getValue{number}() {{ return value{number}; }}\n"
        for number in range(size)
    )
    return (
        f"package org.javatuples;\n\npublic record {name}<{typed}>({fields}) {{\n"
        f"    public static <{typed}> {name}<{typed}> with({fields}) {{\n"
        f"        return new {name}<>({values});\n    }}\n{getters}}}\n"
    )


FILES = tuple(
    (f"org/javatuples/{name}.java", _record(name, size)) for size, name in enumerate(_NAMES, 1)
)
