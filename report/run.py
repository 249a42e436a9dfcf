"""What a run left behind, read lazily: tables through delta-rs, metrics and samples from JSON."""

from __future__ import annotations

import json
from typing import Any

from conf.errors import SeedbedError
from seedbed import jsonl, storage
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
    """The run under `output`, a path or a URI.

    Raises SeedbedError where there is neither a table nor a metrics file.
    """

    def __init__(self, output: str):
        self.output = output.rstrip("/")
        self.db: DeltaReader | None = None
        if self._has("tables"):
            self.db = DeltaReader(self.output)
        elif not any(self._has(part) for part in ("pretrain", "rl", "scorers")):
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
        data = storage.files_of(self.output).read(path)
        records = jsonl.whole_rows_of(data) if data else []
        if not records:
            raise self.missing(path)
        return records

    def document(self, path: str) -> Any:
        """A .json file under the run. Raises Missing where it is not there."""
        text = storage.read_text(self.output, path)
        if text is None:
            raise self.missing(path)
        return json.loads(text)

    def files(self, pattern: str) -> list[str]:
        """The paths under the run that match, relative to it and sorted."""
        return storage.find(self.output, pattern)

    def head(self, path: str, size: int) -> bytes | None:
        """The first `size` bytes of a file under the run; None where it is not there."""
        try:
            with storage.files_of(self.output).open_reader(path) as stream:
                return stream.read(size)
        except FileNotFoundError:
            return None

    def _has(self, folder: str) -> bool:
        return storage.kind(f"{self.output}/{folder}") == "folder"

    def missing(self, path: str) -> Missing:
        """The Missing that names what makes `path`."""
        maker = next(command for part, command in MAKERS.items() if path.startswith(part))
        return Missing(path, maker.format(output=self.output))
