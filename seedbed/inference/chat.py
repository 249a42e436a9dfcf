"""Prompts and responses as token ids, in the chat format of the tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from conf.errors import SeedbedError
from seedbed.inference import thoughts
from seedbed.inference.thoughts import CLOSE, OPEN
from seedbed.kernels.tokens.plain_text import NotPlain, Piece, PieceEncoder

# What stands for a user's text and for a reply while a template is looked at.
_USER, _REPLY = "prompt", "response"
# A reply that no template holds anywhere else.
_MARK = "a-reply-7d31"


class Chat:
    """The tokenizer of an HF folder with its chat template.

    end_id: the token that ends a response. opens_thought: the template itself begins the thought,
    as DeepSeek-R1's does.

    Raises SeedbedError where the folder has no tokenizer, or the tokenizer no chat template that
    takes a user's turn and ends an assistant's.
    """

    def __init__(self, folder: Path):
        if not (Path(folder) / "tokenizer.json").is_file():
            raise SeedbedError(
                f"{folder} holds no tokenizer.json", "export the model with its tokenizer"
            )
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        if not self._tokenizer.chat_template:
            raise SeedbedError(
                f"the tokenizer of {folder} has no chat template",
                "set chat_template in its tokenizer_config.json",
            )
        self._begin = self._find_begin()
        # What the template puts behind the opening of a thought, None where it opens none.
        behind = self.text(_USER).rpartition(_USER)[2].rpartition(OPEN)
        self._opening = behind[2] if behind[1] and CLOSE not in behind[2] else None
        self.opens_thought = self._opening is not None
        self.end_id, self._before, self._after = self._find_end()
        self._unread = self._control_ids()
        tokens = [self._tokenizer.decode([number]) for number in self._added()]
        self._special = sorted(token for token in tokens if len(token) > 2 and token.strip())
        self._encoder = PieceEncoder(self._tokenizer)

    def prompt(self, text: str) -> list[int]:
        """Ids of a user's turn and of the opening of the assistant's turn.

        The template writes the begin token where it wants one, as in transformers. A special token
        that the text spells stays plain text.
        """
        return self._pieces(lambda: self._encoder.around(self.text, text))

    def text(self, text: str) -> str:
        """A user's turn and the opening of the assistant's turn, as text."""
        return self._templated([{"role": "user", "content": text}], opened=True)

    def following(self, text: str) -> list[int]:
        """Ids that follow the end token of an answer: a user's next turn, and the opening of the
        assistant's.

        The answer keeps the ids that it was sampled with. So a template that takes the thoughts
        out of earlier answers does not do so here. A special token that the text spells, such as
        the words of a failing program, is broken up by a blank, and so ends no turn.

        Raises:
            SeedbedError: where the template refuses a second turn.
        """
        for token in self._special:
            text = text.replace(token, f"{token[:1]} {token[1:]}")
        turns = [("user", _USER), ("assistant", _MARK), ("user", text)]
        said = [{"role": role, "content": content} for role, content in turns]
        # From the end token on, since some tokenizers treat the beginning of a text differently.
        rest = self._templated(said, opened=True).partition(_MARK)[2].lstrip()
        ids = self._ids(rest)
        return ids[ids.index(self.end_id) + 1 :]

    def plain(self, text: str) -> list[int]:
        """Ids of a text that the model is to continue, without a chat template.

        A tokenizer that begins texts with a token does so here, once.
        """
        return [*self._begin, *self._pieces(lambda: [Piece(text, True)])]

    def response(self, text: str) -> list[int]:
        """Ids of an answer with the end token, as they follow the ids of a prompt.

        Where the template opens the thought, the answer does not open it again; an answer without a
        thought closes it. Where it does not, a thought is opened that the answer only closes. So
        prompt and response together have one tag of each kind, or none. Any other special token
        that the answer spells is plain text.
        """
        body = text.lstrip() if text.lstrip().startswith(OPEN) else text
        tags = thoughts.tags(body)
        if self._opening is not None:
            if body.startswith(OPEN):
                body = body.removeprefix(OPEN).removeprefix(self._opening)
            elif not tags:
                body = f"{'' if self._opening.endswith(chr(10)) else chr(10)}{CLOSE}\n\n{body}"
        elif tags and tags[0].closes:
            body = f"{OPEN}\n{body}"
        pieces = [Piece(self._before, False), Piece(body, True), Piece(self._after, False)]
        return [*self._pieces(lambda: pieces, kept=(OPEN, CLOSE)), self.end_id]

    def decode(self, ids: list[int]) -> str:
        """The reply that response ids are: what `response` was given. Invalid UTF-8 is U+FFFD.

        It is without special tokens, except those that open and close thoughts. A thought that the
        template opened is opened in the reply as well, so that no reader takes it for an answer.
        """
        read = [number for number in ids if number not in self._unread]
        text = self._tokenizer.decode(
            read, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        text = text.removeprefix(self._before).removesuffix(self._after)
        if self._opening is None or text.lstrip().startswith(OPEN):
            return text
        return OPEN + self._opening + text

    def _pieces(self, pieces: Callable[[], list[Piece]], kept: Sequence[str] = ()) -> list[int]:
        try:
            return self._encoder.ids(pieces(), kept)
        except NotPlain as error:
            raise SeedbedError(
                f"this tokenizer cannot keep what a text spells as plain text: {error}",
                "use a tokenizer and a chat_template that treat all texts alike, or take the "
                "special tokens out of the texts",
            ) from error

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _templated(self, turns: list[dict[str, str]], opened: bool) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=opened
            )
        except TemplateError as error:
            raise SeedbedError(
                f"the chat template refuses a conversation of {len(turns)} turns: {error}",
                "set a chat_template that needs no system turn in tokenizer_config.json",
            ) from error

    def _find_begin(self) -> list[int]:
        """The ids that the tokenizer itself puts before a text."""
        bare, full = self._ids("a"), self._tokenizer("a")["input_ids"]
        start = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
        return full[:start]

    def _find_end(self) -> tuple[int, str, str]:
        """The token that the template puts after the assistant's content, and the blanks around it.

        Blanks: between the opening of the turn and the content, and between content and token.
        """
        turns = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _REPLY}]
        text = self._templated(turns, opened=False)
        at = text.rindex(_REPLY)
        opening = self.text(_USER)
        before = text[len(opening) : at] if text.startswith(opening) else ""
        after = text[at + len(_REPLY) :]
        end = after.lstrip()
        ids = self._ids(end)
        if not ids or ids[0] not in self._added():
            raise SeedbedError(
                f"the chat template ends an assistant's turn with {text[at:]!r}, "
                "not with a special token",
                "end the turn with a special token such as <|end|>, so that sampling stops there",
            )
        blanks = after[: len(after) - len(end)]
        return ids[0], before if not before.strip() else "", blanks

    def _added(self) -> set[int]:
        return {*self._tokenizer.all_special_ids, *self._tokenizer.added_tokens_decoder}

    def _control_ids(self) -> set[int]:
        """Special tokens that are no part of a reply's text."""
        added = self._tokenizer.added_tokens_decoder
        special = {number for number, token in added.items() if token.special}
        control = {*special, *self._tokenizer.all_special_ids, self.end_id}
        return {n for n in control if not thoughts.is_tag(self._tokenizer.decode([n]))}
