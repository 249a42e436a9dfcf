"""Bits per byte: the figure by hand, windows of long texts, and the hold-out documents."""

from __future__ import annotations

import math

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from conf.errors import SeedbedError
from megatron_train import bits_per_byte
from tests.report import tiny


@pytest.fixture
def folder(tmp_path):
    """A random model over bytes, with a context of 16."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={char: i + 1 for i, char in enumerate(alphabet)} | {"<end>": 0}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=257,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=16,
            eos_token_id=0,
            bos_token_id=0,
            initializer_range=0.5,
        )
    ).save_pretrained(tmp_path)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_it_is_the_sum_of_surprises_over_bytes(folder):
    texts = ["short é", "x = 1\n" * 9]
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bits = 0.0
    for text in texts:
        ids = [0, *tokenizer.encode(text).ids]
        for i in range(0, len(ids) - 1, 16):
            window = torch.tensor([ids[i : i + 17]])
            with torch.no_grad():
                logs = model(input_ids=window[:, :-1]).logits.log_softmax(-1)
            bits -= float(logs[0].gather(1, window[0, 1:, None]).sum()) / math.log(2)
    found = bits_per_byte.measure(folder, texts)
    size = sum(len(text.encode()) for text in texts)
    assert (found["bytes"], found["tokens"]) == (size, size)
    assert found["bits_per_byte"] == pytest.approx(bits / size, rel=1e-4)


def test_the_holdout_is_the_val_split_in_order_up_to_its_limit(tmp_path, monkeypatch):
    with pytest.raises(SeedbedError, match="does not exist"):
        bits_per_byte.validation_texts(tmp_path)
    texts = [f"text {i}\n" for i in range(4)]
    tiny.write_table(
        tmp_path,
        "contents",
        [{"content_sha256": tiny.sha(t), "text": t, "shard": 0} for t in texts],
    )
    rows = [
        {
            "document_id": f"{9 - i}",
            "parts": [{"path": "p", "content_sha256": tiny.sha(t)}],
            "bytes": len(t),
            "split": "train" if i == 1 else "val",
        }
        for i, t in enumerate(texts)
    ]  # fmt: skip
    tiny.write_table(tmp_path, "documents", rows)
    assert bits_per_byte.validation_texts(tmp_path) == ["text 3\n", "text 2\n", "text 0\n"]
    monkeypatch.setattr(bits_per_byte, "MAX_BYTES", 15)
    assert bits_per_byte.validation_texts(tmp_path) == ["text 3\n", "text 2\n"]
    tiny.write_table(tmp_path, "documents", rows[1:2])
    with pytest.raises(SeedbedError, match="no val documents"):
        bits_per_byte.validation_texts(tmp_path)
