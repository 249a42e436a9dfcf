"""Functions of the user's, called in a process of their own: rewards and environments.

The trainer holds groups, weights and an engine. An exception, an exit, a crash or an endless loop
in somebody's function must not end it, nor may its prints and imports reach it. The function is the
user's own code and has the user's rights; it is no candidate program.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from conf.errors import SeedbedError

# Importing the module may load anything, so it gets longer than a call.
IMPORT_SECONDS = 120


class OwnFunction:
    """The function at a dotted path, behind a pipe of JSON lines (custom_process.py).

    A call takes a dict. A process that dies or stays silent is replaced.
    """

    def __init__(self, setting: str, path: str, timeout_s: float, kind: str):
        """setting: that names the function. kind: what it returns, `number` or `text`.

        Raises SeedbedError where there is no such function.
        """
        self._path, self._timeout, self._kind = path, timeout_s, kind
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = b""
        error = self._start()
        if error:
            self.close()
            raise SeedbedError(
                f"{setting}={path} cannot be used: {error}",
                "write MODULE.FUNCTION, with the module in the current folder or installed",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, sample: dict[str, Any]) -> dict[str, Any]:
        """{"value": what the function returns of the sample}, or {"error": why there is none}."""
        if self._process is None:
            error = self._start()
            if error:
                return {"error": error}
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(sample).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"error": self._lost()}
        return self._answer(self._timeout)

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> str:
        """Starts the process; what went wrong, "" where nothing did."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rl.shaping.custom_process", self._kind, self._path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._kept = b""
        return self._answer(IMPORT_SECONDS).get("error", "")

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._kept:
            ready = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                self.close()
                return {"error": f"no answer within {seconds:g} s"}
            read = os.read(pipe, 1 << 16)
            if not read:
                return {"error": self._lost()}
            self._kept += read
        line, self._kept = self._kept.split(b"\n", 1)
        return json.loads(line)

    def _lost(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self.close()
        return f"its process ended with exit code {code}"


class RewardFunction(OwnFunction):
    """A function that returns the reward of a sample."""

    def __init__(self, path: str, timeout_s: float):
        """Raises SeedbedError where there is no such function."""
        super().__init__("reward.function", path, timeout_s, "number")

    def __call__(self, samples: Sequence[dict[str, Any]]) -> list[float | str]:
        """For each sample its reward, or in words why there is none."""
        answers = map(self.ask, samples)
        return [str(one["error"]) if "error" in one else float(one["value"]) for one in answers]
