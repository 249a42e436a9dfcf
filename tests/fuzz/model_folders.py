"""Folders of Hugging Face, of checkpoints and of token shards: their JSON and their tensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tokenizers import Tokenizer

from megatron_train.checkpoint import (
    hf_config,
    hf_import,
    hf_side_files,
    step_folders,
    tensor_headers,
)
from megatron_train.data import manifest, remote_tokens
from seedbed.kernels.tokens.tiktoken_form import ALPHABET, NotExpressible, express
from tests.fuzz.boundary import Boundary, folder
from tests.fuzz.mutations import as_json, damaged, odd_object, odd_values

_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 8, "vocab_size": 16,
    "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "rms_norm_eps": 1e-5,
    "num_key_value_heads": 1, "max_position_embeddings": 32, "rope_theta": 1e4, "head_dim": 4,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "tie_word_embeddings": True,
    "attention_bias": False, "mlp_bias": False, "initializer_range": 0.02,
}  # fmt: skip


def _tensors(header: Any, body: bytes = b"\0" * 16) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


_HEADER = {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
_INDEX = {"metadata": {"total_size": 16}, "weight_map": {"w": "model.safetensors"}}


def _read_config(data: bytes) -> None:
    with folder(config_json=data) as where:
        model, vocab = hf_config.model_config(where)
    model.check()
    assert min(model.layers, model.hidden, model.ffn, model.heads, model.kv_heads, vocab) > 0
    assert model.parameters(vocab) > 0


def _read_tensors(data: bytes) -> None:
    """An index and a file of tensors; NUL NUL separates them. Without an index the file alone."""
    index, _, tensors = data.partition(b"\0\0")
    with folder(model_safetensors=tensors) as where:
        if index:
            (where / "model.safetensors.index.json").write_bytes(index)
        for name, tensor in hf_import.stored(where):
            assert isinstance(name, str)
            assert tensor.numel() * tensor.element_size() <= len(tensors)


def _read_headers(data: bytes) -> None:
    """The same, without reading a tensor. What a header names lies within its file."""
    index, _, tensors = data.partition(b"\0\0")
    with folder(model_safetensors=tensors) as where:
        if index:
            (where / "model.safetensors.index.json").write_bytes(index)
        for name, tensor in tensor_headers.headers(where).items():
            assert isinstance(name, str)
            assert Path(tensor.file).name == tensor.file


# Whole, so that what is drawn of it is read at times: a token for every byte, and one merge.
_TOKENIZER: dict[str, Any] = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
    "added_tokens": [
        {"id": 257, "content": "<eos>", "special": True, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False}
    ],
    "pre_tokenizer": {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True
    },
    "post_processor": None,
    "decoder": {
        "type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True
    },
    "model": {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": False, "merges": [["a", "b"]],
        "vocab": {token: rank for rank, token in enumerate([*ALPHABET, "ab"])},
    },
}  # fmt: skip
_SPECIAL = {"eos_token": "<eos>", "bos_token": {"content": "<s>"}, "pad_token": None}


def _read_tokenizer(data: bytes) -> None:
    """tokenizer.json and tokenizer_config.json, with a NUL between."""
    tokenizer, _, config = data.partition(b"\0")
    with folder(tokenizer_json=tokenizer) as where:
        if config:
            (where / "tokenizer_config.json").write_bytes(config)
        ids = hf_side_files.special_ids(where)
        assert all(isinstance(n, int) for ends in ids.values() for n in hf_side_files.as_list(ends))
    try:
        loaded = Tokenizer.from_str(tokenizer.decode("utf-8", "replace"))
    except Exception as error:
        # The refusals of `tokenizers` have no type of their own.
        raise NotExpressible(str(error)) from error
    express(loaded)


_MANIFEST: dict[str, Any] = {
    "version": 1, "dtype": "uint16", "tables": {"documents": 1},
    "tokenizer": {
        "path": "tokenizer", "vocab_size": 16, "eod": 2,
        "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    },
    "shards": [
        {"split": "train", "prefix": "train-00000", "tokens": 4, "documents": 1, "bin_bytes": 8,
         "bin_sha256": "0" * 64, "idx_sha256": "1" * 64}
    ],
}  # fmt: skip
_STEP = {"version": 2, "step": 4, "architecture": {"layers": 2}, "extra": {}, "fp8_history": 0}


def _read_manifest(data: bytes) -> None:
    with folder(manifest_json=data) as where:
        (where / "tokenizer").mkdir()
        (where / "tokenizer" / "tokenizer.json").write_bytes(b"{}")
        found = manifest.read_manifest(where)
        assert len(found.of("train")) <= len(found.shards)
        manifest.verify_shards(found, contents=True)


def _read_remote(data: bytes) -> None:
    """What a manifest at a URI makes this machine copy: never a file outside its own folder."""
    for name in remote_tokens._files(data.decode("utf-8", "replace"), "manifest.json"):
        assert Path("/a/b").joinpath(name).resolve().is_relative_to("/a/b")


def _read_step(data: bytes) -> None:
    with folder(manifest_json=data) as where:
        found = step_folders.read_manifest(where)
    assert Path(found["folder"]) == where
    assert isinstance(found["step"], int)


def _parts(objects: list[dict[str, Any]], joined: bytes) -> st.SearchStrategy[bytes]:
    each = [odd_object(one).map(as_json) for one in objects]
    return st.tuples(*each).map(joined.join)


_tensor_files = (odd_object(_HEADER) | odd_object(_HEADER["w"]).map(lambda w: {"w": w})).map(
    _tensors
)
_indices = (
    odd_object(_INDEX).map(as_json)
    | odd_values("model.safetensors", "w", "../x").map(lambda v: as_json({"weight_map": v}))
    | st.just(b"")
)
CONFIG = Boundary(
    "hf-config",
    damaged(odd_object(_CONFIG).map(as_json), most=1),
    _read_config,
    (as_json(_CONFIG),),
)
TENSORS = Boundary(
    "hf-tensors",
    damaged(st.tuples(_indices, st.just(b"\0\0"), _tensor_files).map(b"".join), most=2),
    _read_tensors,
    (as_json(_INDEX) + b"\0\0" + _tensors(_HEADER), b"\0\0" + _tensors(_HEADER)),
)
HEADERS = Boundary(
    "hf-headers",
    damaged(st.tuples(_indices, st.just(b"\0\0"), _tensor_files).map(b"".join), most=2),
    _read_headers,
    (as_json(_INDEX) + b"\0\0" + _tensors(_HEADER), b"\0\0" + _tensors(_HEADER)),
)
TOKENIZER = Boundary(
    "hf-tokenizer",
    damaged(_parts([_TOKENIZER, _SPECIAL], b"\0"), most=1),
    _read_tokenizer,
    (as_json(_TOKENIZER) + b"\0" + as_json(_SPECIAL),),
    (*CONFIG.refusals, NotExpressible),
)
SHARDS = Boundary(
    "token-manifest", damaged(odd_object(_MANIFEST).map(as_json), most=1), _read_manifest, ()
)
STEPS = Boundary(
    "step-manifest", damaged(odd_object(_STEP).map(as_json), most=1), _read_step, (as_json(_STEP),)
)
REMOTE = Boundary(
    "remote-manifest",
    damaged(odd_object(_MANIFEST, "../x").map(as_json), most=1),
    _read_remote,
    (as_json(_MANIFEST),),
)
BOUNDARIES = (CONFIG, TENSORS, HEADERS, TOKENIZER, SHARDS, REMOTE, STEPS)
