"""The process that calls a function of the user's: JSON lines in, JSON lines out.

    python -m rl.shaping.custom_process number|text MODULE.FUNCTION

The first line out is {} or {"error": TEXT}; then each line in, a sample, is answered by
{"value": VALUE} or {"error": TEXT}. VALUE is a finite number, or with `text` a text, where None
counts as "". What the function prints goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable
from typing import Any

from seedbed.processes import die_with_parent


def main(kind: str, path: str) -> None:
    die_with_parent()
    # The channel is a descriptor that the function does not know of.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        channel.write(json.dumps(answer) + "\n")
        channel.flush()

    try:
        module, name = path.rsplit(".", 1)
        function = getattr(importlib.import_module(module), name)
        if not callable(function):
            raise TypeError(f"{name} is no function")
    # Importing runs the user's code, which may raise anything, SystemExit included.
    except BaseException as error:
        say({"error": _words(error)})
        return
    say({})
    for line in sys.stdin:
        say(_call(function, json.loads(line), kind))


def _call(
    function: Callable[[dict[str, Any]], Any], sample: dict[str, Any], kind: str
) -> dict[str, Any]:
    try:
        answer = function(sample)
        if kind == "text":
            return _text(answer)
        value = float(answer)
    except Exception as error:
        return {"error": _words(error)}
    if not math.isfinite(value):
        return {"error": f"it returned {value}, which is no finite number"}
    return {"value": value}


def _text(answer: Any) -> dict[str, Any]:
    if answer is None or isinstance(answer, str):
        return {"value": answer or ""}
    return {"error": f"it returned {type(answer).__name__}, which is no text"}


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


if __name__ == "__main__":
    main(*sys.argv[1:])
