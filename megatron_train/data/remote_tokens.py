"""Token shards on an object store or HDFS: copied to this machine once, and checked by hash.

Training reads shards at random places through mmap, so they must lie on a disk. The copy is in
$XDG_CACHE_HOME/seedbed/tokens (default ~/.cache), under the hash of the manifest. So shards that
were packed anew are other files.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import IO

from conf.errors import SeedbedError
from seedbed import json_object, storage
from seedbed.files import whole_file, write_whole
from seedbed.stores.places import is_uri

_CHUNK = 8 << 20


def local_tokens(tokens: str) -> Path:
    """The token folder `tokens` on this machine: itself, or the copy of a folder at a URI.

    Of several processes one copies, and the others wait for it.

    Raises SeedbedError where there is no manifest, where the store refuses, or where a file is not
    the one that the manifest names.
    """
    if not is_uri(tokens):
        return Path(tokens)
    text = storage.read_text(tokens, "manifest.json")
    if text is None:
        raise SeedbedError(
            f"{tokens}/manifest.json does not exist",
            "give the URI of a run's folder tokens, or pack them first",
        )
    folder = _cache() / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        for name, digest in _files(text, f"{tokens}/manifest.json").items():
            if not (folder / name).is_file():
                _copy(tokens, name, folder / name, digest)
        write_whole(folder / "manifest.json", text)
    return folder


def _files(text: str, where: str) -> dict[str, str]:
    """Path -> SHA-256 of each file that the manifest names.

    Raises SeedbedError for another file, and for one that names files outside its folder.
    """
    fix = "pack the tokens again, or give the URI of a run's folder tokens"
    with json_object.shaped(where, "manifest of token shards", fix):
        manifest = json_object.parse(text, where, fix)
        tokenizer = manifest["tokenizer"]
        found = {f"{tokenizer['path']}/tokenizer.json": tokenizer["sha256"]}
        for shard in manifest["shards"]:
            for kind in ("bin", "idx"):
                found[f"{shard['prefix']}.{kind}"] = shard[f"{kind}_sha256"]
        for name in found:
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"it names {name}, which is outside its folder")
    return found


def _copy(tokens: str, name: str, target: Path, digest: str) -> None:
    try:
        with storage.files_of(tokens).open_reader(name) as source, whole_file(target) as file:
            found = _poured(source, file)
            if found != digest:
                raise SeedbedError(
                    f"{tokens}/{name} is not what its manifest names: sha256 {found[:16]}, "
                    f"not {digest[:16]}",
                    "pack the tokens again: python -m spark_jobs run ... from=documents",
                )
    except FileNotFoundError:
        raise SeedbedError(
            f"{tokens}/{name} is missing, and its manifest names it",
            "pack the tokens again: python -m spark_jobs run ... from=documents",
        ) from None


def _poured(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while data := source.read(_CHUNK):
        digest.update(data)
        target.write(data)
    return digest.hexdigest()


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seedbed" / "tokens"
