"""C, by gcc."""

from __future__ import annotations

from seedbed.sandbox.languages import gcc
from seedbed.sandbox.languages.language import Language

LANGUAGE = Language(
    "c",
    "C",
    "main.c",
    lambda: gcc.toolchain("gcc", "gcc", "c", ("-std=gnu17",)),
    others=("h",),
)
