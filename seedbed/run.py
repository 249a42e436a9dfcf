"""A run as a notebook sees it: tables, funnel, explain, what-if and metrics, without Spark.

Examples:
    >>> import seedbed
    >>> run = seedbed.open("runs/demo")
    >>> run
    run runs/demo: 11 tables, documents@0 has 3 rows

The examples run in the tests, on a run of eight files.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from conf.errors import SeedbedError
from seedbed import jsonl, storage
from seedbed.frames import Frame
from seedbed.queries import explain, funnel, status, whatif
from seedbed.queries.table_html import table_html
from seedbed.tables.catalog import TABLES, TableSpec
from seedbed.tables.reader import DeltaReader

# The programs that write DIR/<name>/metrics.jsonl.
METRICS = ("curate", "pretrain", "rl/sft", "rl/dpo", "rl/grpo")


class RunTable(Frame):
    """One version of a table of a run; see Frame for its conversions.

    name, version: which one. spec: its entry in the catalogue, None for a foreign table.
    """

    def __init__(self, db: DeltaReader, name: str, version: int | None):
        self.name = name
        self.version = db.version(name) if version is None else version
        self.spec: TableSpec | None = TABLES.get(name)
        # So that `sql` knows this version by a name too.
        view = name if version is None else db.at(name, version)
        dataset = db.open_version(name, self.version).to_pyarrow_dataset()
        self._db, self._view = db, view
        super().__init__(
            f"{name}@{self.version}", dataset.schema, lambda: dataset.scanner().to_reader()
        )

    def __len__(self) -> int:
        return int(self._db.one(f"SELECT count(*) AS n FROM {self._view}")["n"])

    def lineage(self) -> dict[str, Any]:
        """What the job that wrote this version recorded: job, code, parameters and inputs."""
        return self._db.lineage(self.name, self.version)


class RunTables(Mapping[str, RunTable]):
    """The tables that are there, by name, in the order of the catalogue."""

    def __init__(self, db: DeltaReader):
        self._db = db

    def __getitem__(self, name: str) -> RunTable:
        if name not in self._db:
            raise KeyError(name)
        return RunTable(self._db, name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._db.names)

    def __len__(self) -> int:
        return len(self._db.names)

    def __repr__(self) -> str:
        tables = self.values()
        return "\n".join(f"{f'{t.name}@{t.version}':<20}{len(t):>12,} rows" for t in tables)

    def _repr_html_(self) -> str:
        rows = [(t.name, t.version, len(t), t.spec.row if t.spec else "") for t in self.values()]
        return table_html(("table", "version", "rows", "a row says"), rows)


class Run:
    """The run under `output`, a path or a URI.

    The options of an object store come from the environment: AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL (docs/storage.md).

    Raises SeedbedError where it holds no tables, and where the storage refuses.
    """

    def __init__(self, output: str):
        self.output = output.rstrip("/")
        self._db = DeltaReader(self.output)

    @property
    def tables(self) -> RunTables:
        """The tables that are there, with their versions and rows.

        Examples:
            >>> list(run.tables)[:3]
            ['files', 'contents', 'near_edges']
            >>> len(run.tables["files"])
            8
        """
        return RunTables(self._db)

    def table(self, name: str, version: int | None = None) -> RunTable:
        """One version of a table, the newest by default.

        Examples:
            >>> files = run.table("files")
            >>> files.version, len(files), files.columns[:3]
            (0, 8, ['doc_id', 'source', 'repo'])
            >>> files.arrow().num_rows
            8
            >>> files.pandas().language.value_counts()["Python"]
            np.int64(6)
            >>> files.duckdb().aggregate("count(DISTINCT repo)").fetchall()
            [(2,)]

        `polars.DataFrame(files)` works too. In `sql`, the newest version is called `files`, and
        version 0 is called `files_at_0` once it was asked for here.

        Raises SeedbedError where the run has no such table or no such version.
        """
        if name not in self._db:
            raise SeedbedError(f"the run has no table {name!r}", _nearest(name, self._db.names))
        return RunTable(self._db, name, version)

    def sql(self, query: str, params: list[Any] | dict[str, Any] | None = None) -> Frame:
        """The rows of a DuckDB query over the tables. Values travel as `params` of ? or $name.

        Examples:
            >>> query = "SELECT language, count(*) AS n FROM contents GROUP BY 1 ORDER BY 2 DESC, 1"
            >>> run.sql(query).rows()[0]
            {'language': 'Python', 'n': 4}
            >>> counted = "SELECT count(*) AS n FROM files WHERE repo = $repo"
            >>> run.sql(counted, {"repo": "first"}).rows()
            [{'n': 4}]

        A query that is wrong raises DuckDB's own error.
        """
        found = self._db.arrow(query, params)
        return Frame(f"{found.num_rows:,} rows", found.schema, found.to_reader)

    def status(self) -> status.Status:
        """The state of every table: rows, version, size, its job, and which inputs moved on.

        Examples:
            >>> [state.name for state in run.status() if state.job == "select_documents"]
            ['decisions', 'documents']
        """
        return status.status(self._db)

    def funnel(self) -> funnel.Funnel:
        """Every file that was seen, step by step down to the documents.

        Examples:
            >>> run.funnel()
                                   dropped        kept
            seen                                     8 files
            empty                        1           7 files
            duplicate_exact              1           6 contents
            duplicate_near               1           5 contents
            low_quality                  2           3 contents
            documents                                3

        Raises SeedbedError where the run stopped before decisions.
        """
        return funnel.funnel(self._db)

    def explain(self, target: str) -> explain.Story:
        """One file's whole story, by its path or its end, or by 8 or more digits of its SHA-256.

        Examples:
            >>> print(run.explain("empty.py"))
            empty.py  (second 1.0)
              dropped at ingest: empty

        Raises SeedbedError where no file matches.
        """
        return explain.explain(self._db, target)

    def what_if(
        self,
        cut: float = 0.0,
        threshold: float = 0.0,
        per: str = "all",
        threshold_of: dict[str, float] | None = None,
        scorer: str | None = None,
    ) -> whatif.WhatIf:
        """What another quality cut would keep.

        cut: the share with the lowest quality that is dropped, of all or `per="language"`.
        threshold: all below it are dropped; threshold_of: language -> its own threshold.
        scorer: another version in table scores than the one in force.

        Examples:
            >>> answer = run.what_if(cut=0.2)
            >>> answer.kept, answer.kept_now, answer.reasons
            (4, 3, {'duplicate_near': 1, 'low_quality': 1})

        Afterwards `sql` can ask the table `ranked`, which has one row per candidate:

        Examples:
            >>> run.sql("SELECT detail FROM ranked WHERE NOT kept").rows()
            [{'detail': 'quality 0.0500 <= cut 0.0500'}]

        Raises SeedbedError where a table or the rows of the scorer are missing.
        """
        wanted = whatif.Cut(cut, threshold, per, threshold_of or {})
        return whatif.what_if(self._db, wanted, scorer)

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """The rows of DIR/<name>/metrics.jsonl, up to a line that a kill cut short.

        name: pretrain, curate, rl/sft, rl/dpo, rl/grpo, or the folder of a stage such as
            stages/<stage>/pretrain.

        Examples:
            >>> rows = run.metrics("pretrain")
            >>> len(rows), rows[-1]["loss"]
            (10, 0.5)

        Raises SeedbedError where there is no such file.
        """
        text = storage.read_text(self.output, f"{name}/metrics.jsonl")
        if text is None:
            there = [one for one in METRICS if storage.exists(self.output, f"{one}/metrics.jsonl")]
            raise SeedbedError(f"the run has no metrics of {name!r}", _nearest(name, there))
        return jsonl.whole_rows_of(text.encode())

    def __repr__(self) -> str:
        text = f"run {self.output}: {len(self.tables)} tables"
        if "documents" in self._db:
            documents = self.table("documents")
            text += f", documents@{documents.version} has {len(documents):,} rows"
        return text

    def _repr_html_(self) -> str:
        return self.tables._repr_html_()


def _nearest(name: str, known: tuple[str, ...] | list[str]) -> str:
    """What to give instead: the nearest known name, and all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}It has: {', '.join(known) or 'none'}"
