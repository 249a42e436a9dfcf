"""What a child process runs: one call of a function after another, until its server is gone.

    python -m spark_jobs.runtime.children.program FD PARENT

FD is the child's end of the socket, PARENT the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.serializers import CloudPickleSerializer

from conf.errors import SeedbedError
from seedbed.processes import die_with_parent
from spark_jobs.runtime.children.wire import ConnectionLost, Kind, Wire

Batches = Iterator[pa.RecordBatch]


def main(argv: list[str]) -> None:
    descriptor, parent = map(int, argv)
    die_with_parent()
    # The parent may have ended before the line above.
    if os.getppid() != parent:
        return
    # The server hears of an interrupt too, and ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An ended call unwinds the function, so that what it holds is released.
    end = End()
    signal.signal(signal.SIGTERM, end.terminate)
    with socket.socket(fileno=descriptor) as connection, contextlib.suppress(ConnectionLost):
        serve(Wire(connection, end.heard))


class End:
    """The end of this process, told by SIGTERM and by the socket at about the same time.

    Only the first of them unwinds the function. The other would cut short what unwinding does.
    """

    def __init__(self) -> None:
        self._came = False

    def heard(self) -> None:
        self._came = True

    def terminate(self, *_: Any) -> None:
        if not self._came:
            self._came = True
            sys.exit(0)


def serve(wire: Wire) -> None:
    """Answer calls. Raises ConnectionLost when the other side is gone."""
    blob = pa.py_buffer(b"")
    function: Callable[[Batches], Batches] | None = None
    while True:
        kind, payload = wire.receive()
        if kind == Kind.FUNCTION:
            blob, function = payload, None
            continue
        try:
            function = function or _load(blob)
            for batch in function(_asked_for(wire)):
                wire.send_batch(batch)
        except ConnectionLost:
            raise
        except SeedbedError as error:
            wire.send(Kind.OURS, "\0".join((error.problem, error.fix)).encode())
        except Exception:
            wire.send(Kind.ERROR, traceback.format_exc().encode())
        else:
            wire.send(Kind.DONE)


def _load(blob: pa.Buffer) -> Any:
    # The bytes are of the server's own process, which had them from the job, as Spark's workers do.
    return CloudPickleSerializer().loads(blob.to_pybytes())


def _asked_for(wire: Wire) -> Batches:
    """The batches of the call, each asked for when the function wants it."""
    while True:
        wire.send(Kind.WANT)
        kind, payload = wire.receive()
        if kind == Kind.END:
            return
        yield wire.batch(payload)


if __name__ == "__main__":
    main(sys.argv[1:])
