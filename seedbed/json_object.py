"""Whole JSON objects that others wrote, such as configs and manifests. Errors name the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed.jsonl import NOT_JSON

# What it raises where JSON has another shape than its reader expects.
_SHAPE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)


def read(path: Path, fix: str) -> dict[str, Any]:
    """The object in a file. fix: for the error.

    Raises SeedbedError where the file is missing, cannot be read, or holds no JSON object.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SeedbedError(f"{path} cannot be read ({error.strerror})", fix) from None
    return parse(data, path, fix)


def parse(data: str | bytes, where: object, fix: str) -> dict[str, Any]:
    """The object in a text. Raises SeedbedError, which names `where`, for anything else."""
    try:
        found = json.loads(data)
    except NOT_JSON as error:
        raise SeedbedError(f"{where} is not valid JSON ({str(error)[:200]})", fix) from None
    if not isinstance(found, dict):
        raise SeedbedError(f"{where} holds no JSON object", fix)
    return found


@contextmanager
def shaped(where: object, what: str, fix: str) -> Iterator[None]:
    """Turns what Python raises for another shape inside the block into a SeedbedError."""
    try:
        yield
    except _SHAPE as error:
        raise SeedbedError(
            f"{where} is no {what}: {type(error).__name__}: {str(error)[:200]}", fix
        ) from error
