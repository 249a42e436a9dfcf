"""Opens a Delta table through delta-rs, on any storage."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from seedbed.stores.faults import plain_fault
from seedbed.stores.places import for_delta, place
from seedbed.stores.settings import delta_options


def open_table(path: str | Path, version: int | None = None) -> DeltaTable | None:
    """The table at a path or URI, or None where there is none.

    Raises SeedbedError where an object store refuses, or under a path that is ambiguous.
    """
    uri = str(path)
    try:
        return DeltaTable(for_delta(uri), version=version, storage_options=delta_options(uri))
    except TableNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise plain_fault(uri, error) from error
        return None
    except (OSError, DeltaError) as error:
        if not place(uri).scheme:
            raise
        raise plain_fault(uri, error) from error
