"""Hostile and broken archives, one property each.

Every archive is made here; nothing is ever unpacked to disk.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.schema.curate import IngestSettings
from spark_jobs.sources import archives, folder
from spark_jobs.sources import units as sources
from spark_jobs.sources.members import READ_BYTES, drop_reason, safe_path, text_fault
from spark_jobs.sources.units import Offer

LIMITS = IngestSettings()
CODE = b"print('hello')\n"


def zipped(path: Path, entries: dict[str, bytes], tamper=None) -> Path:
    """A zip at `path`; `tamper(archive)` may change the central directory before it is written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
        if tamper:
            tamper(archive)
    return path


def tarred(
    path: Path, entries: list[tarfile.TarInfo | tuple[str, bytes]], mode: str = "w:gz"
) -> Path:
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def offer(path: Path, limits: IngestSettings = LIMITS) -> Offer:
    root, units, _ = sources.find_units(str(path))
    return sources.identify(root, units[0], limits)


def contents(path: Path, limits: IngestSettings = LIMITS) -> dict[str, bytes | str]:
    """path -> bytes, or the reason that they cannot be had."""
    found: dict[str, bytes | str] = {}
    for member in archives.read(str(path.parent), path.name, path.stat().st_size, limits):
        assert member.path not in found
        try:
            found[member.path] = member.fault or member.read()
        except Exception:
            found[member.path] = "unreadable"
    return found


def test_names_that_leave_the_archive_are_unsafe():
    for name in (
        "../x.py",
        "a/../../x.py",
        "/etc/x.py",
        "C:/x.py",
        "c:x.py",
        "a\\b.py",
        "a\0.py",
        "",
        ".",
        "a\nb.py",
        "\udcff.py",
    ):
        assert safe_path(name) is None, name
    assert safe_path("./a//b.py") == "a/b.py"
    assert safe_path("..a/b..py") == "..a/b..py"


def test_zip_path_tricks_are_recorded_and_the_sound_member_is_read(tmp_path):
    names = ["../up.py", "/abs.py", "back\\slash.py", "C:/drive.py", "nulX.py", "good.py"]
    path = zipped(tmp_path / "p-1.zip", dict.fromkeys(names, CODE))
    path.write_bytes(path.read_bytes().replace(b"nulX", b"nul\0"))
    assert contents(path) == {
        "../up.py": "unsafe_path",
        "/abs.py": "unsafe_path",
        "back\\slash.py": "unsafe_path",
        "C:/drive.py": "unsafe_path",
        "nul\\x00.py": "unsafe_path",
        "good.py": CODE,
    }


def test_tar_path_tricks_links_and_devices_are_recorded(tmp_path):
    path = tarred(
        tmp_path / "p-1.tar.gz",
        [
            ("../up.py", CODE),
            ("/abs.py", CODE),
            special("soft.py", tarfile.SYMTYPE, "/etc/passwd"),
            special("hard.py", tarfile.LNKTYPE, "good.py"),
            special("pipe.py", tarfile.FIFOTYPE),
            special("disk.py", tarfile.BLKTYPE),
            special("folder", tarfile.DIRTYPE),
            ("./good.py", CODE),
        ],
    )
    assert contents(path) == {
        "../up.py": "unsafe_path",
        "/abs.py": "unsafe_path",
        "soft.py": "link",
        "hard.py": "link",
        "pipe.py": "unreadable",
        "disk.py": "unreadable",
        "good.py": CODE,
    }


def test_a_zip_symlink_is_a_link(tmp_path):
    link = zipfile.ZipInfo("link.py")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    path = tmp_path / "p-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert contents(path) == {"link.py": "link"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_gives_one_unsafe_row(tmp_path):
    path = tmp_path / "p-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (("a.py", b"1"), ("b.py", CODE), ("a.py", b"2"), ("./a.py", b"3")):
            archive.writestr(name, data)
    assert contents(path) == {"a.py": "unsafe_path", "b.py": CODE}
    twin = tarred(tmp_path / "p-2.tar", [("a.py", b"1"), ("b.py", CODE), ("./a.py", b"2")], "w")
    assert contents(twin) == {"a.py": "unsafe_path", "b.py": CODE}


def test_an_encrypted_member_is_unreadable(tmp_path):
    def encrypt(archive):
        archive.filelist[0].flag_bits |= 1

    path = zipped(tmp_path / "p-1.zip", {"secret.py": CODE, "open.py": CODE}, encrypt)
    assert contents(path) == {"secret.py": "unreadable", "open.py": CODE}


