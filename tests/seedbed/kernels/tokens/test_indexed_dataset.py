"""Our writer of Megatron's indexed dataset against megatron-core's own, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from seedbed.kernels.tokens.indexed_dataset import IndexedDatasetWriter, read_lengths, token_dtype

DOCUMENTS = [[0], list(range(1000)), [], [5, 4, 3, 2, 1], [65_499] * 7]


def write(
    folder: Path, documents: list[list[int]], dtype: str
) -> tuple[Path, Path, IndexedDatasetWriter]:
    with (folder / "ours.bin").open("wb") as stream:
        writer = IndexedDatasetWriter(stream, dtype)
        for tokens in documents:
            writer.add_document(np.array(tokens, dtype).tobytes())
    (folder / "ours.idx").write_bytes(writer.index())
    return folder / "ours.bin", folder / "ours.idx", writer


@pytest.mark.parametrize("vocab_size", [4_096, 65_499, 65_500, 155_136])
@pytest.mark.parametrize("documents", [DOCUMENTS, DOCUMENTS[:1], []], ids=["five", "one", "none"])
def test_files_equal_those_of_megatrons_builder(
    tmp_path: Path, vocab_size: int, documents: list[list[int]]
) -> None:
    torch = pytest.importorskip("torch")
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    dtype = megatron.DType.optimal_dtype(vocab_size)
    assert token_dtype(vocab_size) == dtype.__name__
    binary, index, _ = write(tmp_path, documents, dtype.__name__)

    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=dtype)
    for tokens in documents:
        builder.add_document(torch.tensor(tokens, dtype=torch.int64), [len(tokens)])
    builder.finalize(str(tmp_path / "theirs.idx"))

    assert binary.read_bytes() == (tmp_path / "theirs.bin").read_bytes()
    assert index.read_bytes() == (tmp_path / "theirs.idx").read_bytes()


def test_megatron_reads_back_what_was_written(tmp_path: Path) -> None:
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    write(tmp_path, DOCUMENTS, "uint16")
    dataset = megatron.IndexedDataset(str(tmp_path / "ours"))
    assert [dataset[i].tolist() for i in range(len(dataset))] == DOCUMENTS


def test_the_writer_counts_and_hashes_as_it_goes(tmp_path: Path) -> None:
    binary, index, writer = write(tmp_path, DOCUMENTS, "uint16")
    assert (writer.documents, writer.tokens) == (5, 1013)
    assert writer.bin_sha256 == hashlib.sha256(binary.read_bytes()).hexdigest()
    with index.open("rb") as stream:
        assert read_lengths(stream).tolist() == [1, 1000, 0, 5, 7]


def test_another_file_is_not_taken_for_an_index(tmp_path: Path) -> None:
    (tmp_path / "other.idx").write_bytes(b"\0" * 64)
    with (
        (tmp_path / "other.idx").open("rb") as stream,
        pytest.raises(ValueError, match="not an index"),
    ):
        read_lengths(stream)
