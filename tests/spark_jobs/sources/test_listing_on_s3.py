"""Folders and archives on an object store are listed and read as those of a disk."""

from __future__ import annotations

import io
import time
import zipfile

import pytest

from conf.errors import SeedbedError
from conf.schema.curate import IngestSettings
from seedbed import storage
from spark_jobs.sources import listing, units

LIMITS = IngestSettings()


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        packed.writestr(zipfile.ZipInfo("pkg/mod.py"), "x = 1\n")
        packed.writestr(zipfile.ZipInfo("pkg-1.0.dist-info/METADATA"), "Name: pkg\nVersion: 1.0\n")
    return made.getvalue()


def fill(root: str) -> None:
    files = storage.files_of(root)
    files.write("pkg-1.0-py3-none-any.whl", archive())
    files.write("loose/räum 50% #1.py", b"y = 2\n")
    files.write("loose/.git/config", b"")


def told(root: str) -> list:
    base, found, _ = units.find_units(root)
    offers = [units.identify(base, unit, LIMITS) for unit in found]
    read = [
        sorted((m.path, m.read()) for m in units.members(base, offer, LIMITS)) for offer in offers
    ]
    return [(found, offers, read)]


def test_an_input_on_a_store_gives_the_units_and_members_of_a_folder(s3, tmp_path):
    for root in (f"{s3.root}/in", str(tmp_path / "in")):
        fill(root)
    assert told(f"{s3.root}/in") == told(str(tmp_path / "in"))
    assert told(f"{s3.root.replace('s3:', 's3a:')}/in") == told(f"file://{tmp_path}/in")


def test_one_archive_of_a_store_is_an_input(s3):
    fill(s3.root)
    root, found, _ = units.find_units(f"{s3.root}/pkg-1.0-py3-none-any.whl")
    assert [unit.name for unit in found] == ["pkg-1.0-py3-none-any.whl"]
    assert units.identify(root, found[0], LIMITS).repo == "pkg"


def test_a_listing_tells_when_an_object_was_written_anew(s3):
    fill(s3.root)
    before = listing.state(listing.walk(s3.root))
    assert listing.state(listing.walk(s3.root)) == before
    # Listings of S3 count whole seconds.
    time.sleep(1.1)
    storage.write_text(s3.root, "loose/räum 50% #1.py", "z = 3\n")
    assert listing.state(listing.walk(s3.root)) != before


def test_nothing_under_a_uri_is_an_error(s3):
    with pytest.raises(SeedbedError, match="does not exist"):
        units.find_units(f"{s3.root}/nothing")
