"""C++, by g++."""

from __future__ import annotations

from seedbed.sandbox.languages import gcc
from seedbed.sandbox.languages.language import Language

LANGUAGE = Language(
    "cpp",
    "C++",
    "main.cpp",
    lambda: gcc.toolchain("g++", "g++", "c++", ("-std=gnu++20",)),
    others=("c++", "cc", "cxx", "hpp"),
    memory_words=("std::bad_alloc",),
)
