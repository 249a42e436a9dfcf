"""The language-model scorer: a LlamaForSequenceClassification folder with one label, served by vLLM's pooling runner.

A file is judged by its leading tokens, no special tokens added, exactly as megatron_train/train_scorer.py taught it. One
engine lives in each Python worker, started on first use. The raw regression value is asked for (no sigmoid) and clipped.
A score moves in its last bits with the batch that carries it; score_quality's rounding hides that in float32. bfloat16
does not agree to that precision, so the data type is part of the version.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from conf.errors import SeedbedError
from conf.schema.curate import ScoreSettings

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives in the Spark worker's own process
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # Spark shares out the cores
    "OMP_NUM_THREADS": "1",  # Spark runs one worker a core
}
HEAD_CHARS = 16  # characters a token that are tokenized first: enough but for files of endless blanks


def version_of(card: dict[str, Any], settings: ScoreSettings) -> str:
    """<version of the weights>-<tokens read>t-<data type>."""
    return f"{card['version']}-{_max_tokens(card, settings)}t-{settings.dtype}"


def _max_tokens(card: dict[str, Any], settings: ScoreSettings) -> int:
    """What the scorer was taught to read; score.max_tokens can only shorten it."""
    return min(settings.max_tokens, int(card["max_tokens"]))


class LanguageModelScorer:
    def __init__(self, folder: str, card: dict[str, Any], settings: ScoreSettings):
        """Start the engine. Raises SeedbedError where `folder` is not a local model folder that vLLM can serve."""
        self.version = version_of(card, settings)
        self.max_tokens = _max_tokens(card, settings)
        _check_folder(Path(folder), self.max_tokens)
        self._tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            from vllm import LLM
        except ImportError as error:
            raise SeedbedError(
                f"scorer {folder} needs vLLM: {error}", "install the `serve` extra, or `make setup`"
            ) from error
        _give_llvmlite_a_dict()
        self._engine = LLM(
            model=folder,
            runner="pooling",
            dtype=settings.dtype,
            max_model_len=self.max_tokens,
            max_num_seqs=settings.batch_size,
            max_num_batched_tokens=max(4096, self.max_tokens),
            enforce_eager=True,
            enable_prefix_caching=False,
            disable_log_stats=True,
        )

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        """Quality of each text by its leading max_tokens tokens; 0 for a text without tokens."""
        from vllm import PoolingParams
        from vllm.inputs import TokensPrompt

        ids = [self._leading_tokens(text) for text in texts.to_pylist()]
        order = sorted((i for i in range(len(ids)) if ids[i]), key=lambda i: len(ids[i]))  # like lengths share a batch
        quality = np.zeros(len(ids))
        if order:  # vLLM refuses an empty list
            outputs = self._engine.classify(
                [TokensPrompt(prompt_token_ids=ids[i]) for i in order],
                pooling_params=PoolingParams(use_activation=False),
                use_tqdm=False,
            )
            quality[order] = [output.outputs.probs[0] for output in outputs]
        if not np.isfinite(quality).all():
            raise SeedbedError(f"scorer {self.version} gave a value that is not finite", "train the scorer again")
        return np.clip(quality, 0.0, 1.0)

    def _leading_tokens(self, text: str) -> list[int]:
        head = text[: HEAD_CHARS * self.max_tokens]
        ids: list[int] = self._tokenizer.encode(head, add_special_tokens=False).ids
        if len(ids) <= self.max_tokens and len(head) < len(text):
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids[: self.max_tokens]


def _give_llvmlite_a_dict() -> None:
    """Let vLLM start in a worker that has run a numba kernel.

    vLLM 0.32 on CPU walks every attribute of every loaded module and asks each for its __dict__. llvmlite's proxy of its
    library answers any name with a function wrapper, which is no dict, and the engine dies. The proxy looks a name up in its
    own table first, so an entry there is answer enough.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab.setdefault("__dict__", {})


def _check_folder(folder: Path, max_tokens: int) -> None:
    fix = "give a folder written by megatron_train.train_scorer"
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise SeedbedError(f"scorer {folder} has no {name}", fix)
    config = json.loads((folder / "config.json").read_text())
    if config.get("architectures") != ["LlamaForSequenceClassification"]:
        raise SeedbedError(
            f"scorer {folder} is a {config.get('architectures')}, not LlamaForSequenceClassification", fix
        )
    if max_tokens > config["max_position_embeddings"]:
        raise SeedbedError(
            f"scorer {folder} reads at most {config['max_position_embeddings']} tokens, {max_tokens} asked for",
            f"set score.max_tokens={config['max_position_embeddings']}",
        )
