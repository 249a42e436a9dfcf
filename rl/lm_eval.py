"""lm-evaluation-harness on our models: its own command line, with the model type `seedbed`.

    python -m rl.lm_eval --model seedbed --model_args pretrained=DIR/hf --tasks TASK,TASK
    python -m rl.lm_eval --model seedbed --model_args output=DIR,step=400,dtype=bf16 --tasks TASK

Needs the package lm_eval. Every argument is the harness's own (`lm_eval --help`). pretrained= is a
Hugging Face folder. output= is a pretraining run, whose checkpoint is exported to a temporary
folder first. rl/evaluation/harness.py tells the other arguments, and how it differs from the
harness's type `hf`.
"""

from __future__ import annotations

import importlib
import sys

from conf.errors import SeedbedError, run_cli


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        program = importlib.import_module("lm_eval.__main__")
        # Registers the model type.
        importlib.import_module("rl.evaluation.harness")
    except ModuleNotFoundError as error:
        raise SeedbedError(
            f"rl.lm_eval needs the package lm_eval, which cannot be imported: {error}",
            "pip install 'lm_eval>=0.4.13', in this environment or one of its own",
        ) from error
    # The harness reads its arguments from there alone.
    sys.argv = ["lm_eval", *argv]
    program.cli_evaluate()
    return 0


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
