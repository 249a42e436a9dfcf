"""Writing token shards: ours against Megatron-LM's preprocess_data.py and datatrove.

    python -m benchmarks.tokenization --tokenizer runs/demo/tokens/tokenizer [--megatron PATH] \\
        [--datatrove PYTHON] [--mb 12] [--rounds 3]

PATH is a checkout of NVIDIA/Megatron-LM. PYTHON is the interpreter of a virtual environment with
datatrove, whose DocumentTokenizer runs. All read the same source files with the same tokenizer, one
worker and one thread. "tokenizers" is our own packing without tiktoken.

The figures are CPU seconds of the whole process with its children, the median of the rounds, in
which all take turns. The seconds of a run over a single document, for start-up and imports, are
subtracted. Megatron-LM's shards must equal ours byte for byte. datatrove writes another format, so
its tokens are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np

DATATROVE = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
folder, tokenizer, out = sys.argv[1:]
steps = [
    JsonlReader(folder, glob_pattern="*.jsonl"),
    DocumentTokenizer(out, tokenizer, eos_token="<|endoftext|>", shuffle_documents=False),
]
LocalPipelineExecutor(pipeline=steps, tasks=1, workers=1, logging_dir=out + "/logs").run()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokenizer", required=True, help="folder with tokenizer.json")
    parser.add_argument(
        "--files",
        default=sysconfig.get_paths()["stdlib"],
        help="source files (default: the library's)",
    )
    parser.add_argument("--mb", type=float, default=12.0, help="how much of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megatron", help="checkout of Megatron-LM")
    parser.add_argument("--datatrove", help="python of an environment with datatrove")
    parser.add_argument("--pack", nargs=2, metavar=("JSONL", "PREFIX"), help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pack:
        if args.plain:
            without_tiktoken()
        pack(Path(args.pack[0]), Path(args.pack[1]), Path(args.tokenizer))
        return
    with tempfile.TemporaryDirectory() as scratch:
        run(args, Path(scratch))


def without_tiktoken() -> None:
    """From here on no tokenizer of this process has a tiktoken form."""
    from seedbed.kernels.tokens import text_encoder
    from seedbed.kernels.tokens.split_pattern import NotExpressible

    def refuse(tokenizer_json: str) -> None:
        raise NotExpressible("the benchmark asks for tokenizers")

    text_encoder.express = refuse  # type: ignore[assignment]


def pack(source: Path, prefix: Path, tokenizer: Path) -> None:
    """Our side: the work of pack_tokens inside an executor."""
    from seedbed.kernels.tokens.indexed_dataset import IndexedDatasetWriter
    from seedbed.kernels.tokens.packing import DocumentSample, Packer

    packer = Packer((tokenizer / "tokenizer.json").read_text(), fim_rate=0.0, seed=1)
    print(packer.note)
    with source.open() as lines, prefix.with_suffix(".bin").open("wb") as out:
        writer = IndexedDatasetWriter(out, packer.dtype)
        batch: list[DocumentSample] = []

        def flush() -> None:
            for tokens in packer.encode(batch):
                writer.add_document(tokens)
            batch.clear()

        for number, line in enumerate(lines):
            batch.append(DocumentSample(str(number), 0, "val", json.loads(line)["text"]))
            if len(batch) == 256:
                flush()
        flush()
    prefix.with_suffix(".idx").write_bytes(writer.index())


def run(args: argparse.Namespace, scratch: Path) -> None:
    texts = read(Path(args.files), int(args.mb * 1e6))
    size = sum(len(text.encode()) for text in texts)
    inputs = {"all": texts, "one": texts[:1]}
    for name, part in inputs.items():
        (scratch / name).mkdir()
        lines = "".join(
            json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(part)
        )
        (scratch / name / "x.jsonl").write_text(lines)
    tokenizer = str(Path(args.tokenizer).resolve())

    def commands(name: str) -> dict[str, list[str]]:
        source = str(scratch / name / "x.jsonl")
        ours = [sys.executable, "-m", "benchmarks.tokenization", "--tokenizer", tokenizer, "--pack"]
        found = {
            "ours": [*ours, source, str(scratch / f"{name}-ours")],
            "ours, by tokenizers": [*ours, source, str(scratch / f"{name}-plain"), "--plain"],
        }
        if args.megatron:
            found["Megatron-LM preprocess_data.py"] = [
                *(sys.executable, f"{args.megatron}/tools/preprocess_data.py", "--input", source),
                *(
                    "--output-prefix",
                    str(scratch / f"{name}-megatron"),
                    "--tokenizer-type",
                    "HuggingFaceTokenizer",
                ),
                *("--tokenizer-model", tokenizer, "--append-eod", "--workers", "1"),
            ]
        if args.datatrove:
            code = [
                args.datatrove,
                "-c",
                DATATROVE,
                str(scratch / name),
                f"{tokenizer}/tokenizer.json",
            ]
            found["datatrove DocumentTokenizer"] = [*code, str(scratch / f"{name}-datatrove")]
        return found

    print(f"{len(texts)} files, {size / 1e6:.1f} MB; CPU seconds of one worker without start-up")
    start_up: dict[str, list[float]] = {name: [] for name in commands("all")}
    seconds: dict[str, list[float]] = {name: [] for name in commands("all")}
    for _ in range(args.rounds):
        for name, command in commands("all").items():
            # datatrove skips what an earlier round has done.
            for part in inputs:
                shutil.rmtree(scratch / f"{part}-datatrove", ignore_errors=True)
            start_up[name].append(cpu_seconds(commands("one")[name]))
            seconds[name].append(cpu_seconds(command) - start_up[name][-1])
    ours = statistics.median(seconds["ours"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(
            f"  {name:32} {size / 1e6 / middle:6.2f} MB/s per core "
            f"({size / 1e6 / max(times):.2f}-{size / 1e6 / min(times):.2f})  "
            f"{middle / ours:5.2f} of our time (start-up {statistics.median(start_up[name]):.1f} s)"
        )
    mine, plain = (scratch / f"all-{name}.bin" for name in ("ours", "plain"))
    same = "the same bytes" if mine.read_bytes() == plain.read_bytes() else "OTHER BYTES"
    print(f"  tiktoken and tokenizers give {same}")
    if args.megatron:
        for suffix in ("bin", "idx"):
            mine = (scratch / f"all-ours.{suffix}").read_bytes()
            theirs = (scratch / f"all-megatron_text_document.{suffix}").read_bytes()
            same = "equals" if mine == theirs else "DIFFERS from"
            print(f"  .{suffix} {same} Megatron-LM's")
    if args.datatrove:
        [file] = (scratch / "all-datatrove").glob("*.ds")
        same = np.array_equal(
            np.fromfile(file, np.uint16), np.fromfile(scratch / "all-ours.bin", np.uint16)
        )
        print(f"  datatrove's tokens are {'ours' if same else 'OTHERS'}")


def read(folder: Path, size: int) -> list[str]:
    texts, total = [], 0
    for path in sorted(folder.rglob("*.py")):
        if total >= size:
            break
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if text:
            texts.append(text)
            total += len(text.encode())
    return texts


def cpu_seconds(command: list[str]) -> float:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command[:4])} ended with code {done.returncode}:\n{done.stderr[-2000:]}"
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
