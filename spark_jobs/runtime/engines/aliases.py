"""Short names for local paths that an engine would misread.

Sail 0.7 writes a Delta table at `/a b` to `/a%20b` and its log to `/a%2520b`. Spark takes `*`, `?`,
`[` and `{` in a path for a pattern. A link with a plain name stands for such a folder.
"""

from __future__ import annotations

import os
import re
import tempfile

# What every engine takes as it stands.
PLAIN = re.compile(r"[A-Za-z0-9_./-]*")


class Aliases:
    """Links to folders with odd names, in a temporary folder that `close` removes."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._links: dict[str, str] = {}

    def path(self, path: str) -> str:
        """`path` itself, absolute, or the path through a link to its odd part."""
        path = os.path.abspath(path)
        if PLAIN.fullmatch(path):
            return path
        # The longest part that holds all that is odd.
        parts = path.split("/")
        last = max(i for i, part in enumerate(parts) if not PLAIN.fullmatch(part))
        odd = "/".join(parts[: last + 1])
        return "/".join([self._link(odd), *parts[last + 1 :]])

    def close(self) -> None:
        """Remove the links; what they lead to stays."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder, self._links = None, {}

    def _link(self, odd: str) -> str:
        if odd not in self._links:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="seedbed-")
            os.makedirs(odd, exist_ok=True)
            link = f"{self._folder.name}/{len(self._links)}"
            os.symlink(odd, link)
            self._links[odd] = link
        return self._links[odd]
