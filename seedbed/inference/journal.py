"""Answers on the disk of the driver, until they are rows of a table: one JSON line per answer.

Each line is flushed to the disk as it arrives. A run that is killed between two commits reads them
again and asks nothing twice. A line that a kill cut is removed, and lines of other parameters are
skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from conf.errors import SeedbedError
from seedbed import jsonl


class Journal:
    """An append-only log of answers.

    answers: content_sha256 -> answer, of the parameters `params_hash`, old ones and new ones.

    Raises SeedbedError with file:line for a line that is no answer.
    """

    def __init__(self, path: Path, params_hash: str):
        self.path, self._params = path, params_hash
        self.answers: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            _remove_cut_line(path)
            for number, record in jsonl.read(path):
                sha256 = record.get("content_sha256")
                if not isinstance(sha256, str) or "params_hash" not in record:
                    raise SeedbedError(
                        f"{path}:{number} is no answer: it names no content or no parameters",
                        "mend or remove that line",
                    )
                if record["params_hash"] == params_hash:
                    self.answers[sha256] = record
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by __exit__)

    def add(self, content_sha256: str, **answer: Any) -> None:
        """Keep an answer.

        Raises SeedbedError where the disk is full. The answer then does not count as given.
        """
        record = {"content_sha256": content_sha256, "params_hash": self._params, **answer}
        line = json.dumps(record, ensure_ascii=True).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError("No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            # The next line must not follow half a line.
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


def _remove_cut_line(path: Path) -> None:
    """Removes what follows the last newline: a line that a kill cut."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        os.truncate(path, end)
