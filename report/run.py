"""What a run left behind, read lazily: tables through delta-rs, metrics and samples from JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed.queries.explain import OTHER_TABLE_NAMES, TABLE_NAMES
from seedbed.tables.reader import DeltaReader

# What makes each thing under DIR that is not a table; tables are made by `spark_jobs run ...
# until=TABLE`.
MAKERS = {
    "curate": "python -m spark_jobs run --config conf/curate/local.yaml input=PATH output={output}",
    "tokens": "python -m spark_jobs run --config conf/curate/local.yaml input=PATH output={output}",
    "pretrain": "torchrun --nproc-per-node 4 -m megatron_train.pretrain --config conf/pretrain/demo.yaml output={output}",
    "scorers": "python -m spark_jobs run --config conf/curate/local.yaml input=PATH output={output} until=scores",
    "rl/sft": "torchrun --nproc-per-node 2 -m rl.sft --config conf/rl/demo_sft.yaml output={output}",
    "rl/dpo": "torchrun --nproc-per-node 2 -m rl.dpo --config conf/rl/demo_dpo.yaml output={output}",
    "rl/grpo": "torchrun --nproc-per-node 2 -m rl.grpo --config conf/rl/demo_grpo.yaml output={output}",
    "demo": "make demo OUTPUT={output}",
    "rounds": "make rounds",
}


class Missing(Exception):
    """A section's data is not there (yet): what is missing, and the command that makes it."""

    def __init__(self, what: str, command: str):
        super().__init__(what)
        self.what = what
        self.command = command


class Run:
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
            self.db = DeltaReader(self.output, (*TABLE_NAMES, *OTHER_TABLE_NAMES))
        elif not any((self.root / part).is_dir() for part in ("pretrain", "rl", "scorers")):
            raise SeedbedError(
                f"nothing of a run under {self.output}",
                "check output=DIR, or run: python -m spark_jobs run",
            )

    def tables(self, *names: str) -> DeltaReader:
        """The reader, once every table of `names` is known to be there; else Missing."""
        for name in names:
            if self.db is None or name not in self.db:
                command = f"python -m spark_jobs run --config conf/curate/local.yaml input=PATH output={self.output} until={name}"
                raise Missing(f"table {name}", command)
        assert self.db is not None
        return self.db

    def has(self, *names: str) -> bool:
        """Whether every table of `names` is there."""
        return self.db is not None and all(name in self.db for name in names)

    def lines(self, path: str) -> list[dict[str, Any]]:
        """The records of a .jsonl file under the run, up to a line that a kill cut short.

        Missing where there is none.
        """
        file = self.root / path
        records = []
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    records.append(json.loads(line))
                except json.JSONDecodeError:
                    break
        if not records:
            raise self.missing(path)
        return records

    def document(self, path: str) -> Any:
        """A .json file under the run. Missing where it is not there."""
        file = self.root / path
        if not file.is_file():
            raise self.missing(path)
        return json.loads(file.read_text(encoding="utf-8"))

    def files(self, pattern: str) -> list[str]:
        """Paths under the run that match, relative to it, sorted."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))

    def missing(self, path: str) -> Missing:
        """The Missing that names what makes `path`."""
        maker = next(command for part, command in MAKERS.items() if path.startswith(part))
        return Missing(path, maker.format(output=self.output))
