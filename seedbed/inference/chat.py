"""Prompts and responses as token ids, in the chat format of the tokenizer."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from conf.errors import SeedbedError


class Chat:
    """The tokenizer of an HF folder with its chat template.

    end_id: the token that ends a response.

    Raises SeedbedError where the folder has no tokenizer, or the tokenizer no chat template.
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
        self.end_id = self._find_end()

    def prompt(self, text: str) -> list[int]:
        """Ids of a user's turn and of the opening of the assistant's turn."""
        return self.plain(self.text(text))

    def text(self, text: str) -> str:
        """A user's turn and the opening of the assistant's turn, as text."""
        turns = [{"role": "user", "content": text}]
        return self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )

    def plain(self, text: str) -> list[int]:
        """Ids of a text that the model is to continue, without a chat template."""
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def response(self, text: str) -> list[int]:
        """Ids of an answer with the end token."""
        return [*self.plain(text), self.end_id]

    def decode(self, ids: list[int]) -> str:
        """The text of response ids, without special tokens. Invalid UTF-8 becomes U+FFFD."""
        return self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def _find_end(self) -> int:
        """The special token that the template puts after the assistant's content."""
        mark = "response"
        turns = [{"role": "user", "content": "prompt"}, {"role": "assistant", "content": mark}]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False)
        after = self._tokenizer(text[text.rindex(mark) + len(mark) :], add_special_tokens=False)[
            "input_ids"
        ]
        if not after or after[0] not in self._tokenizer.all_special_ids:
            raise SeedbedError(
                f"the chat template ends an assistant's turn with {text[text.rindex(mark) :]!r}, "
                "not with a special token",
                "end the turn with a special token such as <|end|>, so that sampling stops there",
            )
        return after[0]
