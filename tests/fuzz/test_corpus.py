"""Every kept input is read or refused, and the fuzzer itself would notice a fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st

from conf.errors import SeedbedError
from tests.fuzz import __main__ as fuzzer
from tests.fuzz import archives
from tests.fuzz.boundary import CORPUS, Boundary
from tests.fuzz.names import MODULES, NAMES, boundary

KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_kept_input_is_read_or_refused(path: Path) -> None:
    boundary(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_boundary_reads_what_is_whole(name: str) -> None:
    one = boundary(name)
    assert all(map(one.check, one.whole))
    assert one.corpus, "keep an input"


def test_every_kept_input_belongs_to_a_boundary_and_the_corpus_is_small() -> None:
    assert {path.parent.name for path in KEPT} == set(NAMES)
    assert sum(path.stat().st_size for path in KEPT) < 100_000
    assert sorted(f"{module}.py" for module in MODULES) == sorted(
        path.name
        for path in Path(__file__).parent.glob("*.py")
        if "\nBOUNDARIES = " in path.read_text()
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("header_overwritten_by_zeros", "data follow"),
        ("one_behind_another", "data follow"),
        ("xz_with_another_tar_behind_it", "data follow"),
        ("gzip_without_its_end", "broken or truncated"),
        ("no_end_block", "no end-of-archive block"),
    ],
)
def test_a_tar_whose_members_would_be_lost_is_refused(name: str, why: str) -> None:
    data = (CORPUS / "tar" / name).read_bytes()
    refused, rows = archives.read_rows(list(archives.PACKERS)[data[0]], data[1:])
    assert refused is not None
    assert why in refused
    assert rows == []


@pytest.mark.parametrize("name", ["two_streams_of_gzip", "two_streams_of_xz"])
def test_all_streams_of_a_packed_tar_are_read(name: str) -> None:
    data = (CORPUS / "tar" / name).read_bytes()
    refused, rows = archives.read_rows(list(archives.PACKERS)[data[0]], data[1:])
    assert refused is None
    assert [row["path"] for row in rows] == ["p/a.py", "p/b.py"]


def faulty(read: object) -> Boundary:
    return Boundary("faulty", st.binary(max_size=30), read, ())  # type: ignore[arg-type]


def test_the_fuzzer_cuts_a_fault_down_and_keeps_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(fuzzer, "FOUND", tmp_path)

    def read(data: bytes) -> None:
        if len(data) > 3:
            raise KeyError(data)

    assert fuzzer.fuzz(faulty(read), 30, 1) == 1
    kept = [path.read_bytes() for path in (tmp_path / "faulty").iterdir() if path.name != "last"]
    assert kept == [b"\0" * 4]
    assert "faulty: FAULT" in capsys.readouterr().out


def test_a_refusal_is_no_fault(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(fuzzer, "FOUND", tmp_path)

    def read(data: bytes) -> None:
        raise SeedbedError("no", "yes")

    assert fuzzer.fuzz(faulty(read), 0.2, 1) == 0
    assert "0 read" in capsys.readouterr().out


def test_an_input_may_take_no_more_memory_than_its_bound() -> None:
    with pytest.raises(MemoryError):
        faulty(lambda data: bytearray(2 << 30)).check(b"")


def test_an_input_may_take_no_more_time_than_its_bound(monkeypatch) -> None:
    monkeypatch.setattr("tests.fuzz.boundary.CPU_S", 0.1)

    def loops(data: bytes) -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    with pytest.raises(BaseException, match=r"more than 0\.1 s"):
        faulty(loops).check(b"")
