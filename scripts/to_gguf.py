"""A model folder as one GGUF file, by llama.cpp's own converter.

    python -m scripts.to_gguf LLAMA_CPP FOLDER FILE.gguf [--outtype f32|f16|bf16|q8_0]

LLAMA_CPP is a checkout of llama.cpp, or `vendor/llama.cpp` of llama-cpp-python's source package.
Its converter knows tokenizers by a hash of what they give for one text, so it refuses any that was
trained anew. This program names the rule by which our own tokenizer splits words. A tokenizer with
another rule is left to the converter.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import runpy
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from conf.errors import SeedbedError, run_cli
from conf.flags import parse_flags
from seedbed.kernels.tokens.bpe import WORDS

# llama.cpp's name of our word pattern, which is Qwen2's without the English contractions:
# LLAMA_VOCAB_PRE_TYPE_UFAKZEKA in src/llama-vocab.cpp.
WORD_RULE = "ufakzeka"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts.to_gguf", description=__doc__)
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--outtype", default="bf16", choices=("f32", "f16", "bf16", "q8_0"))
    args = parse_flags(parser, argv)
    script = args.llama_cpp / "convert_hf_to_gguf.py"
    for needed, fix in (
        (script, "give a checkout of llama.cpp"),
        (args.folder / "tokenizer.json", "give a folder that export_hf wrote"),
        (args.file.parent, "make the folder first"),
    ):
        if not needed.exists():
            raise SeedbedError(f"there is no {needed}", fix)
    ours = _splits_as_ours(args.folder / "tokenizer.json")
    if ours:
        _check_knows_the_rule(args.llama_cpp)
    command = [str(script), str(args.folder), "--outfile", str(args.file)]
    sys.argv = [*command, "--outtype", args.outtype]
    sys.path[:0] = [str(args.llama_cpp), str(args.llama_cpp / "gguf-py")]
    with contextlib.ExitStack() as patches:
        if ours:
            rule = "conversion.base.TextModel.get_vocab_base_pre"
            patches.enter_context(mock.patch(rule, return_value=WORD_RULE))
        runpy.run_path(str(script), run_name="__main__")


def _splits_as_ours(tokenizer: Path) -> bool:
    parts: dict[str, Any] = json.loads(tokenizer.read_text())["pre_tokenizer"] or {}
    return any(
        part.get("pattern") == {"Regex": WORDS} for part in parts.get("pretokenizers", [parts])
    )


def _check_knows_the_rule(llama_cpp: Path) -> None:
    path = llama_cpp / "conversion/base.py"
    if not path.is_file() or f'"{WORD_RULE}"' not in path.read_text():
        raise SeedbedError(
            f"the converter of {llama_cpp} does not know the word rule {WORD_RULE}",
            "take llama.cpp as llama-cpp-python 0.3.36 brings it, or a later one",
        )


if __name__ == "__main__":
    run_cli(main)
