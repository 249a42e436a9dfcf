"""What is written down about mutation testing: the pure files with their tests, the mutants that
are equivalent, the scores, and the page docs/mutation.md."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
FILES = HERE / "files.toml"
EQUIVALENT = HERE / "equivalent.toml"
SCORES = HERE / "scores.json"
PAGE = ROOT / "docs/mutation.md"
# Percent of a file's mutants that its tests should notice.
GOAL = 90


@dataclass(frozen=True)
class Score:
    """The outcome for one file.

    source: the hash of the file that was run, `fingerprint`.
    mutants: how many there are, without equivalent ones.
    run: how many of them were run, where a limit cut it short.
    survived: how many of those no test noticed.
    """

    source: str
    mutants: int
    run: int
    survived: int

    @property
    def percent(self) -> float:
        """Of the mutants that were run, those that a test noticed. 100 where none was run."""
        return 100 * (self.run - self.survived) / self.run if self.run else 100.0

    @property
    def at_best(self) -> float:
        """The percentage if every mutant that was not run would be noticed."""
        return 100 * (1 - self.survived / self.mutants) if self.mutants else 100.0


def fingerprint(source: str) -> str:
    """The first 16 hex digits of the SHA-256 of a file's text."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def pure_files() -> dict[str, list[str]]:
    """Path of a pure file -> paths of the tests that are run for it, the quickest first."""
    return tomllib.loads(FILES.read_text())["files"]


def equivalents() -> dict[str, dict[str, str]]:
    """Path -> change of an equivalent mutant -> why nothing can notice it."""
    table = tomllib.loads(EQUIVALENT.read_text())
    return {path: {row["change"]: row["why"] for row in rows} for path, rows in table.items()}


def scores() -> dict[str, Score]:
    return {path: Score(**row) for path, row in json.loads(SCORES.read_text()).items()}


def keep(new: dict[str, Score]) -> None:
    """Write the scores down, and into the page's table."""
    kept = {path: score for path, score in (scores() | new).items() if path in pure_files()}
    rows = {path: asdict(kept[path]) for path in sorted(kept)}
    lines = ",\n".join(f"  {json.dumps(path)}: {json.dumps(row)}" for path, row in rows.items())
    SCORES.write_text(f"{{\n{lines}\n}}\n")
    text = PAGE.read_text()
    PAGE.write_text(re.sub(r"(?s)\| file \|.*?\n\n", lambda _: table(kept) + "\n\n", text, count=1))


def table(kept: dict[str, Score]) -> str:
    """The page's table: a row for each pure file, with what was not run said."""
    equivalent = equivalents()
    lines = ["| file | mutants | run | survived | equivalent | score |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for path in pure_files():
        same = len(equivalent.get(path, {}))
        score = kept.get(path)
        if score is None or not score.run:
            lines.append(f"| `{path}` | | 0 | | {same} | not run |")
        else:
            figures = f"{score.mutants} | {score.run} | {score.survived} | {same}"
            lines.append(f"| `{path}` | {figures} | {score.percent:.0f} % |")
    return "\n".join(lines)


def touched(kept: dict[str, Score]) -> list[str]:
    """The pure files that are new, or whose text is another than the one on record.

    It needs no history of git, so it holds in a fresh clone and before a commit.
    """
    return [
        path
        for path in pure_files()
        if path not in kept or kept[path].source != fingerprint((ROOT / path).read_text())
    ]


def too_low(path: str, score: Score, kept: dict[str, Score]) -> bool:
    """Whether the survivors that were found put a file below the goal, or below its last score
    where that was less, however the mutants that were not run would have gone."""
    before = kept.get(path)
    bar = min(GOAL, before.percent) if before else GOAL
    # A percentage that was cut to a sample may be off by as much as rounding shows.
    return score.at_best < bar - 0.5
