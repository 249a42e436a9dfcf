"""GGUF by llama.cpp's converter. The real one runs where SEEDBED_LLAMA_CPP names its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from scripts import to_gguf
from seedbed.kernels.tokens import bpe
from tests.tiny_model import write_model, write_tokenizer

# A converter that writes down by which rule it would split words.
BASE = """
class TextModel:
    def get_vocab_base_pre(self, tokenizer):
        return "its own"
"""
SCRIPT = """
import sys
from conversion.base import TextModel
given = sys.argv
open(given[given.index("--outfile") + 1], "w").write(TextModel().get_vocab_base_pre(None))
"""


def a_converter(folder: Path, known: str = '# res = "ufakzeka"') -> Path:
    (folder / "conversion").mkdir(parents=True)
    (folder / "conversion/base.py").write_text(BASE + known)
    (folder / "convert_hf_to_gguf.py").write_text(SCRIPT)
    return folder


def converted(llama_cpp: Path, model: Path, file: Path) -> str:
    """In a process of its own: the converter's modules have common names."""
    command = [sys.executable, "-m", "scripts.to_gguf", str(llama_cpp), str(model), str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return file.read_bytes()[:100].decode(errors="replace")


def test_our_own_tokenizer_gets_its_word_rule_and_another_is_left_to_the_converter(tmp_path):
    ours, other = tmp_path / "ours", tmp_path / "other"
    ours.mkdir()
    (ours / "tokenizer.json").write_text(bpe.train(["def f(x):\n    return 'rest'\n"], 300))
    write_tokenizer(other)
    converter = a_converter(tmp_path / "llama.cpp")
    assert converted(converter, ours, tmp_path / "a.gguf") == "ufakzeka"
    assert converted(converter, other, tmp_path / "b.gguf") == "its own"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("conversion/base.py", "does not know the word rule ufakzeka"),
        ("convert_hf_to_gguf.py", "there is no"),
    ],
)
def test_a_converter_that_cannot_is_named(tmp_path, part, said):
    converter = a_converter(tmp_path / "llama.cpp")
    (converter / part).unlink()
    (tmp_path / "tokenizer.json").write_text(bpe.train(["a b"], 300))
    with pytest.raises(SeedbedError, match=said):
        to_gguf.main([str(converter), str(tmp_path), str(tmp_path / "x.gguf")])
    assert not (tmp_path / "x.gguf").exists()


def test_an_older_converter_without_the_rule_is_refused(tmp_path):
    converter = a_converter(tmp_path / "llama.cpp", known="")
    (tmp_path / "tokenizer.json").write_text(bpe.train(["a b"], 300))
    with pytest.raises(SeedbedError, match="does not know the word rule"):
        to_gguf.main([str(converter), str(tmp_path), str(tmp_path / "x.gguf")])


def test_llama_cpps_own_converter_takes_a_model_with_our_tokenizer(tmp_path):
    llama_cpp = os.environ.get("SEEDBED_LLAMA_CPP")
    if not llama_cpp:
        pytest.skip("SEEDBED_LLAMA_CPP names no checkout of llama.cpp")
    model = write_model(tmp_path / "model")
    (model / "tokenizer.json").write_text(bpe.train(["def f(x):\n    return 'rest'\n"], 300))
    assert converted(Path(llama_cpp), model, tmp_path / "x.gguf").startswith("GGUF")
