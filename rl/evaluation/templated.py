"""Texts that a chat template wrote, told apart from those that only spell its tokens.

lm-evaluation-harness asks for a conversation as text and later for the ids of that text, perhaps
with an answer behind it. So what was rendered is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conf.errors import SeedbedError
from seedbed.kernels.tokens.plain_text import NotPlain, Piece, PieceEncoder

# What stands for the content of a turn while the template is looked at.
_MARK = "a-turn-7d31-{}-"
_FIX = "use a chat_template that treats all texts alike, or run without --apply_chat_template"


class Templated:
    """Renders conversations, and encodes texts with the template's own special tokens alone."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._encoder = PieceEncoder(tokenizer)
        bare = tokenizer("a", add_special_tokens=False)["input_ids"]
        full = tokenizer("a")["input_ids"]
        starts = (i for i in range(len(full)) if full[i : i + len(bare)] == bare)
        # The ids that the tokenizer itself puts before a text.
        self._begin = full[: next(starts, 0)]
        # Rendered text -> its pieces.
        self._known: dict[str, list[Piece]] = {}

    def render(self, turns: Sequence[dict[str, str]], opened: bool) -> str:
        """The text of a conversation. opened: the assistant's turn follows, else goes on.

        Raises:
            SeedbedError: for a tokenizer without a template, and for a template that the contents
                cannot be told apart from.
        """
        if not self._tokenizer.chat_template:
            raise SeedbedError("the tokenizer has no chat template", _FIX)
        rendered = self._render(turns, opened)
        marks = [_MARK.format(number) for number in range(len(turns))]
        marked = self._render(
            [{**turn, "content": mark} for turn, mark in zip(turns, marks, strict=True)], opened
        )
        pieces: list[Piece] = []
        for turn, mark in zip(turns, marks, strict=True):
            before, _, marked = marked.partition(mark)
            pieces += [Piece(before, False), Piece(turn["content"], True)]
        pieces.append(Piece(marked, False))
        if "".join(piece.text for piece in pieces) != rendered:
            # A template may trim what it is given.
            pieces = [Piece(p.text.strip(), True) if p.data else p for p in pieces]
        if "".join(piece.text for piece in pieces) != rendered:
            raise SeedbedError("the chat template writes other words around other texts", _FIX)
        self._known[rendered.rstrip()] = pieces
        return rendered

    def ids(self, text: str, begin: bool) -> list[int]:
        """Token ids of a text, which may begin with one that was rendered.

        begin: the tokenizer may put its own token before the text, except before a rendered one.
        """
        key = max((one for one in self._known if text.startswith(one)), key=len, default="")
        pieces = [*_cut(self._known.get(key, []), len(key)), Piece(text[len(key) :], True)]
        try:
            found = self._encoder.ids(pieces)
        except NotPlain as error:
            raise SeedbedError(
                f"this tokenizer cannot keep what a text spells as plain text: {error}", _FIX
            ) from error
        return found if key or not begin else [*self._begin, *found]

    def _render(self, turns: Sequence[dict[str, str]], opened: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                list(turns),
                tokenize=False,
                add_generation_prompt=opened,
                continue_final_message=not opened,
            )
        )


def _cut(pieces: Sequence[Piece], length: int) -> list[Piece]:
    """The first `length` characters of pieces."""
    out = []
    for piece in pieces:
        out.append(Piece(piece.text[:length], piece.data))
        length -= len(out[-1].text)
    return out
