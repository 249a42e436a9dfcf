"""The language-model scorer: a LlamaForSequenceClassification folder with one label, served by
vLLM's pooling runner.

A file is judged by windows of tokens, no special tokens added: by the leading one, exactly as
megatron_train/train_scorer.py taught it, or with score.windows = N by up to N, spread evenly from
its first to its last token; the mean of them counts. One engine lives in each Python worker
(vllm_start.py). The raw regression value is asked for (no sigmoid) and clipped. A score moves in
its last bits with the batch that carries it; score_quality's rounding hides that in float32.
bfloat16 does not agree to that precision, so the data type is part of the version.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from conf.errors import SeedbedError
from conf.schema.curate import ScoreSettings
from seedbed.inference import in_process

# characters a token that are tokenized first; the demo's code has 3.5, files of blanks need another
# try
HEAD_CHARS = 5
# times as many characters at each further try
GROWTH = 4
# pre-tokens before a cut that it may change: the one it splits, the parts of an added token
CUT_WORDS = 8


def version_of(card: dict[str, Any], settings: ScoreSettings) -> str:
    """<version of the weights>-<tokens a window>t-[<windows>w-]<data type>."""
    windows = f"{settings.windows}w-" if settings.windows > 1 else ""
    return f"{card['version']}-{_max_tokens(card, settings)}t-{windows}{settings.dtype}"


def _max_tokens(card: dict[str, Any], settings: ScoreSettings) -> int:
    """What the scorer was taught to read; score.max_tokens can only shorten it."""
    return min(settings.max_tokens, int(card["max_tokens"]))


class LanguageModelScorer:
    def __init__(self, folder: str, card: dict[str, Any], settings: ScoreSettings):
        """Start the engine.

        Raises SeedbedError where `folder` is not a local model folder that vLLM can serve.
        """
        self.version = version_of(card, settings)
        self.max_tokens, self.windows = _max_tokens(card, settings), settings.windows
        _check_folder(Path(folder), self.max_tokens)
        self._tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self._engine = partial(
            in_process.engine,
            folder,
            runner="pooling",
            dtype=settings.dtype,
            max_model_len=self.max_tokens,
            max_num_seqs=settings.batch_size,
            max_num_batched_tokens=max(4096, self.max_tokens),
            enable_prefix_caching=False,
        )
        self._engine()

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        """Quality of each text, the mean over its windows; 0 for a text without tokens."""
        from vllm import PoolingParams
        from vllm.inputs import TokensPrompt

        # window -> texts that have it: files of one head share theirs
        readers: dict[tuple[int, ...], list[int]] = {}
        for i, text in enumerate(texts.to_pylist()):
            for window in self.windows_of(text):
                readers.setdefault(tuple(window), []).append(i)
        # like lengths share a batch
        windows = sorted(readers, key=len)
        sums, counts = np.zeros(len(texts)), np.zeros(len(texts))
        # vLLM refuses an empty list
        if windows:
            outputs = self._engine().classify(
                [TokensPrompt(prompt_token_ids=list(window)) for window in windows],
                pooling_params=PoolingParams(use_activation=False),
                use_tqdm=False,
            )
            for window, output in zip(windows, outputs, strict=True):
                for i in readers[window]:
                    sums[i] += output.outputs.probs[0]
                    counts[i] += 1
        if not np.isfinite(sums).all():
            raise SeedbedError(
                f"scorer {self.version} gave a value that is not finite", "train the scorer again"
            )
        return np.clip(sums / np.maximum(counts, 1), 0.0, 1.0)

    def windows_of(self, text: str) -> list[list[int]]:
        """Up to `windows` runs of at most max_tokens token ids; none for a text without tokens."""
        ids = (
            leading_tokens(self._tokenizer, text, self.max_tokens)
            if self.windows == 1
            else self._encode(text)
        )
        return spread(ids, self.max_tokens, self.windows)

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


def leading_tokens(tokenizer: Tokenizer, text: str, count: int) -> list[int]:
    """The first `count` token ids of `text`, of which no more is tokenized than that takes."""
    chars = HEAD_CHARS * count
    while chars < len(text):
        head = tokenizer.encode(text[:chars], add_special_tokens=False)
        if len(head) > count:
            last, end = head.token_to_word(count - 1), head.token_to_word(len(head) - 1)
            if last is not None and end is not None and end - last >= CUT_WORDS:
                return list(head.ids[:count])
        chars *= GROWTH
    return list(tokenizer.encode(text, add_special_tokens=False).ids[:count])


def spread(ids: list[int], width: int, windows: int) -> list[list[int]]:
    """At most `windows` runs of `width` ids, evenly from start to end: no more than cover the
    whole, so a short text has one.
    """
    if not ids:
        return []
    count = min(windows, -(-len(ids) // width))
    last = max(len(ids) - width, 0)
    starts = [last * k // (count - 1) if count > 1 else 0 for k in range(count)]
    return [ids[start : start + width] for start in starts]


def _check_folder(folder: Path, max_tokens: int) -> None:
    fix = "give a folder written by megatron_train.train_scorer"
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise SeedbedError(f"scorer {folder} has no {name}", fix)
    config = json.loads((folder / "config.json").read_text())
    if config.get("architectures") != ["LlamaForSequenceClassification"]:
        raise SeedbedError(
            f"scorer {folder} is a {config.get('architectures')}, not LlamaForSequenceClassification",
            fix,
        )
    if max_tokens > config["max_position_embeddings"]:
        raise SeedbedError(
            f"scorer {folder} reads at most {config['max_position_embeddings']} tokens, {max_tokens} asked for",
            f"set score.max_tokens={config['max_position_embeddings']}",
        )
