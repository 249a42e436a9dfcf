"""Files of tensors that are written one tensor at a time."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from megatron_train.checkpoint.safetensors_files import SafetensorsReader
from megatron_train.export import safetensors_stream as stream
from megatron_train.export.safetensors_stream import Planned

SHAPES = st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=3), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(
    shapes=SHAPES, dtype=st.sampled_from([torch.float32, torch.bfloat16]), limit=st.integers(1, 400)
)
def test_files_hold_what_was_written_and_know_their_sums(tmp_path_factory, shapes, dtype, limit):
    folder = tmp_path_factory.mktemp("stream")
    tensors = {f"layer.{i}": torch.randn(shape) * 3 for i, shape in enumerate(shapes)}
    planned = [Planned(name, tuple(t.shape), name) for name, t in tensors.items()]
    shards = stream.cut(planned, dtype, limit)
    assert [one for shard in shards for one in shard] == planned
    names = stream.file_names(len(shards))
    for name, shard in zip(names, shards, strict=True):
        size = sum(one.bytes(dtype) for one in shard)
        assert size <= limit or len(shard) == 1
        said = stream.write(folder / name, shard, dtype, (tensors[one.name] for one in shard))
        assert said == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert (folder / name).stat().st_size % 8 == size % 8
    found = {k: v for name in names for k, v in load_file(folder / name).items()}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name].to(dtype)) for name in tensors)
    if len(shards) > 1:
        text = stream.index(shards, dtype)
        (folder / "model.safetensors.index.json").write_text(text)
        total = sum(t.numel() for t in tensors.values()) * dtype.itemsize
        assert json.loads(text)["metadata"]["total_size"] == total
    with SafetensorsReader(folder) as read:
        assert set(read.files) == tensors.keys()


def test_a_slice_is_written_as_its_own_numbers(tmp_path):
    whole = torch.arange(24.0).view(6, 4)
    planned = [Planned("rows", (3, 4), "w"), Planned("columns", (6, 2), "w")]
    cuts = iter([whole[::2], whole[:, 1:3]])
    stream.write(tmp_path / "f.safetensors", planned, torch.float32, cuts)
    found = load_file(tmp_path / "f.safetensors")
    assert torch.equal(found["rows"], whole[::2])
    assert torch.equal(found["columns"], whole[:, 1:3])


def test_fewer_tensors_than_planned_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        stream.write(tmp_path / "f", [Planned("a", (1,), "a")], torch.float32, iter([]))
