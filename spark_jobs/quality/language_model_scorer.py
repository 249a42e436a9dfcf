"""The language-model scorer: a LlamaForSequenceClassification with one label, served by vLLM.

A file is judged by windows of tokens without special tokens. By default that is the leading window,
as megatron_train/train_scorer.py trained it. With score.windows = N up to N windows are spread
evenly from the first to the last token, and their mean counts. vLLM's pooling runner gives the raw
regression value, without a sigmoid, and it is clipped. One engine lives in each Python worker
(seedbed/inference/in_process.py).

The batch of a text changes the last bits of its score. In float32 the rounding of score_quality
hides that. bfloat16 is not that precise, so the data type is part of the version.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from conf.errors import SeedbedError
from conf.schema.curate import ScoreSettings
from seedbed import json_object
from seedbed.inference import in_process
from seedbed.kernels.tokens.plain_text import plain_tokenizer_of
from seedbed.stores.places import require_local

# Characters per token that are tokenized first. The demo's code has 3.5. Files of
# blanks need another try.
HEAD_CHARS = 5
# Each further try takes this many times the characters.
GROWTH = 4
# Pre-tokens before a cut that it may change: the split one, or the parts of an added token.
CUT_WORDS = 8


def version_of(card: dict[str, Any], settings: ScoreSettings) -> str:
    """<version of the weights>-<tokens per window>t-[<windows>w-]<data type>."""
    windows = f"{settings.windows}w-" if settings.windows > 1 else ""
    return f"{card['version']}-{_max_tokens(card, settings)}t-{windows}{settings.dtype}"


def _max_tokens(card: dict[str, Any], settings: ScoreSettings) -> int:
    """Tokens per window: those of the training, which score.max_tokens can only reduce."""
    return min(settings.max_tokens, int(card["max_tokens"]))


class LanguageModelScorer:
    """Scores texts with a model folder on vLLM."""

    def __init__(self, folder: str, card: dict[str, Any], settings: ScoreSettings):
        """Start the engine.

        Raises SeedbedError where `folder` is not a local model folder that vLLM can serve.
        """
        self.version = version_of(card, settings)
        self.max_tokens, self.windows = _max_tokens(card, settings), settings.windows
        require_local("score.scorer", folder, "vLLM loads a model from a disk of every worker")
        _check_folder(Path(folder), self.max_tokens)
        self._tokenizer = plain_tokenizer_of(Path(folder))
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
        """Quality on [0, 1], float64 (texts,): the mean over windows, 0 without tokens."""
        from vllm import PoolingParams
        from vllm.inputs import TokensPrompt

        # Maps a window to the texts that have it. Files with the same head share windows.
        readers: dict[tuple[int, ...], list[int]] = {}
        for i, text in enumerate(texts.to_pylist()):
            for window in self.windows_of(text):
                readers.setdefault(tuple(window), []).append(i)
        # Windows of similar length share a batch.
        windows = sorted(readers, key=len)
        sums, counts = np.zeros(len(texts)), np.zeros(len(texts))
        # vLLM refuses an empty list.
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
    """The first `count` token ids of `text`; only as much of it as needed is tokenized."""
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
    """At most `windows` runs of `width` ids, spread evenly from start to end.

    There are no more than cover the whole text, so a short text has one.
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
    config = json_object.read(folder / "config.json", fix)
    if config.get("architectures") != ["LlamaForSequenceClassification"]:
        raise SeedbedError(
            f"scorer {folder} is a {config.get('architectures')}, "
            "not LlamaForSequenceClassification",
            fix,
        )
    most = config.get("max_position_embeddings")
    if type(most) is not int:
        raise SeedbedError(f"scorer {folder} has max_position_embeddings={most!r}", fix)
    if max_tokens > most:
        raise SeedbedError(
            f"scorer {folder} reads at most {most} tokens, {max_tokens} asked for",
            f"set score.max_tokens={most}",
        )
