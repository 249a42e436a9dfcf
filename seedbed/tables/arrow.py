"""Arrow's form of the catalogue: what delta-rs writes and reads."""

from __future__ import annotations

import pyarrow as pa

from seedbed.tables.catalog import TABLES, split_fields

_PLAIN = {
    "string": pa.string(),
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
}


def arrow_schema(table: str) -> pa.Schema:
    """The declared columns of a table as an Arrow schema."""
    return pa.schema([(name, arrow_type(kind)) for name, kind in TABLES[table].fields])


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a type in Spark's DDL, such as `array<struct<path: string>>`."""
    if kind.startswith("array<"):
        return pa.list_(arrow_type(_inside(kind)))
    if kind.startswith("struct<"):
        return pa.struct([(name, arrow_type(of)) for name, of in split_fields(_inside(kind))])
    return _PLAIN[kind]


def _inside(kind: str) -> str:
    return kind[kind.index("<") + 1 : -1]
