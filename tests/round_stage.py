"""Stand-ins for a round's programs that take seconds and not minutes: `NAME FOLDER PREPARED`, each
resumes as its model does.

pretrain and score go on where a killed one stopped, a step or a row at a time; the others make
their files anew. Figures follow from what is on disk, so a step that is lost or done twice changes
them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

STEPS = 30


def go_on(file: Path, what: str) -> None:
    """Append the lines that `file` lacks, one by one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    done = len(file.read_text().splitlines()) if file.exists() else 0
    for step in range(done, STEPS):
        with file.open("a") as lines:
            lines.write(f"{what} {step}\n")
        time.sleep(0.02)


def main(name: str, folder: Path, prepared: Path) -> None:
    print(name, os.getpid(), flush=True)
    steps, scores = folder / "pretrain/steps", folder / "scored"
    if name == "curate":
        for table in sorted(p.name for p in (prepared / "tables").iterdir()):
            if not (folder / "tables" / table).is_dir():
                shutil.copytree(prepared / "tables" / table, folder / "tables" / table)
        (folder / "scorers").mkdir(exist_ok=True)
    elif name == "pretrain":
        go_on(steps, folder.name)
    elif name == "holdout":
        seen = len(steps.read_text().splitlines())
        (folder / "pretrain/holdout.json").write_text(json.dumps({"bits_per_byte": 100 / seen}))
    elif name == "scorer":
        before = sorted(
            p.read_text() for p in folder.parent.glob("round-*/scored") if p.parent != folder
        )
        card = json.loads((prepared / "scorers/language_model/scorer.json").read_text())
        card |= {
            "version": f"language_model-{len(''.join(before))}",
            "mae": len(steps.read_text()) / 100,
        }
        (folder / "scorers/language_model").mkdir(parents=True, exist_ok=True)
        (folder / "scorers/language_model/scorer.json").write_text(json.dumps(card))
    elif name == "score":
        go_on(scores, folder.name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
