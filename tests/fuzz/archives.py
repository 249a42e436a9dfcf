"""Archives: drawn zips and tars, damaged before and after they are compressed."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict

import pyarrow as pa
from hypothesis import strategies as st

from conf.schema.curate import IngestSettings
from spark_jobs.sources import reading, units
from spark_jobs.sources.members import is_vcs, safe_path, shown
from spark_jobs.sources.units import Unit
from tests.fuzz.boundary import Boundary, folder
from tests.fuzz.mutations import damaged

# Small limits, so that the inputs that reach them are small too.
LIMITS = IngestSettings(
    max_file_bytes=3_000, max_archive_members=40, max_archive_bytes=300_000, batch_repos=3
)
_REASONS = frozenset(
    ["unsafe_path", "link", "unreadable", "not_code", "too_large", "empty", "nul", "bad_utf8"]
)  # fmt: skip
_NAMES = (
    "a.py", "pkg-1.0/b.c", "./a.py", "a//b.py", "../up.py", "/abs.py", "C:x.py", "a\\b.py",
    ".git/x.py", "LICENSE", "x-1.dist-info/METADATA", "PKG-INFO", "d/", "e/f/g.rs", "ü.py",
    "n" * 130 + ".py", "n\n.py", "a.py",
)  # fmt: skip
_CONTENTS = (
    b"", b"x = 1\n", b"a\0b", b"\xff\xfe", b"y" * 4000, b"0" * 150_000,
    b"Name: X\nVersion: 1\nLicense: MIT\n", b"Name: \xff\n",
)  # fmt: skip
_names = st.sampled_from(_NAMES) | st.text(min_size=1, max_size=12)
_files = st.lists(st.tuples(_names, st.sampled_from(_CONTENTS), st.integers(0, 6)), max_size=6)
Packer = Callable[[bytes], bytes]
PACKERS: dict[str, Packer] = {
    ".tar": bytes, ".tar.gz": gzip.compress, ".tar.bz2": bz2.compress, ".tar.xz": lzma.compress,
}  # fmt: skip
_UNPACKERS: dict[str, Packer] = {
    ".tar": bytes, ".tar.gz": gzip.decompress, ".tar.bz2": bz2.decompress,
    ".tar.xz": lambda data: _unpack_xz(data),
}  # fmt: skip


def _unpack_xz(data: bytes) -> bytes:
    """All streams of a file. lzma.decompress stops at the zeros that may stand between two."""
    found = b""
    while data := data.lstrip(b"\0"):
        unpacker = lzma.LZMADecompressor()
        found += unpacker.decompress(data)
        data = unpacker.unused_data
    return found


def make_zip(files: list[tuple[str, bytes, int]]) -> bytes:
    """A zip of (name, content, kind): kinds are stored, deflated, two modes, bzip2 and LZMA."""
    raw = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(raw, "w") as archive:
        # Of a name that is there already.
        warnings.simplefilter("ignore")
        for name, content, kind in files:
            try:
                info = zipfile.ZipInfo(name.replace("\0", "") or "z")
                name.encode()
            except UnicodeEncodeError:
                continue
            info.create_system = 3
            info.compress_type = {1: 8, 4: 12, 5: 14}.get(kind, 0)
            info.external_attr = {2: 0o120777, 3: 0o020666}.get(kind, 0o100644) << 16
            archive.writestr(info, content)
    return raw.getvalue()


def make_tar(files: list[tuple[str, bytes, int]]) -> bytes:
    """A tar of (name, content, kind): kinds are files, folders, links, devices; pax and GNU."""
    raw = io.BytesIO()
    form = tarfile.GNU_FORMAT if len(files) % 2 else tarfile.PAX_FORMAT
    with tarfile.open(fileobj=raw, mode="w", format=form, errors="surrogateescape") as archive:
        for name, content, kind in files:
            try:
                info = tarfile.TarInfo(name.replace("\0", "") or "z")
                name.encode()
            except UnicodeEncodeError:
                continue
            info.size = len(content)
            info.type = {
                2: tarfile.SYMTYPE, 3: tarfile.CHRTYPE, 4: tarfile.DIRTYPE, 5: tarfile.LNKTYPE,
            }.get(kind, tarfile.REGTYPE)  # fmt: skip
            if info.type != tarfile.REGTYPE:
                info.size = 0
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def read_rows(suffix: str, data: bytes) -> tuple[str | None, list[dict[str, object]]]:
    """(why the archive was refused, or None; its rows), through what executors run."""
    with folder() as root:
        (root / f"p-1.0{suffix}").write_bytes(data)
        offer = units.identify(str(root), Unit("archives", f"p-1.0{suffix}", len(data)), LIMITS)
        if offer.refused is not None:
            return offer.refused, []
        batch = pa.RecordBatch.from_pylist([asdict(offer)])
        found = list(reading.rows(str(root), iter([batch]), LIMITS))
    return None, [row for batch in found for row in batch.to_pylist()]


def _read(suffix: str, data: bytes) -> None:
    refused, rows = read_rows(suffix, data)
    if refused is not None:
        raise ArchiveRefused(refused)
    paths = [row["path"] for row in rows]
    assert len(set(paths)) == len(paths)
    for row in rows:
        assert row["drop_reason"] in _REASONS or row["drop_reason"] is None
        assert (row["text"] is None) == (row["content_sha256"] is None)
        assert (row["text"] is None) == (row["drop_reason"] is not None)
        if row["text"] is not None:
            raw = str(row["text"]).encode()
            assert len(raw) == row["bytes"]
            assert hashlib.sha256(raw).hexdigest() == row["content_sha256"]
    listed = _listed(suffix, data)
    assert listed == set(paths), f"rows lack {listed ^ set(paths)}"


class ArchiveRefused(Exception):
    """The archive was refused with a reason, which goes to `repos.drop_reason`."""


def _listed(suffix: str, data: bytes) -> set[str]:
    """The paths that an archive should give, by the standard library's own reader.

    It looks behind whatever could be taken for the end of a tar, so that nothing can hide there.
    """
    if suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [
                e.orig_filename for e in archive.infolist() if not e.orig_filename.endswith("/")
            ]
    else:
        raw = io.BytesIO(_UNPACKERS[suffix](data))
        with tarfile.open(
            fileobj=raw, mode="r:", ignore_zeros=True, errors="surrogateescape"
        ) as archive:
            names = [member.name for member in archive if not member.isdir()]
    paths = {safe_path(name) or shown(name) for name in names}
    return {path for path in paths if not is_vcs(path)}


def _zip_inputs() -> st.SearchStrategy[bytes]:
    return damaged(_files.map(make_zip))


@st.composite
def _tar_inputs(draw: st.DrawFn) -> bytes:
    """A byte that names the suffix, and the archive."""
    kind = draw(st.integers(0, 3))
    pack = list(PACKERS.values())[kind]
    inner = draw(
        damaged(_files.map(make_tar) | st.lists(_files.map(make_tar), max_size=2).map(b"".join))
    )
    packed = st.lists(st.just(pack(inner)), min_size=1, max_size=2).map(b"".join)
    return bytes([kind]) + draw(damaged(packed, most=1))


def _read_tar(data: bytes) -> None:
    if data:
        _read(list(PACKERS)[data[0] % 4], data[1:])


_SMALL = [("p/a.py", b"x = 1\n", 0), ("p/b.c", b"int x;\n", 1)]
ZIP = Boundary(
    "zip", _zip_inputs(), lambda data: _read(".zip", data), (make_zip(_SMALL),), (ArchiveRefused,)
)
TAR = Boundary(
    "tar",
    _tar_inputs(),
    _read_tar,
    tuple(bytes([k]) + pack(make_tar(_SMALL)) for k, pack in enumerate(PACKERS.values())),
    (ArchiveRefused,),
)
BOUNDARIES = (ZIP, TAR)
