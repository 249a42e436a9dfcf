"""What an export says of where a model stops and how it samples."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint import hf_side_files as side
from seedbed.kernels.tokens import bpe

MODEL = ModelConfig(layers=2, hidden=32, ffn=64, heads=2, kv_heads=1, seq_length=64)


@pytest.fixture
def tokenizer(tmp_path):
    """Our own tokenizer: <|endoftext|> ends a document, and <|end|> a turn of the template."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(bpe.train(["def f(x):\n    return x\n"] * 3, 300))
    for name, text in bpe.companion_files().items():
        (folder / name).write_text(text)
    return folder


def ids(tokenizer) -> dict[str, int]:
    added = json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"]
    return {token["content"]: token["id"] for token in added}


def test_a_chat_model_stops_at_the_end_of_its_turn(tokenizer, tmp_path):
    of = ids(tokenizer)
    folder = tmp_path / "hf"
    folder.mkdir()
    side.SideFiles(tokenizer).write(folder, MODEL, 300, "bf16", {})
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [of["<|end|>"], of["<|endoftext|>"]]
    assert generation["pad_token_id"] == of["<|pad|>"]
    config = json.loads((folder / "config.json").read_text())
    # Documents still end as they did in training.
    assert config["eos_token_id"] == of["<|endoftext|>"]
    assert config["dtype"] == "bfloat16"
    assert not (folder / side.SUMS).exists()


def test_what_the_base_says_of_sampling_and_stopping_is_kept(tokenizer):
    of = ids(tokenizer)
    base = {"eos_token_id": [of["<|user|>"], 17], "pad_token_id": 9, "bos_token_id": 5}
    (tokenizer / "config.json").write_text(json.dumps(base))
    given = {"temperature": 0.6, "top_p": 0.95, "do_sample": True, "eos_token_id": [17, 18]}
    (tokenizer / "generation_config.json").write_text(json.dumps(given))
    special = side.special_ids(tokenizer)
    assert special == base
    found = side.generation_config(tokenizer, special)
    assert (found["temperature"], found["top_p"], found["do_sample"]) == (0.6, 0.95, True)
    assert found["pad_token_id"] == 9
    assert found["eos_token_id"] == [of["<|end|>"], 17, 18, of["<|user|>"]]


def test_without_a_template_one_end_stays_one_number(tokenizer):
    named = json.loads((tokenizer / "tokenizer_config.json").read_text())
    del named["chat_template"]
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(named))
    special = side.special_ids(tokenizer)
    found = side.generation_config(tokenizer, special)
    assert found["eos_token_id"] == special["eos_token_id"] == ids(tokenizer)["<|endoftext|>"]


@pytest.mark.parametrize(
    ("listed", "named", "end"),
    [
        ([3, 0, 1], "<|endoftext|>", 0),
        ([3, 1], "<|endoftext|>", 3),
        (2, None, 2),
        (None, None, None),
    ],
)
def test_the_end_of_a_document_is_one_token_where_a_config_lists_several(
    tokenizer, listed, named, end
):
    assert ids(tokenizer)["<|endoftext|>"] == 0
    config = json.loads((tokenizer / "tokenizer_config.json").read_text()) | {"eos_token": named}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config))
    (tokenizer / "config.json").write_text(json.dumps({"eos_token_id": listed}))
    assert side.document_end(tokenizer) == end


def test_checksums_are_of_all_files_and_those_known_are_not_read_again(tokenizer, tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    side.SideFiles(tokenizer, "# A model\n").write(
        folder, MODEL, 300, "fp32", {"model.safetensors": "known"}
    )
    lines = dict(line.split("  ")[::-1] for line in (folder / side.SUMS).read_text().splitlines())
    assert lines.keys() == {path.name for path in folder.iterdir()} - {side.SUMS}
    assert lines.pop("model.safetensors") == "known"
    for name, value in lines.items():
        assert value == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert (folder / "README.md").read_text() == "# A model\n"


def chain(folder: Path, tokens: list[int]) -> None:
    """A Llama that writes each of `tokens` after the one before it, and the first after the last.

    Its layers add nothing. A token's embedding is a direction of its own, and the output layer
    sends it to the token that follows.
    """
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.lm_head.weight.zero_()
        for place, (token, after) in enumerate(pairwise([*tokens, tokens[0]])):
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[after, place] = 1.0
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})


def test_transformers_stops_a_chat_models_answer_at_the_end_of_its_turn(tokenizer, tmp_path):
    """The base stops at the end of a document alone, and the model writes no such end."""
    of = ids(tokenizer)
    (tokenizer / "config.json").write_text(json.dumps({"eos_token_id": of["<|endoftext|>"]}))
    answer = Tokenizer.from_file(str(tokenizer / "tokenizer.json")).encode("return").ids
    folder = tmp_path / "hf"
    folder.mkdir()
    chain(folder, [of["<|assistant|>"], *dict.fromkeys(answer), of["<|end|>"]])
    side.SideFiles(tokenizer, "# A chat model\n").write(folder, MODEL, 300, "fp32", {})
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = torch.tensor([[of["<|user|>"], of["<|assistant|>"]]])
    [said] = model.generate(prompt, max_new_tokens=40)[:, 2:].tolist()
    assert said == [*dict.fromkeys(answer), of["<|end|>"]]
    # It would have gone on.
    [longer] = model.generate(prompt, max_new_tokens=40, eos_token_id=0)[:, 2:].tolist()
    assert longer[: len(said)] == said
    assert len(longer) == 40


def test_a_folder_without_a_tokenizer_is_one_line(tmp_path):
    with pytest.raises(SeedbedError, match=r"holds no tokenizer\.json"):
        side.special_ids(tmp_path)
