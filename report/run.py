"""What a run left behind, read lazily: tables through delta-rs, metrics and samples from JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.tables.reader import DeltaReader

CURATE = "python -m spark_jobs run --config conf/curate/local.yaml input=PATH output={output}"
RL = (
    "torchrun --nproc-per-node 2 -m rl.{stage} --config conf/rl/demo_{stage}.yaml output={{output}}"
)
# The command that makes each thing under DIR that is not a table.
MAKERS = {
    "curate": CURATE,
    "tokens": CURATE,
    "pretrain": "torchrun --nproc-per-node 4 -m megatron_train.pretrain "
    "--config conf/pretrain/demo.yaml output={output}",
    "scorers": f"{CURATE} until=scores",
    "rl/sft": RL.format(stage="sft"),
    "rl/dpo": RL.format(stage="dpo"),
    "rl/grpo": RL.format(stage="grpo"),
    "demo": "make demo OUTPUT={output}",
    "rounds": "make rounds",
}


class Missing(Exception):
    """The data of a section is not there yet: what is missing, and the command that makes it."""

    def __init__(self, what: str, command: str):
        super().__init__(what)
        self.what = what
        self.command = command


class RunFolder:
    """The run under `output`, a local folder.

    Raises SeedbedError where there is neither a table nor a metrics file.
    """

    def __init__(self, output: str):
        if "://" in output:
            raise SeedbedError(
                f"output={output} is not a local folder",
                "copy the run here first; the page is written beside it",
            )
        self.output = output.rstrip("/")
        self.root = Path(self.output)
        self.db: DeltaReader | None = None
        if (self.root / "tables").is_dir():
            self.db = DeltaReader(self.output)
        elif not any((self.root / part).is_dir() for part in ("pretrain", "rl", "scorers")):
            raise SeedbedError(
                f"nothing of a run under {self.output}",
                "check output=DIR, or run: python -m spark_jobs run",
            )

    def tables(self, *names: str) -> DeltaReader:
        """The reader. Raises Missing where a table of `names` is not there."""
        for name in names:
            if self.db is None or name not in self.db:
                raise Missing(f"table {name}", f"{CURATE.format(output=self.output)} until={name}")
        assert self.db is not None
        return self.db

    def has(self, *names: str) -> bool:
        """Whether every table of `names` is there."""
        return self.db is not None and all(name in self.db for name in names)

    def lines(self, path: str) -> list[dict[str, Any]]:
        """The records of a .jsonl file under the run, up to a line that a kill cut short.

        Raises Missing where there is none.
        """
        records = jsonl.whole_rows(self.root / path)
        if not records:
            raise self.missing(path)
        return records

    def document(self, path: str) -> Any:
        """A .json file under the run. Raises Missing where it is not there."""
        file = self.root / path
        if not file.is_file():
            raise self.missing(path)
        return json.loads(file.read_text(encoding="utf-8"))

    def files(self, pattern: str) -> list[str]:
        """The paths under the run that match, relative to it and sorted."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))

    def missing(self, path: str) -> Missing:
        """The Missing that names what makes `path`."""
        maker = next(command for part, command in MAKERS.items() if path.startswith(part))
        return Missing(path, maker.format(output=self.output))
