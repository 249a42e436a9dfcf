"""The commits of a Delta table, read straight from its log on any storage, with no engine.

`history` of an engine answers the same question with a query, and a pipeline asks it some hundred
times. The log is that of the Delta protocol: `_delta_log/<20-digit version>.json` holds one action
per line, `commitInfo` among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from conf.errors import SeedbedError
from seedbed import storage

FOLDER = "_delta_log"
COMMIT_FILE = re.compile(r"(\d{20})\.json")


def commits(table_path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(version, commitInfo) of the commits of a table, newest first; nothing without a table."""
    names = storage.file_sizes(table_path, FOLDER)
    versions = (COMMIT_FILE.fullmatch(name) for name in names)
    for version in sorted((match.group(1) for match in versions if match), reverse=True):
        text = storage.read_text(table_path, f"{FOLDER}/{version}.json")
        yield int(version), _commit_info(text or "", f"{table_path}/{FOLDER}/{version}.json")


def _commit_info(text: str, where: str) -> dict[str, Any]:
    """The commitInfo among the actions of a commit, {} without one."""
    info: dict[str, Any] = {}
    # str.splitlines would cut at characters that JSON may hold, such as U+2028.
    for line in filter(None, text.split("\n")):
        try:
            action = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _damaged(where, error) from error
        found = action.get("commitInfo", info) if isinstance(action, dict) else None
        if not isinstance(found, dict):
            raise _damaged(where, "it holds no action")
        info = info or found
    return info


def _damaged(where: str, why: object) -> SeedbedError:
    return SeedbedError(
        f"{where} is damaged: {str(why)[:200]}",
        "restore the file, or write the table anew with rebuild=[TABLE] (a table of rl: remove its "
        "folder)",
    )
