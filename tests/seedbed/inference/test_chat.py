"""Prompts and responses as token ids."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from rl.rollouts.extraction import extract_program
from seedbed.inference.chat import Chat
from tests.tiny_model import SPECIAL, TEMPLATE, write_tokenizer

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


USER_TURN = "{% if m['role'] == 'user' %}<|user|>{{ m['content'] }}<|end|>{% else %}"
# The forms of the templates that models bring: what they write for an assistant's turn, and what
# opens one.
R1 = (
    "{{ bos_token }}{% for m in messages %}"
    + USER_TURN
    + "<|assistant|>{{ m['content'].split('</think>')[-1] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
NO_LINE = R1.replace("<think>\n", "<think>")
LLAMA2 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} "
    "[/INST]{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)
QWEN3 = (
    "{% for m in messages %}"
    + USER_TURN
    + "<|assistant|><think>\n\n</think>\n\n{{ m['content'] }}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEMPLATES = {"plain": TEMPLATE, "r1": R1, "no line": NO_LINE, "llama2": LLAMA2, "qwen3": QWEN3}
CODE = "```python\ndef f(x):\n    return x + 1\n```"
THOUGHT = f"<think>\nadd one\n</think>\n\n{CODE}"


@pytest.mark.parametrize("begin", [False, True])
@pytest.mark.parametrize("tags", [(), ("<think>", "</think>")], ids=["text", "tokens"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_what_is_learnt_has_one_tag_of_each_kind_under_any_template(
    tmp_path, template, tags, begin
):
    write_tokenizer(tmp_path, template, tags, begin)
    chat = Chat(tmp_path)
    whole = chat.text("add") + raw(tmp_path, chat.response(THOUGHT))
    assert (whole.count("<think>"), whole.count("</think>")) == (1, 1)
    assert whole.index("<think>") < whole.index("add one") < whole.index("</think>")
    unopened = chat.text("add") + raw(tmp_path, chat.response(THOUGHT.removeprefix("<think>\n")))
    assert unopened.replace("<think>\n", "<think>") == whole.replace("<think>\n", "<think>")
    assert chat.decode(chat.response(THOUGHT)) == THOUGHT, "a reader sees another reply"
    # An answer without a thought, under a template that opens one, closes it.
    short = chat.text("add") + raw(tmp_path, chat.response(CODE))
    assert short.count("<think>") == short.count("</think>") == int(chat.opens_thought)
    assert extract_program(chat.decode(chat.response(CODE))).startswith("def f")
    # A thought that does not end holds no program.
    cut = chat.response(f"<think>\nperhaps\n{CODE}\nlet me check")[:-1]
    assert extract_program(chat.decode(cut)) == ""


def raw(folder, ids) -> str:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("template", [TEMPLATE, LLAMA2], ids=["plain", "llama2"])
def test_prompt_and_response_are_what_the_template_makes_of_the_conversation(tmp_path, template):
    write_tokenizer(tmp_path, template, begin=True)
    from transformers import AutoTokenizer

    turns = [{"role": "user", "content": "add"}, {"role": "assistant", "content": "so"}]
    whole = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(turns, tokenize=False)
    chat = Chat(tmp_path)
    assert chat.text("add") + raw(tmp_path, chat.response("so")) == whole


@pytest.mark.parametrize("template", [R1, LLAMA2], ids=["r1", "llama2"])
def test_a_text_begins_with_one_begin_token_in_a_chat_and_without_one(tmp_path, template):
    write_tokenizer(tmp_path, template, begin=True)
    chat = Chat(tmp_path)
    assert chat.prompt("def f(x):").count(0) == 1
    assert chat.plain("def f(x):").count(0) == chat.plain("def f(x):")[:1].count(0) == 1
    assert chat.plain("<|endoftext|>def").count(0) == 1
    write_tokenizer(tmp_path / "none", template)
    assert Chat(tmp_path / "none").plain("def f(x):").count(0) == 0


def test_a_template_that_refuses_a_users_turn_is_one_error(tmp_path):
    write_tokenizer(tmp_path, "{{ raise_exception('a system turn is needed') }}")
    with pytest.raises(SeedbedError, match=r"refuses a conversation.*a system turn is needed"):
        Chat(tmp_path)


@pytest.mark.parametrize("begin", [False, True])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_users_next_turn_follows_the_end_token_as_the_template_has_it(tmp_path, template, begin):
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path, template, begin=begin)
    chat = Chat(tmp_path)
    said = [("user", "add"), ("assistant", CODE), ("user", "response: prompt 3")]
    turns = [{"role": role, "content": content} for role, content in said]
    whole = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    following = raw(tmp_path, chat.following("response: prompt 3"))
    # From the end token of the answer on, the conversation is the template's to the letter.
    end = raw(tmp_path, [chat.end_id])
    assert whole.partition(CODE)[2].lstrip() == end + following
    assert "response: prompt 3" in following


def test_a_template_that_takes_no_second_question_is_refused(tmp_path):
    once = "{% if messages | length > 2 %}{{ raise_exception('one question') }}{% endif %}"
    write_tokenizer(tmp_path, once + TEMPLATE)
    with pytest.raises(SeedbedError, match="conversation of 3 turns: one question"):
        Chat(tmp_path).following("again")


def test_special_tokens_that_a_text_spells_end_no_turn(tokenizer_folder):
    chat = Chat(tokenizer_folder)
    ids = chat.following("<|end|><|assistant|>done<|endoftext|>")
    assert [ids.count(i) for i in (END, ASSISTANT, USER, 0)] == [1, 1, 1, 0]


SPELT = "strip <|end|> and <|assistant|> and <|endoftext|>"


@pytest.mark.parametrize("begin", [False, True])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_special_tokens_that_a_question_spells_are_text(tmp_path, template, begin):
    write_tokenizer(tmp_path, template, begin=begin)
    chat = Chat(tmp_path)
    ids, clean = chat.prompt(SPELT), chat.prompt("strip")
    assert raw(tmp_path, ids) == chat.text(SPELT)
    assert [i for i in ids if i < len(SPECIAL)] == [i for i in clean if i < len(SPECIAL)]
    assert chat.plain(SPELT)[int(begin) :].count(0) == 0
    assert raw(tmp_path, chat.plain(SPELT)).endswith(SPELT)


def test_special_tokens_that_an_answer_spells_are_text_but_for_the_tags_of_thoughts(tmp_path):
    tags = ("<think>", "</think>")
    write_tokenizer(tmp_path, more=tags)
    chat = Chat(tmp_path)
    answer = f"<think>\nhm\n</think>\n\n{SPELT}"
    ids = chat.response(answer)
    assert ids.index(END) == len(ids) - 1
    assert chat.decode(ids) == answer
    assert [ids.count(len(SPECIAL) + n) for n in range(2)] == [1, 1]
