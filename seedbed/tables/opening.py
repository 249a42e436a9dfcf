"""Opens a Delta table through delta-rs, on any storage."""

from __future__ import annotations

import re
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from conf.errors import SeedbedError
from seedbed.stores.faults import plain_fault
from seedbed.stores.places import for_delta, place
from seedbed.stores.settings import delta_options

_OF_THE_LOG = "Unsupported|[Pp]rotocol|Json error"


def open_table(path: str | Path, version: int | None = None) -> DeltaTable | None:
    """The table at a path or URI, or None where there is none.

    Raises SeedbedError where an object store refuses, under a path that is ambiguous, and for a
    table of a newer Delta or with a cut log.
    """
    uri = str(path)
    try:
        return DeltaTable(for_delta(uri), version=version, storage_options=delta_options(uri))
    except TableNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise plain_fault(uri, error) from error
        return None
    except (OSError, DeltaError) as error:
        # What a store refuses comes as a DeltaError, too. On a disk that is always the log.
        if isinstance(error, DeltaError) and (
            not place(uri).scheme or re.search(_OF_THE_LOG, str(error))
        ):
            raise unreadable(uri, error) from error
        if not place(uri).scheme:
            raise
        raise plain_fault(uri, error) from error


def unreadable(uri: str, error: Exception) -> SeedbedError:
    """The error of a table that is there and that cannot be read."""
    # delta-rs adds its own stack, which tells a user nothing.
    text = " ".join(re.sub(r"\n +\d+: .*", "", str(error), flags=re.DOTALL).split())
    return SeedbedError(
        f"the table at {uri} cannot be read: {text[:300]}",
        "it is damaged, or a newer Delta wrote it: restore it, or write it anew with "
        "rebuild=[TABLE] (a table of rl: remove its folder)",
    )
