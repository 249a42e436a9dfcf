"""Settings: a YAML text and words of a command line, for every schema."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, get_type_hints

from hypothesis import strategies as st

from conf.loader import load, to_yaml
from conf.schema.ask import DistillConfig, SynthesisConfig
from conf.schema.curate import CurateConfig
from conf.schema.demo import DemoConfig
from conf.schema.pretrain import PretrainConfig
from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig
from conf.schema.stages import StagesConfig
from tests.fuzz.boundary import Boundary, folder
from tests.fuzz.mutations import ODD_TEXTS, damaged

SCHEMAS: tuple[type, ...] = (
    CurateConfig, PretrainConfig, StagesConfig, SftConfig, DpoConfig, GrpoConfig, DemoConfig,
    DistillConfig, SynthesisConfig,
)  # fmt: skip


def _keys(schema: type, prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(schema).items():
        yield prefix + name
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _keys(hint, f"{prefix}{name}.")


KEYS = [list(_keys(schema)) for schema in SCHEMAS]
_values = st.sampled_from(
    ("0", "-1", "1", "3", "1e9", "0.5", ".nan", ".inf", "-.inf", "1" * 400, "true", "no", "null",
     "~", "[]", "[1]", "{}", "{a: 1}", "???", "${output}", "${nope}", "${oc.env:NOPE}", "${a",
     "'x'",
     "abc", "s3://b/c", "!!python/object:os.system x", "!!binary aGk=", "&a [*a]", "2024-01-01",
     "0o17", "0x1F", "1_000", "|", "''", "\ud800")
) | st.sampled_from(ODD_TEXTS)  # fmt: skip


@st.composite
def _inputs(draw: st.DrawFn) -> bytes:
    """A byte that names the schema, a YAML text, and words; NUL separates them."""
    which = draw(st.integers(0, len(SCHEMAS) - 1))
    keys = st.sampled_from(KEYS[which])
    pairs = draw(st.lists(st.tuples(keys, _values), max_size=3))
    lines = []
    for key, value in pairs:
        parts = key.split(".")
        lines += [f"{'  ' * depth}{part}:" for depth, part in enumerate(parts)]
        lines[-1] += f" {value}"
    text = "\n".join(lines) + draw(
        st.sampled_from(["", "\n", "\n1: 2\n", "\n- a\n", "\na: &a [*a]\n"])
    )
    words = draw(st.lists(st.tuples(keys, _values).map("=".join), max_size=3))
    parts = [text.replace("\0", ""), *(word.replace("\0", "") for word in words)]
    return bytes([which]) + "\0".join(parts).encode("utf-8", "surrogatepass")


def _read(data: bytes) -> None:
    if not data:
        return
    schema = SCHEMAS[data[0] % len(SCHEMAS)]
    text, *words = data[1:].split(b"\0")
    with folder(c_yaml=text) as where:
        overrides = [word.decode("utf-8", "surrogateescape") for word in words]
        cfg = load(schema, where / "c.yaml" if text else None, overrides)
    assert type(cfg) is schema
    _no_nan(dataclasses.asdict(cfg), "")
    # What is recorded beside an output gives the same settings again.
    with folder(again_yaml=to_yaml(cfg).encode("utf-8", "surrogatepass")) as where:
        assert load(schema, where / "again.yaml") == cfg


def _no_nan(value: Any, where: str) -> None:
    """No comparison refuses a NaN, so that no rule would hold for it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _no_nan(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _no_nan(inner, where)
    else:
        assert not (isinstance(value, float) and math.isnan(value)), where


CONFIGS = Boundary(
    "configs",
    damaged(_inputs(), most=1),
    _read,
    (b"\0shards: 8\nnear:\n  threshold: 0.8\0near.seed=3", b"\1seed: 4\0optim.lr=0.001"),
)
BOUNDARIES = (CONFIGS,)