def test_a_bzip2_or_lzma_member_is_unreadable_because_zipfile_unpacks_it_without_bound(tmp_path):
    path = tmp_path / "p-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.py", CODE, zipfile.ZIP_BZIP2)
        archive.writestr("b.py", CODE, zipfile.ZIP_LZMA)
    assert contents(path) == {"a.py": "unreadable", "b.py": "unreadable"}


def test_a_member_with_damaged_bytes_is_unreadable_and_the_next_one_is_read(tmp_path):
    path = zipped(tmp_path / "p-1.zip", {"bad.py": b"x = 1234567\n" * 50, "good.py": CODE})
    raw = bytearray(path.read_bytes())
    raw[45] ^= 0xFF
    path.write_bytes(raw)
    assert contents(path) == {"bad.py": "unreadable", "good.py": CODE}


@pytest.mark.parametrize("claim", [4, 5_000], ids=["less", "more"])
def test_a_zip_member_that_lies_about_its_size_is_unreadable(tmp_path, claim):
    def lie(archive):
        archive.filelist[0].file_size = claim

    path = zipped(tmp_path / "p-1.zip", {"liar.py": CODE * 10, "good.py": CODE}, lie)
    assert contents(path) == {"liar.py": "unreadable", "good.py": CODE}


def test_a_zip_that_claims_more_than_the_limit_is_refused_before_reading(tmp_path):
    def claim(archive):
        archive.filelist[0].file_size = 5_000_000_000

    path = zipped(tmp_path / "p-1.zip", {"huge.py": CODE}, claim)
    assert (
        offer(path).refused
        == "refused: unpacked size 5,000,000,000 > max_archive_bytes 4,000,000,000"
    )


def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path):
    path = zipped(tmp_path / "p-1.zip", {"zeros.py": bytes(20_000_000)})
    assert offer(path).refused.startswith("refused: compression ratio 1,0")


def test_a_small_file_of_blanks_is_no_bomb(tmp_path):
    assert offer(zipped(tmp_path / "p-1.zip", {"blank.py": b" " * 1_000_000})).refused is None


def test_zip_entries_that_share_bytes_are_refused(tmp_path):
    def overlap(archive):
        archive.filelist[1].header_offset = archive.filelist[0].header_offset

    path = zipped(tmp_path / "p-1.zip", {"a.py": CODE, "b.py": CODE}, overlap)
    assert "overlap" in offer(path).refused


def test_too_many_members_are_refused(tmp_path):
    few = replace(LIMITS, max_archive_members=3)
    entries = {f"{i}.py": CODE for i in range(4)}
    reason = "refused: 4 members > max_archive_members 3"
    assert offer(zipped(tmp_path / "p-1.zip", entries), few).refused == reason
    assert offer(tarred(tmp_path / "p-1.tar.gz", list(entries.items())), few).refused == reason


def test_a_central_directory_that_claims_the_whole_memory_is_refused(tmp_path):
    path = zipped(tmp_path / "p-1.zip", {f"{i:0100}.py": b"" for i in range(8000)})
    refused = offer(path, replace(LIMITS, max_archive_members=10)).refused
    assert "a header asks for" in refused
    assert refused.endswith("what a directory of max_archive_members 10 may take")


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_tar_bomb_is_refused_while_it_is_read(tmp_path, suffix):
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    header = tarfile.TarInfo("zeros.py")
    header.size = 60_000_000
    path = tmp_path / f"p-1.tar.{suffix}"
    path.write_bytes(pack(header.tobuf() + bytes(60_000_000 + 1024)))
    assert offer(path).refused.startswith("refused: compression ratio")
    small = replace(LIMITS, max_archive_bytes=5_000_000)
    assert "> max_archive_bytes 5,000,000" in offer(path, small).refused


