"""Imports that contest data sets put before a program."""

from __future__ import annotations

# The modules of LiveCodeBench's header (lcb_runner/evaluation/testing_util.py, import_string), in
# its order. Those of APPS and TACO are among them or below.
_STARRED = (
    "string",
    "re",
    "datetime",
    "collections",
    "heapq",
    "bisect",
    "copy",
    "math",
    "random",
    "statistics",
    "itertools",
    "functools",
    "operator",
    "io",
    "sys",
    "json",
    "builtins",
    "typing",
)
# What APPS' header imports besides (eval/testing_util.py), numpy apart.
_NAMED = ("time", "fractions")
# LiveCodeBench's header sets this limit, too.
_DEPTH = 50_000

CONTEST = (
    "".join(f"from {name} import *\n" for name in _STARRED)
    + "".join(f"import {name}\n" for name in (*_STARRED, *_NAMED))
    + f"sys.setrecursionlimit({_DEPTH})\n"
)
