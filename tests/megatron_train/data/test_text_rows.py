"""Parts of files: every row once, wherever a file is cut, and errors that name the place."""

from __future__ import annotations

import gzip
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from conf.errors import SeedbedError
from megatron_train.data.text_rows import BadRow, Fields, FilePart, TextRow, parts, rows

PLAIN = Fields()
TEXTS = [f"x = {i}\n" * (i % 5) + "é€😀"[i % 3] for i in range(23)]


def lines(texts=TEXTS) -> bytes:
    return b"\n".join(json.dumps({"text": t, "n": i}).encode() for i, t in enumerate(texts)) + b"\n"


def read(some, fields=PLAIN) -> list[str]:
    found = [row for part in some for row in rows(part, fields)]
    assert all(isinstance(row, TextRow) for row in found), found
    return [row.text for row in found]


# As `datasets` calls a data set's only file.
NAME = "data-00000-of-00001.arrow"


def save(folder, table: pa.Table) -> None:
    """As save_to_disk does."""
    state = {"_data_files": [{"filename": NAME}], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    with pa.OSFile(str(folder / NAME), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=4)


@pytest.mark.parametrize("size", [1, 7, 19, 64, 10_000])
@pytest.mark.parametrize("end", [b"", b"\n\n", b"  \n"])
def test_lines_are_read_once_each_wherever_the_file_is_cut(tmp_path, size, end):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines().rstrip(b"\n") + end)
    assert read(parts([path], size)) == TEXTS


def test_packed_lines_parquet_and_saved_data_sets_give_the_same(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines()))
    compressed = [zstandard.compress(half) for half in (lines()[:100], lines()[100:])]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(compressed))
    table = pa.table({"text": TEXTS, "n": range(23)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=5)
    saved = tmp_path / "saved"
    saved.mkdir()
    save(saved, table)
    # What map and filter leave beside a data set is no part of it.
    (saved / "cache-1a2b.arrow").write_bytes((saved / NAME).read_bytes())
    for one in ("a.jsonl.gz", "a.jsonl.zst", "a.parquet", "saved"):
        assert read(parts([tmp_path / one])) == TEXTS, one
    assert len(parts([tmp_path / "a.parquet"])) == 5


def test_a_real_saved_data_set_is_read_without_what_lies_beside_it(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    made = datasets.Dataset.from_dict({"text": TEXTS})
    made.save_to_disk(tmp_path / "one", num_shards=3)
    assert read(parts([tmp_path / "one"])) == TEXTS
    both = datasets.DatasetDict({"train": made, "test": made.select([0])})
    both.save_to_disk(tmp_path / "both")
    with pytest.raises(SeedbedError, match="both holds the splits train, test") as refused:
        parts([tmp_path / "both"])
    assert f"{tmp_path}/both/train" in refused.value.fix
    assert read(parts([tmp_path / "both" / "train"])) == TEXTS


def test_a_saved_data_set_without_one_of_its_files_is_refused(tmp_path):
    save(tmp_path, pa.table({"text": TEXTS}))
    (tmp_path / "cache-1a2b.arrow").write_bytes((tmp_path / NAME).read_bytes())
    (tmp_path / NAME).unlink()
    with pytest.raises(SeedbedError, match=f"lacks {NAME}, which state.json names"):
        parts([tmp_path])


def test_ids_and_splits_are_the_rows_own_where_fields_say_so(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "key": 7, "part": "val"}\n')
    [row] = rows(FilePart(path, 0, 99), Fields("text", "key", "part"))
    assert (row.document_id, row.split) == ("7", "val")
    [row] = rows(FilePart(path, 0, 99), Fields())
    assert (row.document_id, row.split) == (hashlib.sha256(b"x").hexdigest(), "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "byte 14 is no JSON object"),
        ('{"text": ', "byte 14 is not JSON"),
        ('{"body": "x"}', "has no 'text'; it has body"),
        ('{"text": 3}', "'text' is a int, no text"),
        ('{"text": null}', "has no 'text'"),
        ('{"text": "\\ud800"}', "lone surrogate"),
    ],
)
def test_a_bad_row_has_its_place_and_the_rows_behind_it_are_read(tmp_path, line, problem):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "x"}}\n{line}\n{{"text": "y"}}\n')
    [part] = parts([path])
    before, bad, behind = rows(part, PLAIN)
    assert (before.text, behind.text) == ("x", "y")
    assert isinstance(bad, BadRow)
    assert problem in bad.problem
    assert "a.jsonl" in bad.problem


def test_a_split_of_another_name_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "split": "test"}\n')
    [bad] = rows(FilePart(path, 0, 99), Fields(split="split"))
    assert "split='test' is no split" in bad.problem


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines())[:40])
    (tmp_path / "cut.jsonl.zst").write_bytes(zstandard.compress(lines())[:-9])
    (tmp_path / "not.jsonl.zst").write_bytes(lines())
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, problem in (("cut.jsonl.gz", "cannot be read"), ("bad.parquet", "cannot be read"),
                          ("cut.jsonl.zst", "cannot be read"),
                          ("not.jsonl.zst", "cannot be read"), ("a.txt", "no known kind"),
                          ("empty", "no file of texts"),
                          ("none.jsonl", "there is no file")):  # fmt: skip
        with pytest.raises(SeedbedError, match=problem):
            read(parts([tmp_path / name]))
    both = tmp_path / "both"
    both.mkdir()
    (both / "a.jsonl").write_bytes(lines())
    pq.write_table(pa.table({"text": TEXTS}), both / "a.parquet")
    with pytest.raises(SeedbedError, match="holds both"):
        parts([both])
