"""The one rule for text that is data: a special token that it spells stays plain text.

Packing, bits per byte, the scorers and prompts all encode by it. So a figure is measured on the
tokens that the model was trained on. An added token that is not special keeps its id everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

# A text that no template holds.
_MARK = "a-text-7d31"


class Piece(NamedTuple):
    """A part of a text; `data` is false for a template's own words, whose special tokens count."""

    text: str
    data: bool


class NotPlain(ValueError):
    """A tokenizer that cannot encode a text in parts, so that data cannot stay plain in it."""


def plain_tokenizer(tokenizer_json: str) -> Tokenizer:
    """The tokenizer with special tokens of its texts as plain text, whole and without padding.

    A tokenizer.json may ask for a cut or for padding, which are for batches of sentences.
    """
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def plain_tokenizer_of(folder: Path) -> Tokenizer:
    """The plain tokenizer of a model folder."""
    return plain_tokenizer((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))


class PieceEncoder:
    """Encodes what a template and data make together, by a fast tokenizer of transformers.

    Where the data spells no special token, the ids are the tokenizer's for the whole text.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._plain = plain_tokenizer(tokenizer.backend_tokenizer.to_str())
        added = tokenizer.added_tokens_decoder
        self._special = {token.content: (i, token) for i, token in added.items() if token.special}
        # The longest of those that begin at one place, as in `tokenizers`.
        names = sorted(self._special, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def around(self, template: Callable[[str], str], text: str) -> list[Piece]:
        """What a template writes of a text: its own words before, the text, its own words after.

        A template may trim the text. Raises NotPlain for one that writes other words around other
        texts, where the text spells a special token.
        """
        rendered = template(text)
        before, _, after = template(_MARK).partition(_MARK)
        if rendered.startswith(before) and rendered[len(before) :].endswith(after):
            middle = rendered[len(before) : len(rendered) - len(after)]
            return [Piece(before, False), Piece(middle, True), Piece(after, False)]
        if self._names.search(text):
            raise NotPlain("its chat template writes other words around other texts")
        return [Piece(rendered, False)]

    def ids(self, pieces: Sequence[Piece], kept: Collection[str] = ()) -> list[int]:
        """Token ids of the pieces, one after the other.

        kept: special tokens that count in data as well, such as the tags of a thought. Raises
        NotPlain for a tokenizer that treats the beginning of a text in another way than the rest,
        where the data spells a special token.
        """
        whole = "".join(piece.text for piece in pieces)
        spelt = [(span, real) for span, real in self._found(pieces, kept)]
        if all(real for _, real in spelt):
            return self._whole(whole)
        clean = [Piece(self._names.sub("", p.text), True) if p.data else p for p in pieces]
        text = "".join(piece.text for piece in clean)
        real = [span for span, counts in self._found(clean, kept) if counts]
        if self._in_parts(text, real) != self._whole(text):
            raise NotPlain("its tokens depend on where a text begins")
        return self._in_parts(whole, [span for span, counts in spelt if counts])

    def _whole(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _found(
        self, pieces: Sequence[Piece], kept: Collection[str]
    ) -> Iterator[tuple[tuple[int, int], bool]]:
        """[start, end) of every special token, and whether it counts as one."""
        at, templates = 0, []
        for piece in pieces:
            if not piece.data:
                templates.append((at, at + len(piece.text)))
            at += len(piece.text)
        for match in self._names.finditer("".join(piece.text for piece in pieces)):
            start, end = match.span()
            inside = any(first <= start and end <= last for first, last in templates)
            yield (start, end), inside or match.group() in kept

    def _in_parts(self, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        out: list[int] = []
        at = 0
        for start, end in spans:
            number, token = self._special[text[start:end]]
            before = text[at:start]
            out += self._part(before.rstrip() if token.lstrip else before)
            out.append(number)
            rest = text[end:]
            at = end + (len(rest) - len(rest.lstrip()) if token.rstrip else 0)
        return out + self._part(text[at:])

    def _part(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids) if text else []
