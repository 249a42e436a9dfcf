"""Messages between a server and a child process, over a pair of Unix sockets.

A call is strict turns, so that neither side ever waits for the other with a full socket:

    server                      child
    FUNCTION blob               keeps it for the calls that follow
    CALL                        starts the function
                                WANT: the function asks for its next batch
    SCHEMA, BATCH or END        answers each WANT; SCHEMA where it is new
                                SCHEMA, BATCH: the function gave a batch
                                DONE, OURS or ERROR: the end of the call

A batch travels as an Arrow IPC message. The receiver reads its columns where they arrived.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from enum import IntEnum

import pyarrow as pa

# Of every message: kind, bytes that follow.
_HEADER = struct.Struct("<BQ")
# Bytes that one side may write before the other reads. The system may grant less.
_SOCKET_BYTES = 4 << 20


class Kind(IntEnum):
    """What a message is."""

    FUNCTION = 1
    CALL = 2
    WANT = 3
    SCHEMA = 4
    BATCH = 5
    END = 6
    DONE = 7
    OURS = 8
    ERROR = 9


class ConnectionLost(Exception):
    """The other side of the socket is gone."""


class Wire:
    """One end of a connection. Its user owns the socket and closes it.

    Everything that sends or receives raises ConnectionLost where the other side is gone.
    lost: called before that is raised.
    """

    def __init__(self, connection: socket.socket, lost: Callable[[], None] = lambda: None):
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
        self._socket, self._lost = connection, lost
        self._sent: pa.Schema | None = None
        self._received: pa.Schema | None = None

    def send(self, kind: Kind, payload: bytes | pa.Buffer = b"") -> None:
        size = len(payload) if isinstance(payload, bytes) else payload.size
        try:
            self._socket.sendall(_HEADER.pack(kind, size))
            if size:
                self._socket.sendall(payload)
        except (BrokenPipeError, ConnectionResetError) as error:
            self._lost()
            raise ConnectionLost from error

    def send_batch(self, batch: pa.RecordBatch) -> None:
        if self._sent is None or not self._sent.equals(batch.schema):
            self._sent = batch.schema
            self.send(Kind.SCHEMA, batch.schema.serialize())
        self.send(Kind.BATCH, batch.serialize())

    def receive(self) -> tuple[Kind, pa.Buffer]:
        """The next message. A SCHEMA is kept for `batch` and never returned."""
        while True:
            kind, size = _HEADER.unpack(self._exactly(_HEADER.size))
            payload = self._exactly(size)
            if kind != Kind.SCHEMA:
                return Kind(kind), payload
            self._received = pa.ipc.read_schema(payload)

    def batch(self, payload: pa.Buffer) -> pa.RecordBatch:
        """The batch of a message of kind BATCH; its columns point into `payload`."""
        return pa.ipc.read_record_batch(payload, self._received)

    def _exactly(self, size: int) -> pa.Buffer:
        buffer = pa.allocate_buffer(size)
        view = memoryview(buffer)
        got = 0
        while got < size:
            try:
                more = self._socket.recv_into(view[got:], size - got, socket.MSG_WAITALL)
            except ConnectionResetError:
                more = 0
            if not more:
                self._lost()
                raise ConnectionLost
            got += more
        return buffer
