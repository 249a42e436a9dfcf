"""vLLM as a server that a training run samples from and gives weights to.

    python -m rl.serve --model HF_FOLDER --max-length 256 [--host 127.0.0.1] [--port 8000]
        [dtype=bfloat16 key=value]

Any other key=value is a field of EngineConfig. The training run then gets
engine.url=http://HOST:PORT; the server may be on another machine.

With transfer=safetensors the run writes each new policy into DIR/rl/grpo/policy, and the server
reads it from the same path. With transfer=nccl the weights go from GPU to GPU. Whoever reaches the
port can change the weights, so keep it inside the cluster.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from conf.errors import SeedbedError, run_cli
from conf.flags import flag_parser, parse_flags
from conf.loader import load
from conf.schema.rl import EngineConfig
from seedbed.inference import vllm_settings


def main(argv: list[str]) -> int:
    parser = flag_parser("rl.serve", __doc__)
    parser.add_argument("--model", required=True, type=Path, help="Hugging Face folder")
    parser.add_argument(
        "--max-length", required=True, type=int, help="tokens of prompt and response together"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", default="8000", help="port to listen on")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="fields of EngineConfig")
    args = parse_flags(parser, argv)
    cfg = load(EngineConfig, None, args.overrides)
    if not (args.model / "config.json").is_file():
        raise SeedbedError(
            f"{args.model} holds no config.json", "give a folder that an export wrote"
        )
    # vLLM opens the routes that take weights only in its development mode.
    os.environ.update(vllm_settings.environment(cfg), VLLM_SERVER_DEV_MODE="1")
    os.execv(sys.executable, command(args.model, args.max_length, cfg, args.host, args.port))


def command(model: Path, max_length: int, cfg: EngineConfig, host: str, port: str) -> list[str]:
    """The server's command line.

    The module is started instead of `vllm serve`, which looks for a distribution called vllm; CPU
    builds have another name.
    """
    module = "vllm.entrypoints.openai.api_server"
    flags = [sys.executable, "-m", module, "--host", host, "--port", port]
    for name, value in vllm_settings.arguments(model, max_length, cfg).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return [*flags, "--disable-uvicorn-access-log"]


if __name__ == "__main__":
    run_cli(main)