def test_a_tar_header_that_claims_the_whole_memory_is_refused(tmp_path):
    with tarfile.open(path := tmp_path / "p-1.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.py")
        info.pax_headers = {"comment": "x" * 2_000_000}
        archive.addfile(info)
    assert "the headers of one member take more than" in offer(path).refused


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_truncated_tar_is_refused_wherever_it_is_cut(tmp_path, suffix):
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}[suffix]
    noise = [(f"{i}.py", os.urandom(700)) for i in range(8)]
    whole = tarred(tmp_path / f"p-1.{suffix}", noise, mode)
    assert offer(whole).refused is None
    assert contents(whole) == dict(noise)
    raw = whole.read_bytes()
    # behind it a plain tar is zeros only
    data_end = 8 * (512 + 1024) if suffix == "tar" else len(raw)
    for cut in (0.1, 0.4, 0.5, 0.9):
        whole.write_bytes(raw[: int(data_end * cut)])
        assert "broken or truncated" in offer(whole).refused, cut
    if suffix == "tar":
        # exactly behind the first member
        whole.write_bytes(raw[:1536])
        assert "broken or truncated" in offer(whole).refused


def test_a_tar_with_a_damaged_header_is_refused_and_not_silently_cut_short(tmp_path):
    path = tarred(tmp_path / "p-1.tar", [("a.py", CODE), ("b.py", CODE)], "w")
    raw = bytearray(path.read_bytes())
    raw[1024] ^= 0xFF
    path.write_bytes(raw)
    assert "broken or truncated" in offer(path).refused


def test_a_truncated_or_foreign_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "p-1.whl", {"a.py": CODE})
    path.write_bytes(path.read_bytes()[:-30])
    assert "not a readable zip file" in offer(path).refused
    path.write_bytes(b"no archive at all")
    assert "not a readable zip file" in offer(path).refused


def test_an_xz_header_that_asks_for_gigabytes_is_refused(tmp_path):
    path = tmp_path / "p-1.tar.xz"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    raw = bytearray(lzma.compress(bytes(10240), filters=filters))
    # LZMA2, one property byte: dictionary size 2**20
    assert raw[14:17] == b"\x21\x01\x10"
    # 4 GiB
    raw[16] = 40
    block_header_size = (raw[12] + 1) * 4
    import zlib

    raw[12 + block_header_size - 4 : 12 + block_header_size] = struct.pack(
        "<I", zlib.crc32(raw[12 : 12 + block_header_size - 4])
    )
    path.write_bytes(raw)
    assert "Memory usage limit" in offer(path).refused


def test_large_members_are_read_in_pieces_and_come_out_whole(tmp_path):
    data = os.urandom(READ_BYTES + 12_345)
    for name, mode in (("p-1.tar", "w"), ("p-1.tgz", "w:gz"), ("p-1.tar.xz", "w:xz")):
        assert contents(tarred(tmp_path / name, [("a.bin", data), ("b.py", CODE)], mode)) == {
            "a.bin": data,
            "b.py": CODE,
        }


def test_version_control_folders_are_left_out_everywhere(tmp_path):
    path = zipped(tmp_path / "p-1.zip", {"p/.git/hook.py": CODE, "p/git/a.py": CODE})
    assert list(contents(path)) == ["p/git/a.py"]
    (tmp_path / "in/proj/.git").mkdir(parents=True)
    (tmp_path / "in/proj/.git/x.py").write_bytes(CODE)
    (tmp_path / "in/proj/a.py").write_bytes(CODE)
    assert [member.path for member in folder.read(str(tmp_path / "in"), "proj")] == ["proj/a.py"]


def test_a_wheel_is_named_by_its_metadata(tmp_path):
    about = (
        "Metadata-Version: 2.1\nName: My_Pack.Age\nVersion: 1.2.0\n"
        "License-Expression: MIT OR Apache-2.0\n\nbody\n"
    )
    wheel = zipped(
        tmp_path / "other-9-py3-none-any.whl",
        {"a.py": CODE, "my_pack_age-1.2.0.dist-info/METADATA": about.encode()},
    )
    named = offer(wheel)
    assert (named.repo, named.revision, named.license) == (
        "my-pack-age",
        "1.2.0",
        "MIT OR Apache-2.0",
    )


def test_an_archive_without_metadata_is_named_by_its_file_and_licensed_by_its_text(tmp_path):
    licence = (
        b"MIT License\n\nPermission is hereby granted, free of charge, to any person\n"
        b'obtaining a copy ... provided "as is"'
    )
    sdist = offer(
        tarred(
            tmp_path / "tool-kit-2.0rc1.tar.gz",
            [("tool-kit-2.0rc1/LICENSE", licence), ("tool-kit-2.0rc1/a.py", CODE)],
        )
    )
    assert (sdist.repo, sdist.revision, sdist.license) == ("tool-kit", "2.0rc1", "MIT")
    branch = offer(zipped(tmp_path / "project-main.zip", {"a.py": CODE}))
    assert (branch.repo, branch.license) == ("project-main", None)
    assert branch.revision == branch.origin_sha256[:12]


