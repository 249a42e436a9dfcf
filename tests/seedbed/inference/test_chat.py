"""Prompts and responses as token ids."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.inference.chat import Chat
from tests.tiny_model import SPECIAL, write_tokenizer

USER, ASSISTANT, END = (SPECIAL.index(f"<|{name}|>") for name in ("user", "assistant", "end"))


def test_a_prompt_opens_the_assistants_turn_and_a_response_ends_it(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    prompt, response = chat.prompt("hello"), chat.response("world")
    assert (prompt[0], prompt[-2:], response[-1]) == (USER, [END, ASSISTANT], END)
    assert chat.end_id == END
    assert chat.decode(response) == "world"


def test_prompt_and_response_together_are_the_whole_templated_conversation(tokenizer_folder):
    from transformers import AutoTokenizer

    turns = [
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": "def f(x):\n    return x"},
    ]
    whole = AutoTokenizer.from_pretrained(tokenizer_folder).apply_chat_template(
        turns, tokenize=True, return_dict=False
    )
    chat = Chat(tokenizer_folder)
    assert chat.prompt("add") + chat.response("def f(x):\n    return x") == whole


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path):
    write_tokenizer(tmp_path, template=None)
    with pytest.raises(SeedbedError, match="has no chat template"):
        Chat(tmp_path)


def test_a_template_that_ends_no_turn_is_refused(tmp_path):
    write_tokenizer(tmp_path, template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(SeedbedError, match="not with a special token"):
        Chat(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(SeedbedError, match=r"no tokenizer\.json"):
        Chat(tmp_path)
