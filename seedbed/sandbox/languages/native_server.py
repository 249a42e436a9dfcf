"""The supervisor's handle on the fork server of compilers and programs (inside/native/)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.server import ForkServer
from seedbed.sandbox.verdict import Isolation

# As server._BOOT, for the other package.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from inside.native import server; "
    "del sys.path[0]; import json; "
    "server.main(int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))"
)


class NativeServer(ForkServer):
    """A fork server whose jails become other programs. sources: host paths that they may read."""

    boot = _BOOT

    def __init__(self, isolation: Isolation, sources: Sequence[str]) -> None:
        super().__init__(isolation, Interpreter(), json.dumps(list(sources)))