def test_a_folder_revision_changes_exactly_when_its_files_do(tmp_path):
    project = tmp_path / "in/proj"
    project.mkdir(parents=True)
    (project / "a.py").write_bytes(CODE)
    (project / "data.bin").write_bytes(b"12")
    first = folder.check(str(tmp_path / "in"), "proj", LIMITS)
    os.utime(project / "a.py", (0, 0))
    assert folder.check(str(tmp_path / "in"), "proj", LIMITS) == first
    (project / "a.py").rename(project / "b.py")
    moved = folder.check(str(tmp_path / "in"), "proj", LIMITS)
    (project / "b.py").write_bytes(CODE.replace(b"hello", b"hallo"))
    edited = folder.check(str(tmp_path / "in"), "proj", LIMITS)
    assert len({first[0], moved[0], edited[0]}) == 3


def test_links_in_a_folder_are_recorded_and_never_followed(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.py").write_bytes(b"KEY = 1\n")
    project = tmp_path / "in/proj"
    project.mkdir(parents=True)
    (project / "real.py").write_bytes(CODE)
    (project / "soft.py").symlink_to(tmp_path / "secret/key.py")
    (project / "away").symlink_to(tmp_path / "secret")
    os.mkfifo(project / "pipe.py")
    faults = {member.path: member.fault for member in folder.read(str(tmp_path / "in"), "proj")}
    assert faults == {
        "proj/away": "link",
        "proj/pipe.py": "unreadable",
        "proj/real.py": None,
        "proj/soft.py": "link",
    }


def test_loose_files_and_a_package_of_the_same_name_keep_their_own_paths(tmp_path):
    root = tmp_path / "flask"
    (root / "flask").mkdir(parents=True)
    for name in ("app.py", "flask/app.py"):
        (root / name).write_bytes(CODE)
    _, units, _ = sources.find_units(str(root))
    assert [(unit.source, unit.name) for unit in units] == [("folder", "flask")]
    assert [member.path for member in folder.read(str(root), "flask")] == ["app.py", "flask/app.py"]


def test_units_are_listed_in_one_order(tmp_path):
    for name in ("z-1.zip", "a-1.zip"):
        zipped(tmp_path / name, {"a.py": CODE})
    for name in ("y", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.py").write_bytes(CODE)
    _, units, _ = sources.find_units(str(tmp_path))
    assert [(unit.source, unit.name) for unit in units] == [
        ("archives", "a-1.zip"),
        ("archives", "z-1.zip"),
        ("folder", "b"),
        ("folder", "y"),
    ]


def test_a_uri_gives_the_same_units_and_bytes_as_a_path(tmp_path):
    zipped(tmp_path / "a-1.zip", {"a.py": CODE})
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj/m.py").write_bytes(CODE)
    uri = f"file://{tmp_path}"
    assert sources.find_units(uri)[1] == sources.find_units(str(tmp_path))[1]
    for unit in sources.find_units(uri)[1]:
        assert sources.identify(uri, unit, LIMITS) == sources.identify(str(tmp_path), unit, LIMITS)


def test_input_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for path, words in (
        ("", "input is empty"),
        (str(tmp_path / "gone"), "does not exist"),
        (str(tmp_path / "empty"), "is empty"),
        (str(tmp_path / "notes.txt"), "neither a folder nor an archive"),
    ):
        with pytest.raises(SeedbedError, match=words):
            sources.find_units(path)


def test_text_is_strict_utf8_that_encodes_back_to_the_same_bytes():
    assert text_fault("x = 'é'\n".encode()) is None
    assert text_fault(b"\xef\xbb\xbfx = 1\r\n") is None
    assert text_fault(b"x = '\xe9'\n") == "bad_utf8"
    assert text_fault("x".encode("utf-16")) == "nul"
    # a surrogate
    assert text_fault(b"\xed\xa0\x80") == "bad_utf8"


def test_the_first_reason_wins_in_one_order():
    from spark_jobs.sources.members import Member

    def reason(size: int, language: str | None, fault: str | None = None) -> str | None:
        return drop_reason(Member("a", size, fault, lambda: b""), language, 10)

    assert reason(11, None, "link") == "link"
    assert reason(11, None) == "not_code"
    assert reason(11, "Python") == "too_large"
    assert reason(0, "Python") == "empty"
    assert reason(10, "Python") is None
