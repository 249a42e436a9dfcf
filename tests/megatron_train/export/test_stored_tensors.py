"""Tensors are read one by one out of a checkpoint, and damage is noticed."""

from __future__ import annotations

import pytest
import torch
from torch.distributed import checkpoint as dcp

from conf.errors import SeedbedError
from megatron_train.export.stored_tensors import StoredTensors

QKV = "decoder.layers.self_attention.linear_qkv.weight"


@pytest.fixture
def saved(tmp_path):
    """Three layers of one matrix, what stands before and after them, and Adam's state."""
    torch.manual_seed(5)
    tensors = {
        "output_layer.weight": torch.randn(9, 4),
        QKV: torch.randn(3, 6, 4).bfloat16(),
        "decoder.final_layernorm.weight": torch.randn(4),
        "embedding.word_embeddings.weight": torch.randn(9, 4),
        f"optimizer.state.exp_avg.{QKV}": torch.randn(3, 6, 4),
    }
    dcp.save(tensors, checkpoint_id=str(tmp_path / "step"), no_dist=True)
    return tmp_path / "step", tensors


def test_layers_are_taken_apart_and_the_optimizer_is_left_out(saved):
    folder, tensors = saved
    stored = StoredTensors(folder)
    layers = [f"decoder.layers.{i}.self_attention.linear_qkv.weight" for i in range(3)]
    assert list(stored.shapes) == [
        "embedding.word_embeddings.weight",
        *layers,
        "decoder.final_layernorm.weight",
        "output_layer.weight",
    ]
    assert stored.dtype(layers[2]) == torch.bfloat16
    for i, name in enumerate(layers):
        assert torch.equal(stored.read(name), tensors[QKV][i])
    assert torch.equal(stored.read("output_layer.weight"), tensors["output_layer.weight"])


def test_experts_are_taken_apart_from_the_boxes_that_processes_left(tmp_path):
    name = "decoder.layers.mlp.experts.experts.linear_fc2.weight"
    whole = torch.arange(3 * 4 * 2 * 5.0).view(3, 4, 2, 5)
    dcp.save({name: whole}, checkpoint_id=str(tmp_path / "step"), no_dist=True)
    stored = StoredTensors(tmp_path / "step")
    assert len(stored.shapes) == 12
    own = "decoder.layers.2.mlp.experts.3.linear_fc2.weight"
    assert stored.shapes[own] == (2, 5)
    assert torch.equal(stored.read(own), whole[2, 3])


def test_a_flipped_bit_is_an_error_that_names_the_tensor(saved):
    folder, tensors = saved
    needle = tensors["output_layer.weight"].numpy().tobytes()
    [file] = [path for path in folder.glob("*.distcp") if needle in path.read_bytes()]
    data = bytearray(file.read_bytes())
    data[data.index(needle) + 17] ^= 8
    file.write_bytes(data)
    stored = StoredTensors(folder)
    with pytest.raises(SeedbedError, match=r"output_layer\.weight in .*another checksum"):
        stored.read("output_layer.weight")
    stored.read("decoder.layers.1.self_attention.linear_qkv.weight")


def test_a_missing_file_a_missing_part_and_bytes_of_something_else_are_errors(saved):
    folder, _ = saved
    stored = StoredTensors(folder)
    stored._entries["output_layer.weight"].chunks.clear()
    with pytest.raises(SeedbedError, match="holds 0 of the 36 numbers of output_layer"):
        stored.read("output_layer.weight")
    for file in folder.glob("*.distcp"):
        file.unlink()
    with pytest.raises(SeedbedError, match="cannot be read: FileNotFoundError"):
        stored.read("embedding.word_embeddings.weight")
    (folder / ".metadata").write_bytes(b"not a pickle")
    with pytest.raises(SeedbedError, match="metadata cannot be read"):
        StoredTensors(folder)
