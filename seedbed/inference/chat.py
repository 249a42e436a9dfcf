"""Prompts and responses as token ids, in the chat format that the tokenizer itself brings."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from conf.errors import SeedbedError


class Chat:
    """The tokenizer of an HF folder with its chat template. A response ends with `end_id`.

    Raises SeedbedError for a folder without a tokenizer or a tokenizer without a chat template.
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
        """Ids of one user turn and the opening of the assistant's."""
        return self.plain(self.text(text))

    def text(self, text: str) -> str:
        """The same as text."""
        turns = [{"role": "user", "content": text}]
        return self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )

    def plain(self, text: str) -> list[int]:
        """Ids of text as it stands, for a model that is to continue it."""
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def response(self, text: str) -> list[int]:
        """Ids of an answer, the end token included."""
        return [*self.plain(text), self.end_id]

    def decode(self, ids: list[int]) -> str:
        """Text of response ids without special tokens. Bytes that are not UTF-8 become U+FFFD."""
        return self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def _find_end(self) -> int:
        """The special token that the template puts right after an assistant's content."""
        mark = "response"
        turns = [{"role": "user", "content": "prompt"}, {"role": "assistant", "content": mark}]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False)
        after = self._tokenizer(text[text.rindex(mark) + len(mark) :], add_special_tokens=False)[
            "input_ids"
        ]
        if not after or after[0] not in self._tokenizer.all_special_ids:
            raise SeedbedError(
                f"the chat template ends an assistant's turn with {text[text.rindex(mark) :]!r}, not with a special token",
                "end the turn with a special token such as <|end|>: sampling stops there",
            )
        return after[0]
