"""ingest on a tiny input: exact counts, equal rows after a kill, an error for useless input."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conf.errors import SeedbedError
from conf.schema.curate import CurateConfig, IngestSettings
from seedbed.queries.certify import hashes
from spark_jobs import ingest
from spark_jobs.ingest import JOB
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.job import Summary, execute
from spark_jobs.runtime.store import Store

SHARED_TEXT = b"def shared():\n    return 1\n"
WHEEL = {
    "pack/__init__.py": b"",
    "pack/core.py": SHARED_TEXT,
    "pack/bom.py": b"\xef\xbb\xbfx = 1\n",
    "pack/latin.py": b"x = '\xe9'\n",
    "pack/nul.py": b"x = 1\0\n",
    "pack/big.py": b"x = 1\n" * 2_000,
    "pack/logo.png": b"\x89PNG",
    "../escape.py": b"x = 2\n",
    "pack-1.0.dist-info/METADATA": b"Name: Pack\nVersion: 1.0\nLicense: MIT\n",
}


def write_wheel(path: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, a tar, loose files in a folder and at the top, a broken archive.

    Tests that change it take a copy.
    """
    root = tmp_path_factory.mktemp("source") / "in"
    (root / "tool/src").mkdir(parents=True)
    write_wheel(root / "pack-1.0-py3-none-any.whl", WHEEL)
    with tarfile.open(root / "lib-2.0.tar.gz", "w:gz") as archive:
        for name, data in (
            ("lib-2.0/copy.py", SHARED_TEXT),
            ("lib-2.0/lib.c", b"int main(void) { return 0; }\n"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (root / "broken-1.zip").write_bytes(b"PK no zip")
    (root / "tool/src/main.rs").write_text("fn main() {}\n")
    (root / "tool/src/link.rs").symlink_to("main.rs")
    (root / "tool/LICENSE").write_text("Apache License\nVersion 2.0, January 2004\n")
    (root / "top.sh").write_text("echo top\n")
    return root


def config(source: Path, output: Path, **limits: Any) -> CurateConfig:
    return CurateConfig(
        input=str(source),
        output=str(output),
        shards=2,
        ingest=IngestSettings(**{"max_file_bytes": 10_000, **limits}),
    )


@pytest.fixture(scope="module")
def ingested(
    spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Summary | None]:
    """(output, summary) of one whole run over `source`."""
    output = tmp_path_factory.mktemp("ingested")
    return output, execute(JOB, config(source, output))


def prints(output: Path) -> dict[str, str]:
    return hashes(str(output), JOB.writes)


def test_every_member_is_a_row_with_content_or_a_reason(spark, ingested):
    output, summary = ingested
    store = Store(lambda: spark, str(output))
    files = {(f["repo"], f["path"]): f for f in store.read("files").collect()}
    reasons = {key: f["drop_reason"] for key, f in files.items()}
    assert reasons == {
        ("pack", "pack/__init__.py"): "empty",
        ("pack", "pack/core.py"): None,
        ("pack", "pack/bom.py"): None,
        ("pack", "pack/latin.py"): "bad_utf8",
        ("pack", "pack/nul.py"): "nul",
        ("pack", "pack/big.py"): "too_large",
        ("pack", "pack/logo.png"): "not_code",
        ("pack", "../escape.py"): "unsafe_path",
        ("pack", "pack-1.0.dist-info/METADATA"): "not_code",
        ("lib", "lib-2.0/copy.py"): None,
        ("lib", "lib-2.0/lib.c"): None,
        ("tool", "tool/src/main.rs"): None,
        ("tool", "tool/src/link.rs"): "link",
        ("tool", "tool/LICENSE"): "not_code",
        ("in", "top.sh"): None,
    }
    assert all(
        (f["content_sha256"] is None) == (f["drop_reason"] is not None) for f in files.values()
    )
    core = files["pack", "pack/core.py"]
    assert core["content_sha256"] == hashlib.sha256(SHARED_TEXT).hexdigest()
    assert core["doc_id"] == hashlib.sha256(b"archives\0pack\x001.0\0pack/core.py").hexdigest()
    assert (core["bytes"], core["license"], core["language"]) == (len(SHARED_TEXT), "MIT", "Python")
    assert files["tool", "tool/src/main.rs"]["license"] == "Apache-2.0"

    contents = store.read("contents").collect()
    assert sorted(c["language"] for c in contents) == ["C", "Python", "Python", "Rust", "Shell"]
    for content in contents:
        raw = content["text"].encode()
        assert (hashlib.sha256(raw).hexdigest(), len(raw)) == (
            content["content_sha256"],
            content["bytes"],
        )
        assert content["shard"] == int(content["content_sha256"][0], 16) // 8

    repos = {r["repo"]: r for r in store.read("repos").collect()}
    assert {name: (r["source"], r["files"], r["license"]) for name, r in repos.items()} == {
        "broken": ("archives", 0, None),
        "pack": ("archives", 9, "MIT"),
        "lib": ("archives", 2, None),
        "tool": ("folder", 3, "Apache-2.0"),
        "in": ("folder", 1, None),
    }
    assert repos["broken"]["drop_reason"].startswith("refused: not a readable zip file")
    assert repos["pack"]["origin"] == "pack-1.0-py3-none-any.whl"

    assert summary is not None
    assert (summary.rows_in, summary.rows_out) == (15, 5)
    assert summary.rows_in == summary.rows_out + sum(summary.dropped.values())
    assert summary.dropped["duplicate_exact"] == 1
    assert summary.notes == {"repos": 5, "refused": 1}


@pytest.mark.slow
def test_a_shared_contents_language_is_that_of_the_file_with_the_smallest_id(spark, tmp_path):
    """Only the languages differ between the two files, so each pair can tell."""
    (tmp_path / "in/mixed").mkdir(parents=True)
    for i in range(4):
        for suffix in ("py", "rb"):
            (tmp_path / f"in/mixed/f{i}.{suffix}").write_text(f"print({i})\n")
    execute(JOB, config(tmp_path / "in", tmp_path / "out"))
    store = Store(lambda: spark, str(tmp_path / "out"))
    files = sorted(store.read("files").collect(), key=lambda row: row["doc_id"], reverse=True)
    expected = {f["content_sha256"]: f["language"] for f in files}
    assert len(expected) == 4
    found = {c["content_sha256"]: c["language"] for c in store.read("contents").collect()}
    assert found == expected


def test_a_run_killed_between_tables_and_started_again_gives_the_same_rows(
    spark, source, ingested, tmp_path, monkeypatch
):
    calm = prints(ingested[0])
    cfg = config(source, tmp_path / "killed", batch_repos=3)
    append = Store.append
    for table in ("files", "repos"):

        def die(self, name, *rest, table=table, **named):
            if name == table:
                raise KeyboardInterrupt
            return append(self, name, *rest, **named)

        monkeypatch.setattr(Store, "append", die)
        with pytest.raises(KeyboardInterrupt):
            execute(JOB, cfg)
    monkeypatch.setattr(Store, "append", append)
    assert execute(JOB, cfg) is not None
    assert prints(tmp_path / "killed") == calm
    assert execute(JOB, cfg) is None
    assert prints(tmp_path / "killed") == calm


def test_new_input_costs_only_itself_and_a_second_offer_of_a_revision_is_refused_by_name(
    spark, source, ingested, tmp_path
):
    source = Path(shutil.copytree(source, tmp_path / "in", symlinks=True))
    cfg = config(source, Path(shutil.copytree(ingested[0], tmp_path / "out")))
    write_wheel(source / "more-1.zip", {"more.py": b"more = 1\n", "copy.py": SHARED_TEXT})
    write_wheel(
        source / "apack-1.0.whl",
        {"other.py": b"other = 1\n", "p.dist-info/METADATA": WHEEL["pack-1.0.dist-info/METADATA"]},
    )
    summary = execute(JOB, cfg)
    assert summary is not None
    assert (summary.rows_in, summary.rows_out, summary.notes) == (2, 1, {"repos": 2, "refused": 1})
    refused = (
        Store(lambda: spark, cfg.output).read("repos").filter("origin = 'apack-1.0.whl'").first()
    )
    assert (
        refused["drop_reason"]
        == "refused: pack 1.0 is already in, from pack-1.0-py3-none-any.whl with other bytes"
    )
    assert execute(JOB, cfg) is None


def test_of_the_archives_of_one_revision_the_first_sound_one_by_name_is_taken(
    spark, source, tmp_path
):
    from spark_jobs import ingest
    from spark_jobs.sources.units import Offer

    offers = [
        Offer("archives", name, 1, "p", "1", None, digest * 64, refused)
        for name, digest, refused in (
            ("a.whl", "e", "refused: broken"),
            ("b.whl", "f", None),
            ("c.whl", "0", None),
        )
    ]
    store = Store(lambda: spark, str(tmp_path / "nothing"))
    fresh = ingest._new_offers(offers, Context(config(source, tmp_path), store, Inputs(store)))
    assert [(offer.name, offer.revision, offer.refused) for offer in fresh] == [
        ("a.whl", "1@eeeeeeeeeeee", "refused: broken"),
        ("b.whl", "1", None),
        ("c.whl", "1@000000000000", "refused: p 1 is already in, from b.whl with other bytes"),
    ]


def test_input_without_code_is_an_error_each_time(spark, tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / "broken.zip").write_bytes(b"?")
    for _ in range(2):
        with pytest.raises(
            SeedbedError, match=r"no code in .*1 files looked at.*1 archives refused"
        ):
            execute(JOB, config(root, tmp_path / "out"))


def test_rows_read_under_other_limits_do_not_mix(source, ingested):
    with pytest.raises(SeedbedError, match=r"max_file_bytes.*must not mix"):
        execute(JOB, config(source, ingested[0], max_file_bytes=5))
    assert execute(JOB, config(source, ingested[0], batch_repos=1)) is None


def test_an_unchanged_input_is_not_read_again(monkeypatch, spark, source, tmp_path):
    here = shutil.copytree(source, tmp_path / "source", symlinks=True)
    cfg = config(here, tmp_path / "output", batch_repos=2)
    assert execute(JOB, cfg) is not None
    reads: list[str] = []
    monkeypatch.setattr(ingest, "_identified", lambda ctx, root, units: reads.append("all") or [])
    assert execute(JOB, cfg) is None
    assert not reads
    # A program may set a file's time of modification back, but not that of its last change.
    touched = next(here.rglob("*.whl"))
    os.utime(touched, (1, 1))
    assert execute(JOB, cfg) is None
    assert reads == ["all"]
