"""A folder's weights and tokenizer are looked at before anything is built from them."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from conf.errors import SeedbedError
from megatron_train.checkpoint.hf_folder import examine
from tests.megatron_train.families import folders
from tests.tiny_model import write_tokenizer


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """An untied Llama of several files, and its tokenizer of 300 tokens or fewer."""
    import transformers

    folder = tmp_path_factory.mktemp("good") / "model"
    folders.write(folder, "llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="150KB")
    write_tokenizer(folder)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")


def last_shard(folder):
    return sorted(folder.glob("model-*.safetensors"))[-1]


def without_a_shard(folder):
    last_shard(folder).unlink()


def cut(folder):
    last_shard(folder).write_bytes(last_shard(folder).read_bytes()[:-700])


def cut_in_the_header(folder):
    last_shard(folder).write_bytes(last_shard(folder).read_bytes()[:60])


def empty(folder):
    last_shard(folder).write_bytes(b"")


def pointer(folder):
    last_shard(folder).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\n")


def without_an_index(folder):
    (folder / "model.safetensors.index.json").unlink()


def only_bin(folder):
    for file in folder.glob("model*"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"x")


def changed(change):
    """A fault that changes the tensors of the last file."""

    def fault(folder):
        tensors = load_file(last_shard(folder))
        change(tensors)
        save_file(tensors, last_shard(folder), {"format": "pt"})

    fault.__name__ = change.__name__
    return fault


def lacks_a_norm(tensors):
    del tensors["model.norm.weight"]


def has_a_bias(tensors):
    tensors["model.layers.3.self_attn.q_proj.bias"] = torch.zeros(60)


def has_another_shape(tensors):
    tensors["model.norm.weight"] = torch.ones(61)


def is_quantised(tensors):
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.float8_e4m3fn)
    tensors["model.norm.weight_scale"] = torch.ones(1)


def is_of_whole_numbers(tensors):
    tensors["model.norm.weight"] = torch.ones(60, dtype=torch.int8)


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def sentencepiece_alone(folder):
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")


def ids_beyond(folder):
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 500, "content": "<x>"})
    path.write_text(json.dumps(tokenizer))


def end_of_no_token(folder):
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), "eos_token": {"content": "</s>"}}
    path.write_text(json.dumps(config))


def end_beyond(folder):
    folders.edit(folder, eos_token_id=[3, 500])


def begin_below(folder):
    folders.edit(folder, bos_token_id=-2)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (without_a_shard, "lacks model-00005-of-00005.safetensors, which model.safetensors.index"),
        (cut, "is cut off: its tensors need"),
        (cut_in_the_header, "is cut off: its header"),
        (empty, "is cut off: its header does not fit 0 bytes"),
        (pointer, "is a pointer of git-lfs"),
        (without_an_index, "and no model.safetensors.index.json"),
        (only_bin, "holds no model.safetensors, but pytorch_model.bin"),
        (changed(lacks_a_norm), "lacks the tensor model.norm.weight"),
        (changed(has_a_bias), r"unlike its config.json, the tensor model.layers.3.*q_proj.bias"),
        (changed(has_another_shape), r"model.norm.weight has the shape \[61\].*\[60\]"),
        (changed(is_quantised), "model.norm.weight in .* is of type F8_E4M3"),
        (changed(is_of_whole_numbers), "model.norm.weight in .* is of type I8"),
        (no_tokenizer, "holds no tokenizer.json"),
        (sentencepiece_alone, "holds no tokenizer.json, but tokenizer.model"),
        (ids_beyond, r"has the id 500 \('<x>'\), and the model has 500 tokens"),
        (end_of_no_token, "has eos_token='</s>', which is no token"),
        (end_beyond, r"eos_token_id=\[3, 500\] must be an id from 0 to 499"),
        (begin_below, "bos_token_id=-2"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_one_line_that_names_it(folder, fault, said):
    fault(folder)
    with pytest.raises(SeedbedError, match=said):
        examine(folder)


def test_a_whole_folder_is_read_with_and_without_its_tokenizer(folder):
    model, vocab_size = examine(folder)
    assert (model.family, vocab_size) == ("llama", folders.VOCAB)
    no_tokenizer(folder)
    folders.edit(folder, pad_token_id=-1)
    assert examine(folder, tokenizer=False) == (model, vocab_size)


def test_frequencies_and_a_copied_output_layer_of_older_folders_are_passed_over(tmp_path):
    folders.write(tmp_path, "llama", tie_word_embeddings=True)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(5)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, file, {"format": "pt"})
    examine(tmp_path, tokenizer=False)
    tensors["lm_head.weight"][7, 3] += 1
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(SeedbedError, match=r"the tensor lm_head\.weight"):
        examine(tmp_path, tokenizer=False)
