"""Answers on the driver's disk before they are rows of `labels`: one JSON line each, flushed to the
disk as it arrives.

A run that is killed between two commits takes them up again and asks nothing twice. A line that a
kill cut short is dropped; lines of other parameters are passed over.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from conf.errors import SeedbedError


class Journal:
    """Append-only; `answers` are those of `params_hash` by content hash, the old ones and those
    added since.
    """

    def __init__(self, path: Path, params_hash: str):
        self.path, self._params = path, params_hash
        self.answers: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            lines = path.read_bytes().split(b"\n")
            # what follows the last newline was cut short
            for line in lines[:-1]:
                record = json.loads(line)
                if record["params_hash"] == params_hash:
                    self.answers[record["content_sha256"]] = record
            if lines[-1]:
                os.truncate(path, path.stat().st_size - len(lines[-1]))
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by __exit__)

    def add(self, content_sha256: str, **answer: Any) -> None:
        """Keep an answer.

        Raises SeedbedError where the disk is full: the answer is then not counted as given.
        """
        record = {"content_sha256": content_sha256, "params_hash": self._params, **answer}
        line = json.dumps(record, ensure_ascii=True).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError("No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            # no half line for the next one to be glued to
            os.ftruncate(self._file.fileno(), end)
            raise SeedbedError(
                f"the answer for {content_sha256[:12]} cannot be written to {self.path}: {error}",
                "free space and run again: what was answered before is kept",
            ) from error
        self.answers[content_sha256] = record

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
