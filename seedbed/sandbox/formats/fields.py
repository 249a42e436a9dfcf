"""Reads fields of rows. A field of another type is one SeedbedError that names the row and it."""

from __future__ import annotations

import json
from typing import Any

from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.sandbox.verdict import Files

Row = jsonl.Row


def text(row: Row, field: str, kind: str = "problem") -> str:
    """A text. kind: "problem" or "sample", for the message."""
    value = row.get(field)
    if not isinstance(value, str):
        raise SeedbedError(
            f"A {kind} of task {row.get('task_id')!r} has {field} = {value!r:.80}, not a text.",
            f"Give each {kind} a text `{field}`.",
        )
    return value


def words(row: Row, *fields: str) -> str:
    """The first of these fields that holds a text, else "".

    A prompt may also be a list of chat messages; then it is the last one of the user.
    """
    for field in fields:
        value = row.get(field)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list):
            said = [part for part in value if isinstance(part, dict) and part.get("role") == "user"]
            if said and isinstance(said[-1].get("content"), str):
                return str(said[-1]["content"])
    return ""


def texts(row: Row, field: str) -> tuple[str, ...]:
    """A list of texts."""
    value = row[field]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has a {field} that is not a list of texts.",
            f"Make {field} a list of texts.",
        )
    return tuple(value)


def files(row: Row, field: str) -> Files:
    """An object that maps paths to texts."""
    value = row[field]
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise SeedbedError(
            f"Task {row.get('task_id')!r} has {field} that are not path -> text.",
            f"Make {field} an object of texts.",
        )
    return tuple(value.items())


def function_name(row: Row, field: str, default: Any = None) -> str:
    """The name of a function."""
    name = row.get(field, default)
    if not isinstance(name, str) or not name.isidentifier():
        raise SeedbedError(
            f"Problem {row['task_id']!r} has {field} = {name!r:.80}.",
            "Give the name of a function.",
        )
    return name


def parsed(row: Row, field: str, value: Any = None) -> Any:
    """The value of a field that holds JSON, as an object or as its text.

    value: what to read in place of row[field].
    """
    found = row.get(field) if value is None else value
    if not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except ValueError as error:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has a {field} that is not JSON ({error}).",
            f"Make {field} a JSON text or an object.",
        ) from None
