"""transformers' side of the contract inside a run, in a process of its own: python -m rl.reference_worker REQUEST.json

megatron-core on CPUs works on a patched torch (megatron_train/cpu.py), and under it transformers' models come out wrong without a
word: each load had other rotary frequencies. Writes, beside the request, reference.json and reference.safetensors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from conf.errors import SeedbedError, run_cli
from rl.contract import Reference


def ask(folder: Path, dtype: str, sequences: Sequence[Sequence[int]]) -> tuple[list[list[float]], dict[str, Tensor]]:
    """Log-probabilities of all sequences, and the layers' outputs for the first (rl/layers.py), by the model of `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        request = Path(scratch) / "request.json"
        request.write_text(
            json.dumps({"model": str(folder), "dtype": dtype, "sequences": [list(s) for s in sequences]})
        )
        command = [sys.executable, "-m", "rl.reference_worker", str(request)]
        done = subprocess.run(command, capture_output=True, text=True, env={"OMP_NUM_THREADS": "1", **os.environ})
        if done.returncode != 0:
            raise SeedbedError(
                f"transformers could not score {folder}: {done.stderr.strip()[-600:]}", "see the message above"
            )
        scores = json.loads(request.with_name("reference.json").read_text())
        return scores, load_file(request.with_name("reference.safetensors"))


def main(argv: list[str]) -> int:
    path = Path(argv[0])
    request = json.loads(path.read_text())
    model = Reference(Path(request["model"]), request["dtype"])
    path.with_name("reference.json").write_text(json.dumps([model.logprobs(ids) for ids in request["sequences"]]))
    save_file(model.layers(request["sequences"][0][:-1]), path.with_name("reference.safetensors"))
    return 0


if __name__ == "__main__":
    run_cli(main)
