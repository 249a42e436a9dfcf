"""Our reader of zip members against the one of the standard library, on sound and broken files."""

from __future__ import annotations

import io
import random
import tracemalloc
import zipfile

import pytest

from conf.schema.curate import IngestSettings
from spark_jobs.sources import archives, zips
from spark_jobs.sources.members import RefusedError


def built() -> bytes:
    """A small zip with deflated, stored, empty and streamed members, and names of all kinds."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", b"x = 1\n" * 40)
        archive.writestr("größe.py", b"y = 2\n" * 9)
        archive.writestr("stored.py", b"z = 3\n", zipfile.ZIP_STORED)
        archive.writestr("empty.py", b"")
        archive.writestr("none.py", b"", zipfile.ZIP_STORED)
        noise = random.Random(7).randbytes(60)
        archive.writestr("noise.bin", noise)
    return file.getvalue()


def by_the_library(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as member:
        raw = member.read(entry.file_size + 1)
    if len(raw) != entry.file_size:
        raise RefusedError("another size")
    return raw


def found(raw: bytes) -> list[tuple[str, bytes | str]] | str:
    """(path, bytes or why there are none) of each member, or why the archive is refused."""
    limits = IngestSettings()
    members = []
    try:
        with zips.open_zip(io.BytesIO(raw), len(raw), limits) as archive:
            for member in zips.members(archive):
                try:
                    members.append((member.path, member.fault or member.read()))
                except Exception:
                    members.append((member.path, "unreadable"))
    except RefusedError as error:
        return str(error)
    return members


def test_the_members_of_a_sound_file_are_read():
    members = dict(found(built()))
    assert members["a.py"] == b"x = 1\n" * 40
    assert members["größe.py"] == b"y = 2\n" * 9
    assert (members["stored.py"], members["empty.py"], members["none.py"]) == (b"z = 3\n", b"", b"")


@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x20])
def test_every_byte_changed_gives_what_the_library_gives(mask, monkeypatch):
    sound = built()
    broken = []
    for place in range(len(sound)):
        changed = bytearray(sound)
        changed[place] ^= mask
        broken.append(bytes(changed))
    broken += [sound[:size] for size in range(0, len(sound), 7)]
    ours = [found(raw) for raw in broken]
    monkeypatch.setattr(zips, "_read", by_the_library)
    assert ours == [found(raw) for raw in broken]


def test_a_stream_that_goes_on_behind_its_claim_is_not_unpacked_there():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.py", b"\0" * (20 << 20))
        archive.filelist[0].file_size = 10
    tracemalloc.start()
    try:
        assert found(file.getvalue()) == [("bomb.py", "unreadable")]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_license_that_cannot_be_read_gives_no_license(tmp_path):
    path = tmp_path / "p-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("p/LICENSE", b"the MIT license")
        archive.writestr("p/a.py", b"x = 1\n")
    raw = path.read_bytes().replace(b"the MIT", b"teh MIT")
    path.write_bytes(raw)
    checked = archives.check(str(tmp_path), path.name, len(raw), IngestSettings())
    assert (checked.refused, checked.identity.license) == (None, None)
