"""Pretraining on megatron-core, and questions about a run and its layout.

Programs of several processes, started by torchrun --nproc-per-node N -m:
  megatron_train.pretrain         DIR/tokens -> DIR/pretrain and DIR/hf
  megatron_train.stages resume    every stage of a plan that is not done, parents first
  megatron_train.export_hf        a checkpoint -> a Hugging Face folder

Programs of one process, started by python -m:
  megatron_train.pack_texts       JSON lines, Parquet or a data set's folder -> DIR/tokens
  megatron_train.complete         completions of a few prompts by DIR/hf
  megatron_train.bits_per_byte    bits per byte of DIR/hf on validation documents
  megatron_train.train_scorer     a regression head on DIR/hf that judges code

Questions, asked by python -m megatron_train NAME:
  plan                            memory, speed, hours and money of a run, and layouts that fit
  verify_layout                   whether a layout trains the model of one process
  which_documents                 the documents that one step read
  which_steps                     the steps that read a document
  stages status|diff|branch       where the stages of a plan stand, how two differ, a new one

All take --config FILE, --dry-run and key=value, and --help tells more. The programs can also be
started by their short names: python -m megatron_train export_hf --config FILE output=DIR
"""

from __future__ import annotations

import importlib
import sys

from conf.errors import SeedbedError, run_cli

# name -> (module, function)
COMMANDS = {
    "pack_texts": ("megatron_train.pack_texts", "main"),
    "export_hf": ("megatron_train.export_hf", "main"),
    "complete": ("megatron_train.complete", "main"),
    "bits_per_byte": ("megatron_train.bits_per_byte", "main"),
    "train_scorer": ("megatron_train.train_scorer", "main"),
    "plan": ("megatron_train.plan", "main"),
    "verify_layout": ("megatron_train.verify_layout", "main"),
    "which_documents": ("megatron_train.lineage", "which_documents"),
    "which_steps": ("megatron_train.lineage", "which_steps"),
    "stages": ("megatron_train.stages", "main"),
    "pretrain": ("megatron_train.pretrain", "main"),
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
