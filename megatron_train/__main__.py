"""Questions about a training run and its layout, asked before, during or after it.

python -m megatron_train verify_layout --config C --tp 2 --pp 2 --cp 2    is the layout the model of one process?
"""

from __future__ import annotations

import importlib
import sys

from conf.errors import SeedbedError, run_cli

# name -> (module, function)
COMMANDS = {
    "verify_layout": ("megatron_train.verify_layout", "main"),
    "which_documents": ("megatron_train.lineage", "which_documents"),
    "which_steps": ("megatron_train.lineage", "which_steps"),
    "plan": ("megatron_train.plan", "main"),
    "stages": ("megatron_train.stages", "main"),
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if argv[0] not in COMMANDS:
        raise SeedbedError(f"{argv[0]!r} is no command", f"use one of: {', '.join(COMMANDS)}")
    module, function = COMMANDS[argv[0]]
    return getattr(importlib.import_module(module), function)(argv[1:])


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
