"""One writer of an output at a time: a lock of the kernel, or a lease on an object store.

On this machine's disks the kernel holds the lock and lets go of it when the process ends, in
whatever way. Elsewhere DIR/curate/.lock is a lease: it names its holder and when it ends, a thread
renews it, and after its end another run may take it over (as in Gray and Cheriton, SOSP 1989).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from conf.errors import SeedbedError
from seedbed.stores.files import LeaseStore
from seedbed.stores.lease import Lease, Loss
from seedbed.stores.places import place, require_unambiguous

NAME = "curate/.lock"
# Roots that this process writes to, with the number of blocks that do.
_held: dict[str, int] = {}


@contextmanager
def writing(root: str) -> Iterator[None]:
    """Keep every other run from writing to `root` while the block runs.

    A block of the same process inside it passes. So does what this process starts.

    Raises SeedbedError where another run holds the lock, where tables cannot lie under such a path,
    and where the store cannot be written. After the block it raises one where the lease was lost.
    """
    require_unambiguous(root)
    where = place(root)
    key = str(where)
    if _held.get(key, 0):
        _held[key] += 1
        try:
            yield
        finally:
            _held[key] -= 1
        return
    with _locked_file(where.path) if not where.scheme else _leased(root):
        _held[key] = 1
        try:
            yield
        finally:
            _held[key] -= 1


def holder() -> dict[str, object]:
    """Who this process is, for the message to others and to know a dead one again."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "machine": _machine(),
        "id": uuid.uuid4().hex,
    }


def refusal(root: str, who: dict[str, object], ends: str = "") -> SeedbedError:
    """The error that names the holder."""
    return SeedbedError(
        f"another run writes to {root}: {_told(who)}{ends}",
        "wait until it has ended, or stop it, or give another output",
    )


@contextmanager
def _locked_file(root: str) -> Iterator[None]:
    path = Path(root) / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise SeedbedError(
            f"output={root} cannot be written ({error.strerror})",
            "choose a folder that you can write to",
        ) from error
    with file:
        try:
            # Not flock: processes that are forked from this one would keep such a lock.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise refusal(root, _read(file.read())) from None
        file.truncate(0)
        file.write(json.dumps(holder()))
        file.flush()
        yield
        # What ended in an error leaves its name behind; the kernel knows that the lock is free.
        file.truncate(0)


@contextmanager
def _leased(root: str) -> Iterator[None]:
    from seedbed.storage import files_of

    lease = Lease(cast(LeaseStore, files_of(root)), NAME, holder(), _is_dead)
    other = lease.take()
    if other is not None:
        seconds = max(0, round(float(str(other.get("expires", 0))) - lease.now()))
        raise refusal(root, other, f" (its lease ends in {seconds} s unless it is renewed)")
    try:
        yield
    finally:
        loss = lease.release()
    if loss is not None:
        raise _lost(root, loss)


def _lost(root: str, loss: Loss) -> SeedbedError:
    """The error of a run that was not alone to the end, or cannot know it."""
    if loss.holder is None:
        return SeedbedError(
            f"this run could not renew its lock on {root} before it ended, and cannot see whether "
            f"another took it: {loss.refusal}",
            "see that the store answers (on HDFS: that its data nodes are there), and run the same "
            "command again: what is committed stays",
        )
    return SeedbedError(
        f"this run lost its lock on {root} to {_told(loss.holder)}: both may have written",
        "see which one to keep, and run it again; python -m spark_jobs certify tells whether "
        "tables are equal",
    )


def _told(who: dict[str, object]) -> str:
    if not who:
        return "a run that has ended since"
    return f"process {who.get('pid', '?')} on {who.get('host', '?')} since {who.get('since', '?')}"


def _read(text: str) -> dict[str, object]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        # Something else wrote it.
        return {}


def _is_dead(who: dict[str, object]) -> bool:
    """Whether a holder ran on this machine, among the same processes, and is there no more."""
    if who.get("machine") != _machine():
        return False
    try:
        os.kill(int(str(who["pid"])), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _machine() -> str:
    """This boot of this machine, and the numbering of processes that this one is in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""
