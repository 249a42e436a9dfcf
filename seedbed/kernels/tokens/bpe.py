"""Byte-level BPE: any text is decoded exactly, and the order of the training texts does not matter.

Before merges the text is cut into words by a pattern of our own for code:

- a run of letters with at most one leading mark or space, so that `_name` and ` name` are one word;
- single digits, so that numbers have one spelling whatever their length;
- runs of punctuation;
- line ends, with the blanks before them;
- runs of spaces, whose last space belongs to the word after them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from seedbed.kernels.tokens.packing import (
    ASSISTANT,
    END_OF_TEXT,
    END_OF_TURN,
    PAD,
    SPECIAL_TOKENS,
    USER,
)

WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Every byte has a token.
SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256

# One turn is <|user|> or <|assistant|>, a line end, the words, <|end|> and a line end. A system
# message counts as a user's turn.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '" + ASSISTANT + "\\n' }}"
    "{% elif message['role'] in ['user', 'system'] %}{{ '" + USER + "\\n' }}"
    "{% else %}{{ raise_exception('unknown role ' + message['role']) }}{% endif %}"
    "{{ message['content'] + '" + END_OF_TURN + "\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + ASSISTANT + "\\n' }}{% endif %}"
)


def train(texts: Iterable[str], vocab_size: int) -> str:
    """The tokenizer.json of a BPE that is trained on `texts`.

    It has `vocab_size` tokens, or fewer where the texts have no more pairs to merge.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str(pretty=True))


def companion_files() -> dict[str, str]:
    """The files that transformers' AutoTokenizer and vLLM need beside tokenizer.json: name -> text.

    <|endoftext|> marks both ends of a document. In the shards it follows each document, so it also
    stands before the next one.
    """
    marks: dict[str, Any] = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": PAD}
    config = {
        **marks,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "chat_template": CHAT_TEMPLATE,
    }
    others = [name for name in SPECIAL_TOKENS if name not in marks.values()]
    return {
        "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
        "special_tokens_map.json": json.dumps(
            {**marks, "additional_special_tokens": others}, indent=2
        )
        + "\n",
    }
