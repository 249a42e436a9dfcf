"""How the processes of one life of an elastic run find each other.

torchrun starts all workers again when one dies (`--max-restarts`). torch 2.13 gives every life the
same store, without a prefix: `_create_c10d_store` says that each has a store of its own, and
DynamicRendezvousHandler keeps one. So a process of a second life may read an address that its dead
peer of the first life left there, and then "loses contact" before the first step. Here each life
agrees on a prefix that no other life has.

The number of restarts would not do for it: an agent counts only the failures of its own workers.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta

import torch.distributed as dist

from conf.errors import SeedbedError

_NONCE = "seedbed/nonce"
_PAUSE = 0.05


def of_this_life(store: dist.Store, rank: int, world: int, patience: timedelta) -> dist.Store:
    """A view of `store` that the processes of this life share, and no other process.

    Process 0 writes a fresh name for this life. Every process answers under that name with a fresh
    name of its own. Process 0 confirms all of them at once. A process that has read the name of an
    earlier life never finds itself confirmed, and looks again.

    Raises:
        SeedbedError: where a process has not come after `patience`.
    """
    mine, deadline = uuid.uuid4().hex, time.monotonic() + patience.total_seconds()
    if rank == 0:
        life = uuid.uuid4().hex
        store.set(_NONCE, life)
        answers = {}
        for other in range(1, world):
            key = f"seedbed/{life}/{other}"
            while not store.check([key]):
                _wait(deadline, f"process {other}")
            answers[str(other)] = store.get(key).decode()
        store.set(f"seedbed/{life}/all", json.dumps(answers))
        return dist.PrefixStore(life, store)
    while True:
        life = store.get(_NONCE).decode()
        store.set(f"seedbed/{life}/{rank}", mine)
        confirmed = f"seedbed/{life}/all"
        told = json.loads(store.get(confirmed)) if store.check([confirmed]) else {}
        if told.get(str(rank)) == mine:
            return dist.PrefixStore(life, store)
        _wait(deadline, "process 0")


def _wait(deadline: float, whom: str) -> None:
    if time.monotonic() > deadline:
        raise SeedbedError(
            f"{whom} did not come to the meeting of all processes",
            "look at its output above, and start the same command again",
        )
    time.sleep(_PAUSE)
