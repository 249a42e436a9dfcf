"""vLLM as a server that a training run can sample from and give weights to, on this machine or
another.

    python -m rl.serve --model HF_FOLDER --max-length 256 [--host 127.0.0.1] [--port 8000] [dtype=bfloat16 key=value]

key=value are fields of EngineConfig. The run then has engine.url=http://HOST:PORT. With
transfer=safetensors it writes each new policy into DIR/rl/grpo/policy, and the server reads it from
the same path; with transfer=nccl (GPUs) weights go from GPU to GPU.
The routes that change weights are open to whoever reaches the port: keep it inside the cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from conf.errors import SeedbedError, run_cli
from conf.loader import load
from conf.schema.rl import EngineConfig
from seedbed.inference import vllm_settings


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rl.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, type=Path, help="Hugging Face folder")
    parser.add_argument(
        "--max-length", required=True, type=int, help="tokens of prompt and response"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default="8000")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="fields of EngineConfig")
    args = parser.parse_args(argv)
    cfg = load(EngineConfig, None, args.overrides)
    if not (args.model / "config.json").is_file():
        raise SeedbedError(
            f"{args.model} holds no config.json", "give a folder that an export wrote"
        )
    # the routes that take weights
    os.environ.update(vllm_settings.environment(cfg), VLLM_SERVER_DEV_MODE="1")
    os.execv(sys.executable, command(args.model, args.max_length, cfg, args.host, args.port))


def command(model: Path, max_length: int, cfg: EngineConfig, host: str, port: str) -> list[str]:
    """The server's command line.

    `vllm serve` looks for a distribution called vllm, which CPU builds are not.
    """
    flags = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--host",
        host,
        "--port",
        port,
    ]
    for name, value in vllm_settings.arguments(model, max_length, cfg).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return [*flags, "--disable-uvicorn-access-log"]


if __name__ == "__main__":
    run_cli(main)
