"""What a job may touch: the config, the store, and its inputs pinned to the versions first read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from importlib.metadata import version as package_version
from itertools import count
from operator import and_
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from conf.loader import config_hash
from conf.schema.curate import CurateConfig
from seedbed import storage
from spark_jobs.runtime import session
from spark_jobs.runtime.progress import watch_writing
from spark_jobs.runtime.store import Store

# Up to this many keys are sent to every task.
FEW = 50_000
# Bytes of text that one partition of a shuffle should hold.
TEXT_PER_PARTITION = 128 << 20
# The driver keeps a record of each partition. Above 4 TB of text the partitions grow instead.
MOST_PARTITIONS = 32_768


class Inputs:
    """Tables by name, each at the version that it had when the job first read it."""

    def __init__(self, store: Store):
        self._store = store
        self._versions: dict[str, int] = {}

    def __getitem__(self, table: str) -> DataFrame:
        return self._store.read(table, self.version(table))

    def get(self, table: str) -> DataFrame:
        """The table, or no rows where it has never been written."""
        return self[table] if self.version(table) >= 0 else self._store.read_or_empty(table)

    def version(self, table: str) -> int:
        """The pinned version; -1 for a table that does not exist."""
        if table not in self._versions:
            commit = self._store.last_commit(table)
            self._versions[table] = commit.version if commit else -1
        return self._versions[table]

    def repin(self, table: str) -> None:
        """Forget a pin, after the job itself has written the table."""
        self._versions.pop(table, None)


@dataclass(frozen=True)
class Context:
    """All that a job may touch.

    notes: figures that a transform leaves for the summary.
    """

    cfg: CurateConfig
    store: Store
    inputs: Inputs
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def spark(self) -> Any:
        return self.store.spark

    def start_engine(self) -> None:
        """Start the engine, where none runs. A job that has something to do begins with it.

        Without a session no expression can be made, since each engine has a class of its own.
        """
        self.store.start()

    def describe(self, step: str) -> None:
        """Show `step` in the engine's user interface, where it has one."""
        session.engine().describe(step)

    def size_shuffles(self) -> None:
        """Raise the session's shuffle partitions to one for each TEXT_PER_PARTITION of `contents`.

        There are MOST_PARTITIONS at most. So a task's share of the text fits its memory, whatever
        the size of the corpus. Where less is moved, Spark joins partitions (AQE).
        """
        size = self.inputs["contents"].agg(F.sum("bytes")).first()[0] or 0
        wanted = min(-(-size // TEXT_PER_PARTITION), MOST_PARTITIONS)
        if wanted > int(self.spark.conf.get("spark.sql.shuffle.partitions")):
            self.spark.conf.set("spark.sql.shuffle.partitions", str(wanted))

    @contextmanager
    def materialize(self, job: str) -> Iterator[Callable[[DataFrame, str], DataFrame]]:
        """Yields a function (frame, step) that computes `frame` once and gives it back as a table.

        It writes the frame as Parquet under DIR/curate/held/<job> and reads it back. The files are
        deleted when the block ends, or when the job next starts after a kill.

        The plan of a file is a leaf, and its size is known, so that Spark broadcasts a small one
        and shuffles no texts for it. The plan of a cached frame is part of every plan made from it,
        twice per level (before and after AQE): ten levels made 173 MB of text per plan, and the
        driver ran out of memory. Nor does a file end with the executor that wrote it.
        """
        folder = f"curate/held/{job}"
        storage.delete_folder(self.store.root, folder)
        number = count()

        def hold(frame: DataFrame, step: str) -> DataFrame:
            held = f"{folder}/{next(number)}"
            path = session.engine().path(f"{self.store.root}/{held}")
            with watch_writing(f"{job}: {step}", session.engine(), self.store.root, held):
                frame.write.parquet(path)
            return self.spark.read.schema(frame.schema).parquet(path)

        try:
            yield hold
        finally:
            storage.delete_folder(self.store.root, folder)

    def lineage(
        self,
        job: str,
        params: dict[str, Any],
        reads: tuple[str, ...],
        parts: dict[str, dict[str, str]] | None = None,
    ) -> dict[str, Any]:
        """The record that travels in each commit's userMetadata.

        parts: the inputs of which only a declared part is read, so that only the newest commit of
            that part counts.
        """
        inputs = {table: self.inputs.version(table) for table in reads}
        for table, part in (parts or {}).items():
            commit = self.store.last_commit(table, part)
            inputs[table] = commit.version if commit else -1
        return {
            "job": job,
            "code": package_version("seedbed"),
            "params": params,
            "params_hash": config_hash(params),
            "inputs": inputs,
            "parts": parts or {},
        }

    def refuse_other_params(self, table: str, lineage: dict[str, Any]) -> None:
        """Keep rows of two parameter sets apart: raise, or start anew where `rebuild` names it.

        The rows are those of the table, or of the part that the lineage declares. The SeedbedError
        names both sets.
        """
        part = lineage.get("part")
        last = self.store.last_commit(table, part)
        if last is None or last.lineage.get("params_hash") == lineage["params_hash"]:
            return
        if table not in self.cfg.rebuild:
            named = ", ".join(f"{name} {value}" for name, value in (part or {}).items())
            raise SeedbedError(
                f"table {table}{f' ({named})' if part else ''} was written with "
                f"{last.lineage.get('params')}, the config asks for {lineage['params']}: "
                "rows of two parameter sets must not mix",
                f"restore the old setting, choose another output=, or add rebuild=[{table}] to "
                f"write {'these rows' if part else 'the table'} anew",
            )
        rows = self.store.read_or_empty(table)
        if part:
            others = rows.filter(~reduce(and_, [F.col(k) == v for k, v in part.items()]))
        else:
            others = rows.limit(0)
        self.store.overwrite(table, others, lineage)
