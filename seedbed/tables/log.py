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

from seedbed import storage

FOLDER = "_delta_log"
COMMIT_FILE = re.compile(r"(\d{20})\.json")


def commits(table_path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(version, commitInfo) of the commits of a table, newest first; nothing without a table."""
    names = storage.file_sizes(table_path, FOLDER)
    versions = (COMMIT_FILE.fullmatch(name) for name in names)
    for version in sorted((match.group(1) for match in versions if match), reverse=True):
        text = storage.read_text(table_path, f"{FOLDER}/{version}.json")
        actions = [json.loads(line) for line in (text or "").splitlines() if line]
        yield (
            int(version),
            next((action["commitInfo"] for action in actions if "commitInfo" in action), {}),
        )
