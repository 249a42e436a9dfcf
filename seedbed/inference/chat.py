"""Prompts and responses as token ids, in the chat format of the tokenizer."""

from __future__ import annotations

from pathlib import Path

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from conf.errors import SeedbedError
from seedbed.inference import thoughts
from seedbed.inference.thoughts import CLOSE, OPEN

# What stands for a user's text and for a reply while a template is looked at.
_USER, _REPLY = "prompt", "response"


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

    def prompt(self, text: str) -> list[int]:
        """Ids of a user's turn and of the opening of the assistant's turn.

        The template writes the begin token where it wants one, as in transformers.
        """
        return self._ids(self.text(text))

    def text(self, text: str) -> str:
        """A user's turn and the opening of the assistant's turn, as text."""
        return self._templated([{"role": "user", "content": text}], opened=True)

    def plain(self, text: str) -> list[int]:
        """Ids of a text that the model is to continue, without a chat template.

        A tokenizer that begins texts with a token does so here, once.
        """
        ids = self._ids(text)
        return ids if ids[: len(self._begin)] == self._begin else [*self._begin, *ids]

    def response(self, text: str) -> list[int]:
        """Ids of an answer with the end token, as they follow the ids of a prompt.

        Where the template opens the thought, the answer does not open it again; an answer without a
        thought closes it. Where it does not, a thought is opened that the answer only closes. So
        prompt and response together have one tag of each kind, or none.
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
        return [*self._ids(self._before + body + self._after), self.end_id]

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
