"""Reads settings: defaults of dataclasses, then a YAML file, then `key=value` of the command line.

An unknown key fails with its origin and the nearest known key. A wrong type fails with the value. A
schema's own `check()` has the rules between fields, and shows their arithmetic.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conf.errors import SeedbedError
from conf.schema.ranges import in_range

T = TypeVar("T")

# What OmegaConf raises for a value that a field cannot hold. A whole number may be larger than any
# float, and nesting deeper than the stack.
_FAULTS = (OmegaConfBaseException, ValueError, TypeError, ArithmeticError, RecursionError)
_TYPES = "give a value of the type that the field declares in conf/schema"


def load(schema: type[T], path: str | Path | None = None, overrides: Iterable[str] = ()) -> T:
    """The frozen instance of `schema` after a YAML file and overrides.

    path: the file; None for the defaults. overrides: words `key=value`, which win over the file.

    Raises SeedbedError for a missing or malformed file, an unknown key, a value of the wrong type,
    or a broken rule.
    """
    base = OmegaConf.structured(schema)
    layers: list[tuple[str, DictConfig]] = []
    if path is not None:
        layers.append((str(path), _read_yaml(Path(path))))
    layers += [(f"command line: {item}", _parse_override(schema, item)) for item in overrides]
    merged = base
    for origin, layer in layers:
        written: Any = OmegaConf.to_container(layer)
        _reject_unknown_keys(schema, written, origin)
        try:
            merged = OmegaConf.merge(merged, _whole_numbers(schema, written))
        except _FAULTS as error:
            raise SeedbedError(f"{origin}: {_first_line(error)}", _TYPES) from error
    try:
        tree: Any = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except _FAULTS as error:
        # A ${...} that names nothing, or a field that has no default and no value.
        origins = ", ".join(origin for origin, _ in layers) or "the defaults"
        raise SeedbedError(
            f"{origins}: {_first_line(error)}", "give the field a value, and no ${...} of no field"
        ) from error
    cfg = _build(schema, tree)
    # Rules between fields then compute with numbers that they can compute with.
    in_range(cfg)
    check = getattr(cfg, "check", None)
    if check is not None:
        check()
    return cfg


def from_dict(schema: type[T], tree: dict[str, Any], origin: str) -> T:
    """The instance of `schema` that `to_dict` made `tree` of. Fields that it lacks get defaults.

    Raises SeedbedError, which names `origin`, for an unknown key and a value of the wrong type.
    """
    _reject_unknown_keys(schema, tree, origin)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.create(tree))
        plain: Any = OmegaConf.to_container(merged, resolve=True)
    except _FAULTS as error:
        raise SeedbedError(f"{origin}: {_first_line(error)}", _TYPES) from error
    return _build(schema, plain)


def to_dict(cfg: Any) -> dict[str, Any]:
    """A config as plain containers."""
    return dataclasses.asdict(cfg)


def to_yaml(cfg: Any) -> str:
    """A config as YAML, for --dry-run and for the record beside each output."""
    return OmegaConf.to_yaml(OmegaConf.create(to_dict(cfg)))


def config_hash(*parts: Any) -> str:
    """The identity of settings: 16 hex digits of a SHA-256 over their canonical JSON.

    parts: dataclasses or plain values.
    """
    plain = [to_dict(p) if dataclasses.is_dataclass(p) else p for p in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cli_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """The command line of every job and trainer: --config FILE, --dry-run, then key=value."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", metavar="FILE", help="YAML file with what differs from the defaults"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check the settings, print them and stop"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="dotted key and value, which wins over the file",
    )
    return parser


def nearest_key(key: str, known: Iterable[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {prefix}{near[0]}?"
    return f"known keys here: {', '.join(sorted(known))}"


def _read_yaml(path: Path) -> DictConfig:
    if not path.is_file():
        raise SeedbedError(
            f"config file {path} does not exist",
            "give the path of a YAML file, such as one under conf/",
        )
    try:
        layer = OmegaConf.load(path)
    except Exception as error:
        # yaml has many kinds of errors, and OmegaConf adds its own.
        raise SeedbedError(
            f"{path} is not valid YAML: {_first_line(error)}", "correct the file"
        ) from error
    if not isinstance(layer, DictConfig):
        raise SeedbedError(
            f"{path} holds a {type(layer).__name__}; a config is a mapping of keys",
            "write `key: value` lines",
        )
    return layer


def _parse_override(schema: type, item: str) -> DictConfig:
    """The layer of one word of the command line.

    A text is taken as it stands: YAML would cut a path at " #", and read `null`, `no` or `1e3` as
    something else.
    """
    if "=" not in item or item.startswith("="):
        raise SeedbedError(
            f"argument {item!r} is not key=value", "write overrides as dotted.key=value"
        )
    key, _, value = item.partition("=")
    try:
        if _hint_of(schema, key) is str and value[:1] not in ("'", '"'):
            layer = OmegaConf.create()
            OmegaConf.update(layer, key, value)
            return layer
        return OmegaConf.from_dotlist([item])
    except Exception as error:
        raise SeedbedError(
            f"argument {item!r} cannot be parsed: {error}", "quote the value as YAML would need it"
        ) from error


def _reject_unknown_keys(schema: type, tree: Any, origin: str, prefix: str = "") -> None:
    known = {f.name: f for f in dataclasses.fields(schema)}
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        if key not in known:
            raise SeedbedError(
                f"unknown key {prefix}{key} (from {origin})", nearest_key(str(key), known, prefix)
            )
        child = _dataclass_of(schema, known[key])
        if child is not None:
            _reject_unknown_keys(child, value, origin, f"{prefix}{key}.")


def _whole_numbers(hint: Any, value: Any) -> Any:
    """The same values with 1e6 as 1000000 where a field is a whole number: YAML reads a float."""
    arguments = get_args(hint)
    if isinstance(value, dict) and dataclasses.is_dataclass(hint):
        known = _hints(hint)  # type: ignore[arg-type]
        return {key: _whole_numbers(known.get(key), one) for key, one in value.items()}
    if isinstance(value, list) and get_origin(hint) is list:
        return [_whole_numbers(arguments[0], one) for one in value]
    if isinstance(value, dict) and get_origin(hint) is dict:
        return {key: _whole_numbers(arguments[-1], one) for key, one in value.items()}
    return int(value) if hint is int and isinstance(value, float) and value.is_integer() else value


def _hint_of(schema: type, key: str) -> Any:
    """The declared type of a dotted key; None where there is no such field."""
    hint: Any = schema
    for name in key.split("."):
        if not isinstance(hint, type) or not dataclasses.is_dataclass(hint):
            return None
        hint = _hints(hint).get(name)
    return hint


def _dataclass_of(schema: type, field: dataclasses.Field) -> type | None:
    hint = _hints(schema)[field.name]
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def _hints(schema: type) -> dict[str, Any]:
    return get_type_hints(schema)


def _build(schema: type[T], tree: dict[str, Any]) -> T:
    """Builds nested frozen dataclasses from the dicts and lists that OmegaConf gives."""
    values: dict[str, Any] = {}
    for name, hint in _hints(schema).items():
        if name not in tree:
            continue
        value = tree[name]
        if dataclasses.is_dataclass(hint) and isinstance(value, dict):
            value = _build(hint, value)  # type: ignore[arg-type]
        elif (
            get_origin(hint) is list
            and value is not None
            and dataclasses.is_dataclass(get_args(hint)[0])
        ):
            value = [_build(get_args(hint)[0], item) for item in value]
        values[name] = value
    return schema(**values)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
