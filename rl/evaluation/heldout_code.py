"""Code that a model was not trained on, from a run's tables.

It gives fill-in-the-middle items, bits per byte, and the overlap of benchmarks with the tables.
Held out are the documents of split `val`, which are whole repositories. They are drawn in the order
of a hash of (seed, document). The same tables and seed therefore give the same items on any
machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from deltalake import DeltaTable
from transformers import AutoTokenizer

from conf.errors import SeedbedError
from seedbed.inference.engine import Sampling
from seedbed.inference.process_engine import Engine
from seedbed.kernels.tokens.plain_text import plain_tokenizer_of

# Names of the report (Sec 2.2.6), in its order: suffix, prefix, middle.
SUFFIX, PREFIX, MIDDLE = "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"
# Characters without the indentation. Shorter lines such as `else:` say little.
SHORTEST_LINE = 6
# The fewest and the most characters of a gap.
SPAN = (10, 60)
# Tokens per completion.
LINE_TOKENS, SPAN_TOKENS = 64, 64


@dataclass(frozen=True)
class Document:
    """A held-out document of one file."""

    document_id: str
    language: str
    text: str


@dataclass(frozen=True)
class Gap:
    """A gap of a document, which is prefix + middle + suffix."""

    document_id: str
    prefix: str
    middle: str
    suffix: str


def documents(tables: Path, limit: int, seed: int) -> list[Document]:
    """At most `limit` held-out documents of one file each.

    Raises:
        SeedbedError: where there is no table or no such document.
    """
    columns = ["document_id", "language", "parts"]
    rows = (
        _table(tables, "documents")
        .to_table(columns=columns, filter=_equals("split", "val"))
        .to_pylist()
    )
    rows = [row for row in rows if len(row["parts"]) == 1]
    rows.sort(key=lambda row: hashlib.sha256(f"{seed}:{row['document_id']}".encode()).digest())
    chosen = {row["parts"][0]["content_sha256"]: row for row in rows[:limit]}
    if not chosen:
        raise SeedbedError(
            f"{tables}/documents holds no document of split val", "curate with a validation split"
        )
    wanted = _table(tables, "contents").to_table(
        columns=["content_sha256", "text"], filter=_field("content_sha256").isin(list(chosen))
    )
    texts = {row["content_sha256"]: row["text"] for row in wanted.to_pylist()}
    return [
        Document(row["document_id"], row["language"], texts[sha]) for sha, row in chosen.items()
    ]


def overlapping_items(tables: Path, benchmark: str) -> set[str]:
    """Items of a benchmark that share an n-gram with any ingested content, kept or not.

    benchmark: `humaneval`, or a file's name without its ending. The table `contamination` tells.

    Raises:
        SeedbedError: for a benchmark that the contents were never compared with.
    """
    rows = _table(tables, "contamination").to_table(columns=["benchmark", "item"])
    compared = sorted(rows["benchmark"].unique().to_pylist())
    mine = [name for name in compared if name.split("@")[0].lower() == benchmark.lower()]
    if not mine:
        raise SeedbedError(
            f"the contents of {tables} were not compared with {benchmark}, "
            f"but with {', '.join(compared) or 'nothing'}",
            "curate with decontaminate.benchmarks=[..., FILE], or leave --tables out",
        )
    return {
        row["item"]
        for row in rows.to_pylist()
        if row["benchmark"] in mine and row["item"] is not None
    }


def gaps(some: Sequence[Document], kind: str, seed: int) -> Iterator[Gap]:
    """One gap for each document that has room for it.

    kind: `line`, a whole line, or `span`, a run of characters.
    """
    for document in some:
        rng, text = Random(f"{seed}:{kind}:{document.document_id}"), document.text
        if kind == "line":
            starts, offset = [], 0
            for line in text.splitlines(keepends=True):
                if len(line.strip()) >= SHORTEST_LINE and offset > 0:
                    starts.append((offset, offset + len(line.rstrip("\r\n"))))
                offset += len(line)
            if not starts:
                continue
            first, last = rng.choice(starts)
        else:
            length = rng.randint(*SPAN)
            if len(text) <= length:
                continue
            first = rng.randrange(len(text) - length)
            last = first + length
        yield Gap(document.document_id, text[:first], text[first:last], text[last:])


class Infilling:
    """Asks a model to fill gaps, in the form it was trained on.

    That is SPM: suffix, prefix, then the middle.
    """

    def __init__(self, folder: Path, max_length: int):
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._plain = plain_tokenizer_of(folder)
        known = self._tokenizer.get_vocab()
        missing = [name for name in (SUFFIX, PREFIX, MIDDLE) if name not in known]
        if missing:
            raise SeedbedError(
                f"the tokenizer of {folder} has no {' '.join(missing)}: the model cannot fill gaps",
                "evaluate a model whose tokenizer spark_jobs.train_tokenizer made",
            )
        self._marks = [known[name] for name in (SUFFIX, PREFIX, MIDDLE)]
        self._end = self._tokenizer.eos_token_id
        self._max_length = max_length

    def prompt(self, gap: Gap, room: int) -> list[int]:
        """Token ids of the prompt, which leaves `room` tokens for the completion.

        Prefix and suffix are cut to what lies nearest the gap.
        """
        budget = self._max_length - room - len(self._marks)
        prefix, suffix = self._ids(gap.prefix[-8 * budget :]), self._ids(gap.suffix[: 8 * budget])
        near = max(budget // 2, budget - len(suffix))
        prefix = prefix[-near:] if near else []
        return [
            self._marks[0],
            *suffix[: budget - len(prefix)],
            self._marks[1],
            *prefix,
            self._marks[2],
        ]

    def items(self, engine: Engine, chosen: Sequence[Gap], kind: str) -> list[dict[str, Any]]:
        """Items for rl/evaluation/scores.py: one greedy sample each, `pass` for an exact match.

        For kind `line` the completion's first line must match, without its margins. For `span` as
        many characters as are missing must match.
        """
        room = LINE_TOKENS if kind == "line" else SPAN_TOKENS
        # A prompt has its marks, and at least as many tokens around the gap as a completion.
        least = 2 * room + len(self._marks)
        if self._max_length < least:
            raise SeedbedError(
                f"the model takes {self._max_length} tokens, and a completion has {room}: too "
                "little would be left of a prompt",
                f"evaluate a model with a context of {least} tokens or more",
            )
        prompts = [self.prompt(gap, room) for gap in chosen]
        stop = [self._end] if self._end is not None else []
        drawn = engine.generate(prompts, [0] * len(prompts), Sampling(0.0, room, stop))
        items = []
        for gap, sample in zip(chosen, drawn, strict=True):
            text = self._tokenizer.decode(
                sample.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            if kind == "line":
                lines = text.splitlines()
                same = bool(lines) and lines[0].strip() == gap.middle.strip()
            else:
                same = text[: len(gap.middle)] == gap.middle
            reason = "" if same else f"expected {gap.middle!r}"
            row = {"completion": text, "verdict": "pass" if same else "fail", "reason": reason}
            items.append(
                {
                    "task_id": gap.document_id,
                    "prompt": gap.prefix[-400:],
                    "reference": gap.middle,
                    "samples": [row],
                }
            )
        return items

    def bits_per_byte(self, engine: Engine, some: Sequence[Document]) -> dict[str, Any]:
        """-log2 p per byte over the documents, in windows of the model's length.

        The first token of a window is not scored. A byte-level token has one character for each of
        its bytes.
        """
        windows: list[tuple[str, list[int]]] = []
        for document in some:
            ids = self._ids(document.text)
            # To score a sequence the engine adds one token.
            size = self._max_length - 1
            windows += [(document.language, ids[i : i + size]) for i in range(0, len(ids), size)]
        windows = [window for window in windows if len(window[1]) > 1]
        totals: dict[str, list[float]] = {}
        for (language, ids), logprobs in zip(
            windows, engine.score([ids for _, ids in windows]), strict=True
        ):
            tokens = self._tokenizer.convert_ids_to_tokens(ids[1:])
            total = totals.setdefault(language, [0.0, 0.0])
            total[0] -= sum(logprobs) / math.log(2)
            total[1] += sum(map(len, tokens))
        bits, size = (sum(values) for values in zip(*totals.values(), strict=True))
        by_language = {name: each[0] / each[1] for name, each in sorted(totals.items())}
        return {
            "bits_per_byte": bits / size,
            "bytes": int(size),
            "documents": len(some),
            "by_language": by_language,
        }

    def _ids(self, text: str) -> list[int]:
        """Token ids of a text. A special token that the text spells stays text, as in training."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)


def _table(tables: Path, name: str) -> Any:
    try:
        return DeltaTable(str(tables / name)).to_pyarrow_dataset()
    except Exception as error:
        # The errors of deltalake have no common base class.
        raise SeedbedError(
            f"{tables / name} is not a Delta table ({str(error).splitlines()[0]})",
            "give --tables DIR/tables of a curated run",
        ) from error


def _field(name: str) -> Any:
    import pyarrow.dataset

    return pyarrow.dataset.field(name)


def _equals(name: str, value: str) -> Any:
    return _field(name) == value
